"""``RunningJob``: the engine's state of one job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from core.engine.phases import needs_vae_before_decode
from core.events import Image
from core.notes import Note
from core.work import Work


class RunningJob:
    """A job's progress and finished pictures.

    ``images`` are by (position of the item, index in its batch). ``steps_run`` counts the sampler
    steps of all pictures. ``all_exits``: the requests differ in clip skip, so that the text
    encoder should keep all of its layers' outputs.
    """

    def __init__(self, work: Work, now: float = 0.0) -> None:
        self.work = work
        self.id = work.job_id
        self.begun = False
        # Pictures that have started, by the positions of their items: a run may be made again.
        self.pictures_started: dict[tuple[int, ...], int] = defaultdict(int)
        self.images: dict[tuple[int, int], Image] = {}
        # Times by the engine's clock; the last two of the last progress and preview.
        self.started = self.reported = self.previewed = now
        self.steps = max(item.steps for item in work.items)
        self.steps_run = 0
        self._total_steps = sum(item.steps * item.request.count for item in work.items)
        self._pictures = sum(item.request.count for item in work.items)
        self._notes: dict[Note, None] = {}
        self.all_exits = len({item.request.clip_skip for item in work.items}) > 1

    @property
    def groups(self) -> Iterator[tuple[int, ...]]:
        """Positions in ``work.items``, in groups that share latents and differ in the VAE only."""
        groups: dict[object, list[int]] = {}
        for position, item in enumerate(self.work.items):
            shared = not needs_vae_before_decode(item.request)
            neutral = item.request.to_dict() | {"vae": None}
            key = (repr(neutral), item.model) if shared else position
            groups.setdefault(key, []).append(position)
        yield from map(tuple, groups.values())

    @property
    def step(self) -> int:
        """Progress of all pictures together, from 0 to ``steps``."""
        return self.steps * self.steps_run // self._total_steps

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the prompts, without duplicates."""
        return tuple(self._notes)

    def note(self, notes: tuple[Note, ...]) -> None:
        """Add ``notes``, without duplicates."""
        self._notes |= dict.fromkeys(notes)

    @property
    def done(self) -> bool:
        """Whether all pictures are finished."""
        return len(self.images) == self._pictures

    def finished_images(self) -> tuple[Image, ...]:
        """Return the pictures by item, then by index in its batch."""
        return tuple(self.images[key] for key in sorted(self.images))
