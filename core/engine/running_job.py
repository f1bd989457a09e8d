"""``RunningJob``: what the engine knows of one job, from its start to its last picture."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.engine.phases import needs_vae_before_decode
from core.events import Image
from core.notes import Note
from core.work import Work


class RunningJob:
    """One job in the engine: how far it is, and the pictures that are finished.

    ``groups`` are the positions of items that differ in their VAE only, in the order to run.
    ``steps_run`` counts the sampler steps of all its pictures, ``all_exits`` says that its
    requests differ in clip skip.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.id = work.job_id
        self.begun = False
        self.images: dict[tuple[int, int], Image] = {}
        # time.monotonic() of its start, its last progress and its last preview.
        self.started = self.reported = self.previewed = time.monotonic()
        self.steps = max(item.steps for item in work.items)
        self.steps_run = 0
        self._steps_in_all = sum(item.steps * item.request.count for item in work.items)
        self._pictures = sum(item.request.count for item in work.items)
        self._notes: dict[Note, None] = {}
        self.all_exits = len({item.request.clip_skip for item in work.items}) > 1

    @property
    def groups(self) -> Iterator[tuple[int, ...]]:
        """Positions in ``work.items``, together where one set of latents serves them all."""
        groups: dict[object, list[int]] = {}
        for position, item in enumerate(self.work.items):
            shared = not needs_vae_before_decode(item.request)
            neutral = item.request.to_dict() | {"vae": None}
            key = (repr(neutral), item.model) if shared else position
            groups.setdefault(key, []).append(position)
        yield from map(tuple, groups.values())

    @property
    def step(self) -> int:
        """How far it is, out of ``steps``: all its pictures together."""
        return self.steps * self.steps_run // self._steps_in_all

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the member should know about the prompts, each once."""
        return tuple(self._notes)

    def note(self, notes: tuple[Note, ...]) -> None:
        """Keep what is new of ``notes``."""
        self._notes |= dict.fromkeys(notes)

    @property
    def done(self) -> bool:
        """Whether every picture is there."""
        return len(self.images) == self._pictures

    def finished_images(self) -> tuple[Image, ...]:
        """Return the pictures in the order of the items, a batch's one after the other."""
        return tuple(self.images[place] for place in sorted(self.images))
