"""Generate images from a terminal: ``python run.py generate``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from tqdm import tqdm

from bot.ordering.layers import ADDED, LAYERED, Layers
from bot.ordering.orders import new_order
from bot.settings import Limits, Settings
from core.errors import PenultimateError
from core.events import Failed, Finished, Image, Progress, Started
from core.options import RANGES
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue
from core.sheets.axes import MAX_VALUES
from core.sheets.cells import MAX_CELLS
from core.sheets.sheet import pictures_of
from core.work import Work

OWNER: Final = "terminal"
JOB: Final = 1
# The limits in the settings are for members; at the terminal only the options' ranges hold.
LIMITS: Final = Limits(
    int(RANGES["width"].high), int(RANGES["steps"].high), int(RANGES["count"].high), MAX_CELLS
)


def main(settings: Settings, arguments: argparse.Namespace) -> int:
    """Generate the images and print their paths; returns the exit code, 2 for an error."""
    try:
        asyncio.run(_generate(settings, arguments))
    except KeyboardInterrupt:
        return 130
    except (PenultimateError, OSError) as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    return 0


async def _generate(settings: Settings, arguments: argparse.Namespace) -> None:
    catalogue = await asyncio.to_thread(settings.catalogue)
    given = {name: getattr(arguments, name, None) for name in (*LAYERED, *ADDED)}
    named = [axis for axis in (arguments.x, arguments.y) if axis]
    axes = [*named, (None, None)][:2] if named else None
    prompt, layers = arguments.prompt, Layers(option=given)
    order = await new_order(prompt, layers, catalogue, LIMITS, axes=axes, most=MAX_VALUES)
    finished = await draw(settings, Work(JOB, OWNER, order.items))
    for note in (*order.notes, *finished.notes):
        print(f"note: {note}", file=sys.stderr)
    images = list(finished.images)
    if order.sheet is not None:
        whole, *images = await asyncio.to_thread(
            pictures_of, order.sheet, order.request, images, folded=False
        )
        images.append(whole)
    for path in await asyncio.to_thread(save, images, Path(arguments.out)):
        print(path)


async def draw(settings: Settings, work: Work) -> Finished:
    """Run the work on an engine of its own, with a progress bar on a terminal.

    Raises the work's error.
    """
    queue = GpuQueue(1, 1)
    client = EngineClient(settings.engine_configs()[0], queue)
    # disable=None: no bar where there is no terminal.
    with tqdm(unit="step", desc="loading", disable=None, leave=False) as bar:
        await client.start()
        try:
            async for event in queue.submit(work):
                match event:
                    case Progress(step=step, steps=steps):
                        bar.total = steps
                        bar.update(step - bar.n)
                    case Started():
                        bar.set_description("drawing")
                    case Failed(error=error):
                        raise error
                    case Finished():
                        return event
        finally:
            await client.close()
    raise AssertionError("a ticket ends with an ending")


def save(images: list[Image], folder: Path) -> list[Path]:
    """Write ``00000-<seed>.png`` …, counting on from what is there; nothing is overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name[:5]) for path in folder.glob("[0-9][0-9][0-9][0-9][0-9]-*.png")]
    first = max(taken, default=-1) + 1
    paths = []
    for number, image in enumerate(images, first):
        path = folder / f"{number:05}-{image.seed}.png"
        path.write_bytes(image.png)
        paths.append(path)
    return paths
