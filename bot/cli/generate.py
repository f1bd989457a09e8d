"""``python run.py generate``: the same defaults and the same engine, from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from PIL import Image as PillowImage
from tqdm import tqdm

from bot.ordering.layers import LAYERED, Layers
from bot.ordering.resolve import resolve
from bot.settings import Settings
from core.errors import PenultimateError
from core.events import Failed, Finished, Image, Progress, Started
from core.models.catalogue import Catalogue
from core.options import RANGES
from core.pictures import infotext
from core.pictures.files import write_png
from core.request import GenerationRequest
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue
from core.sheets import cells
from core.work import Item, Work

OWNER: Final = "terminal"
JOB: Final = 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """The axes of a sheet and its cells, all of them one job."""

    x: cells.Axis
    y: cells.Axis | None
    cells: list[cells.Cell]


def main(settings: Settings, arguments: argparse.Namespace) -> int:
    """Draw, print the files' paths; returns the exit code, 2 with a sentence on what is wrong."""
    # The limits in the settings are for members; whoever sits at the machine has the core's.
    settings = replace(
        settings,
        max_size=int(RANGES["width"].high),
        max_steps=int(RANGES["steps"].high),
        max_count=int(RANGES["count"].high),
    )
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
    given = {name: getattr(arguments, name, None) for name in LAYERED}
    resolved = resolve(arguments.prompt, Layers(option=given), catalogue, settings.limits)
    sheet = _sheet(resolved.request, arguments)
    requests = [cell.request for cell in sheet.cells] if sheet else [resolved.request]
    items = tuple(_item(request, catalogue) for request in requests)
    finished = await draw(settings, Work(JOB, OWNER, items))
    for note in (*resolved.notes, *finished.notes):
        print(f"note: {note}", file=sys.stderr)
    images = list(finished.images)
    if sheet is not None:
        images.append(_drawn(sheet, resolved.request, images))
    for path in await asyncio.to_thread(save, images, Path(arguments.out)):
        print(path)


def _sheet(request: GenerationRequest, arguments: argparse.Namespace) -> Sheet | None:
    x, y = (axis and cells.read_axis(*axis) for axis in (arguments.x, arguments.y))
    if x is None:
        x, y = y, None
    return Sheet(x, y, cells.cells(request, x, y)) if x else None


def _item(request: GenerationRequest, catalogue: Catalogue) -> Item:
    # An axis may name a model or a VAE in any case; what is drawn says its proper name.
    model = catalogue.model(request.model)
    vae = catalogue.resolve_vae(request.vae, model)
    return Item(replace(request, model=model.name), model, vae)


async def draw(settings: Settings, work: Work) -> Finished:
    """Run the job on an engine of its own, with a progress bar on a terminal.

    Raises the job's error.
    """
    queue = GpuQueue(1, 1)
    client = EngineClient(settings.engine_config(), queue)
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


def _drawn(sheet: Sheet, request: GenerationRequest, images: list[Image]) -> Image:
    pictures = [PillowImage.open(io.BytesIO(image.png)) for image in images]
    drawn = cells.draw(sheet.cells, pictures, sheet.x, sheet.y)
    text = infotext.format(request, extra=cells.describe(sheet.x, sheet.y))
    return Image(write_png(drawn, text), request.seed, drawn.width, drawn.height, text)


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
