"""Generate images from a terminal: ``python run.py generate``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from tqdm import tqdm

from bot import errors
from bot.exceptions import CannotExplore
from bot.ordering.layers import ADDED, LAYERED, Layers
from bot.ordering.orders import new_order
from bot.settings import Limits, Settings
from core.errors import (
    AmbiguousName,
    InvalidRequest,
    NetworkLimit,
    NetworkMismatch,
    PenultimateError,
    SheetTooLarge,
    TooLarge,
    UnknownName,
    VaeMismatch,
)
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
# What members may get wrong as well, with the same sentence.
ASKED_FOR: Final = (
    *(AmbiguousName, CannotExplore, InvalidRequest, NetworkLimit, NetworkMismatch),
    *(SheetTooLarge, TooLarge, UnknownName, VaeMismatch),
)
NO_PROMPT: Final = "The prompt is empty. Say what to generate, in quotes."
NO_FOLDER: Final = "Nothing can be written to {folder} ({why}). Choose another folder with --out."


def main(settings: Settings, arguments: argparse.Namespace) -> int:
    """Generate the images and print their paths; returns the exit code, 2 for an error."""
    if not arguments.prompt.strip():
        print(NO_PROMPT, file=sys.stderr)
        return 2
    # An engine that cannot be started is told at the end, not for each attempt.
    log = logging.getLogger("core.serving")
    log.setLevel(logging.CRITICAL)
    try:
        asyncio.run(_generate(settings, arguments))
    except KeyboardInterrupt:
        return 130
    except ASKED_FOR as error:
        print(_plain(errors.sentence(error)), file=sys.stderr)
        return 2
    except PenultimateError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    except OSError as error:
        why = error.strerror or error
        print(NO_FOLDER.format(folder=arguments.out, why=why), file=sys.stderr)
        return 2
    finally:
        log.setLevel(logging.NOTSET)
    return 0


def _plain(sentence: str) -> str:
    """A sentence of Discord's without its markdown."""
    return re.sub(r"\\(.)|\*", r"\1", sentence)


async def _generate(settings: Settings, arguments: argparse.Namespace) -> None:
    catalogue = await asyncio.to_thread(settings.catalogue)
    given = {name: getattr(arguments, name, None) for name in (*LAYERED, *ADDED)}
    named = [axis for axis in (arguments.x, arguments.y) if axis]
    axes = [*named, (None, None)][:2] if named else None
    prompt, layers = arguments.prompt, Layers(option=given)
    order = await new_order(prompt, layers, catalogue, LIMITS, axes=axes, most=MAX_VALUES)
    folder = Path(arguments.out)
    await asyncio.to_thread(_try_out, folder)
    finished = await draw(settings, Work(JOB, OWNER, order.items))
    for note in (*order.notes, *finished.notes):
        print(f"note: {note}", file=sys.stderr)
    images = list(finished.images)
    if order.sheet is None:
        paths = await asyncio.to_thread(save, images, folder)
    else:
        images = await asyncio.to_thread(
            pictures_of, order.sheet, order.request, images, folded=False
        )
        paths = await asyncio.to_thread(save_grid, images, folder)
    print(*paths, sep="\n")


def _try_out(folder: Path) -> None:
    """Write a file that is gone at once: better now than when the images are drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=folder).close()


async def draw(settings: Settings, work: Work) -> Finished:
    """Run the work on an engine of its own, with a progress bar on a terminal.

    Raises the work's error.
    """
    queue = GpuQueue(1, 1)
    client = EngineClient(settings.engine_configs()[0], queue)
    # disable=None: no bar where there is no terminal.
    total = sum(item.request.count for item in work.items)
    with tqdm(unit="step", desc="loading", disable=None, leave=False) as bar:
        await client.start()
        try:
            async for event in queue.submit(work):
                match event:
                    case Progress(step=step, steps=steps, images=done):
                        bar.total = steps
                        bar.set_description(_count(done, total), refresh=False)
                        bar.update(step - bar.n)
                    case Started():
                        bar.set_description(_count(0, total))
                    case Failed(error=error):
                        raise error
                    case Finished():
                        return event
        finally:
            await client.close()
    raise AssertionError("a ticket ends with an ending")


def _count(done: int, total: int) -> str:
    """How far the images are, for the bar."""
    return "generating" if total == 1 else f"image {min(done + 1, total)} of {total}"


def save(images: list[Image], folder: Path) -> list[Path]:
    """Write ``00000-<seed>.png`` …, counting on from what is there; nothing is overwritten."""
    paths = []
    for number, image in enumerate(images, _next_number(folder)):
        path = folder / f"{number:05}-{image.seed}.png"
        path.write_bytes(image.png)
        paths.append(path)
    return paths


def save_grid(images: list[Image], folder: Path) -> list[Path]:
    """Write a grid as ``00000-grid-<seed>.png``, and its cells into a folder of that name.

    Returns the folder and the grid.
    """
    whole, *cells = images
    inside = folder / f"{_next_number(folder):05}-grid-{whole.seed}"
    inside.mkdir()
    save(cells, inside)
    path = inside.with_suffix(".png")
    path.write_bytes(whole.png)
    return [inside, path]


def _next_number(folder: Path) -> int:
    taken = [int(path.name[:5]) for path in folder.glob("[0-9][0-9][0-9][0-9][0-9]-*")]
    return max(taken, default=-1) + 1
