"""``OtherPhases``: the encodes, upscales and decodes that are under way, beside the UNet's steps.

Each is a generator (:meth:`core.engine.runs.Run.perform`) that gives what it waits for: the card,
or a thread. The engine goes on with it once that is done, and steps others meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine.phases import Decode, Denoise
from core.engine.running_job import RunningJob
from core.engine.runs import Awaited, Performing, Run, RunningPicture

if TYPE_CHECKING:
    from core.pictures.files import Pixels


@dataclass(eq=False)
class UnderWay:
    """A phase of a picture, begun; ``awaited`` is what it waits for."""

    run: Run
    picture: RunningPicture
    phase: Decode | None
    steps: Performing
    awaited: Awaited | None = None


class OtherPhases:
    """The phases under way. A picture has one, or several that decode it by several VAEs."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._all: list[UnderWay] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def next(self, running: Collection[tuple[Run, RunningPicture]]) -> UnderWay | None:
        """Return what need not wait: a phase under way, or the first that has not begun."""
        for each in self._all:
            if each.awaited is None or each.awaited.done():
                return each
        for run, picture in running:
            if not isinstance(phase := picture.phase, Denoise) and not self._holds(picture):
                decode = phase if isinstance(phase, Decode) else None
                steps = run.perform(picture, self._threads)
                begun = UnderWay(run, picture, decode, steps)
                self._all.append(begun)
                return begun
        return None

    def _holds(self, picture: RunningPicture) -> bool:
        """Whether a phase of the picture must end before its next one begins."""
        return any(each.picture is picture and each.phase is None for each in self._all)

    def go_on(self, each: UnderWay) -> Pixels | None:
        """Go on up to what it waits for next; at its end it is no longer under way.

        Returns what a decode gave. An error of the phase is raised, and ends it.
        """
        self._all.remove(each)
        try:
            each.awaited = next(each.steps)
        except StopIteration as stop:
            pixels: Pixels | None = stop.value
            return pixels
        self._all.append(each)
        return None

    def drop(self, job: RunningJob) -> None:
        """Forget a job's."""
        self._all = [each for each in self._all if each.run.job is not job]

    @property
    def futures(self) -> list[Future[object]]:
        """What is awaited of threads."""
        return [each.awaited for each in self._all if isinstance(each.awaited, Future)]

    def wait(self) -> bool:
        """Wait for the card, if something does; say whether."""
        for each in self._all:
            if each.awaited is not None and not isinstance(each.awaited, Future):
                each.awaited.wait()
                return True
        return False
