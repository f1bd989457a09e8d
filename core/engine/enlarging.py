"""Upscaling without redrawing, in threads beside the engine's: no step waits for an upscaler.

One image at a time. Pixels that a request generated are enlarged and written; the finished image
of a request that only enlarges keeps the text that it came with.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from core.errors import OutOfMemory, PenultimateError
from core.events import Image
from core.models.addons import UpscalerFile
from core.models.memory import memory_errors
from core.models.upscalers import LoadedUpscaler
from core.pictures import infotext, upscale
from core.pictures.files import read_infotext, read_pixels, write_png
from core.pictures.upscaling import resize
from core.work import Item

if TYPE_CHECKING:
    from torch import Tensor

    from core.pictures.files import Pixels


# An image, why there is none, or None where the job was dropped meanwhile.
Made: TypeAlias = Image | PenultimateError | None


class _Dropped(Exception):
    """The job was dropped."""


class Enlarger:
    """The threads, and what is done in them. ``load`` reads an upscaler, and is called there."""

    def __init__(self, load: Callable[[UpscalerFile], LoadedUpscaler]) -> None:
        self._load = load
        self._closed = False
        self._last: Future[Made] | None = None

    @property
    def free(self) -> bool:
        """Whether it has nothing to do."""
        return self._last is None or self._last.done()

    def finished(self, item: Item, wanted: Callable[[], bool]) -> Future[Made]:
        """Enlarge the finished image of a request; an error is returned, not raised."""

        def work() -> Image:
            png = item.request.inputs.finished
            assert png is not None
            pixels = self._enlarged(np.array(read_pixels(png)), item, wanted)
            pairs = infotext.enlarging(item.request.enlarge)
            text = infotext.added(read_infotext(png) or "", pairs)
            height, width = pixels.shape[:2]
            return Image(write_png(pixels, text), item.request.seed, width, height, text)

        return self._submit(item, work)

    def generated(
        self,
        item: Item,
        pixels: Pixels,
        write: Callable[[Pixels], Image],
        wanted: Callable[[], bool],
    ) -> Future[Made]:
        """Enlarge pixels that were generated, then ``write`` them."""
        return self._submit(item, lambda: write(self._enlarged(pixels, item, wanted)))

    def close(self) -> None:
        """Stop; what is not begun is discarded."""
        self._closed = True
        if self._last:
            wait([self._last])

    def _submit(self, item: Item, work: Callable[[], Image]) -> Future[Made]:
        before = self._last

        def safely() -> Made:
            if before is not None:
                wait([before])
            try:
                with memory_errors():
                    return None if self._closed else work()
            except _Dropped:
                return None
            except PenultimateError as error:
                return error
            except torch.OutOfMemoryError:
                return OutOfMemory(*item.request.delivered_size)

        # It may use the whole CPU, so its thread ends with it: see core.threads.
        thread = ThreadPoolExecutor(1, thread_name_prefix="enlarge")
        self._last = thread.submit(safely)
        thread.shutdown(wait=False)
        return self._last

    def _enlarged(self, pixels: Pixels, item: Item, wanted: Callable[[], bool]) -> Pixels:
        enlarge = item.request.enlarge
        assert enlarge is not None
        size = item.request.delivered_size
        if item.enlarger is None:
            return resize(pixels, *size, enlarge.upscaler)
        model = self._load(item.enlarger)

        def run(tile: Tensor) -> Tensor:
            # Cancelling takes no longer than a tile.
            if not wanted():
                raise _Dropped
            return model(tile)

        return upscale(pixels, *size, run, model.scale, tile=model.tile, average=model.averages)
