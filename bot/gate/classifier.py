"""The NSFW check, in its own process, which is started for the first picture."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from core.pictures import nsfw

log = logging.getLogger(__name__)


class Classifier:
    """Classifies pictures by the model in ``folder``; without one it is not available.

    A picture is NSFW from the score ``threshold`` (0 to 1) on, for any of ``labels``; without
    labels, for those that :mod:`core.pictures.nsfw` knows.
    """

    def __init__(self, folder: Path | None, threshold: float, labels: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._labels = labels
        self._threshold = threshold
        self._process: ProcessPoolExecutor | None = None

    @property
    def available(self) -> bool:
        """Whether there is a classifier."""
        return self._folder is not None

    async def any_nsfw(self, pictures: Sequence[bytes]) -> bool | None:
        """Whether one of the encoded pictures is NSFW; None when they could not be classified."""
        if self._folder is None:
            return None
        if self._process is None:
            self._process = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=nsfw.begin,
                initargs=(str(self._folder), self._labels),
            )
        loop = asyncio.get_running_loop()
        try:
            scores = await loop.run_in_executor(self._process, nsfw.scores, list(pictures))
        except Exception:
            # The process may be broken, so the next pictures get a new one.
            log.exception("the NSFW check failed")
            self.close()
            return None
        return max(scores, default=0.0) >= self._threshold

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None
