"""Enlarging a picture as A1111 does: by a model, in tiles and runs, or by Lanczos and Nearest.

torch and numpy are imported where they are used: the bot's process imports this package, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from PIL import Image

from core.errors import TooLarge

if TYPE_CHECKING:
    from torch import Tensor

    from core.pictures.files import Pixels

    # (1, 3, h, w) in 0…1 to (1, 3, h · scale, w · scale).
    UpscalerModel: TypeAlias = Callable[[Tensor], Tensor]

# A model runs until the picture is large enough, at most so often.
RUNS: Final = 3
# No side becomes longer on the way: 8192 × 8192 pixels take 200 MB.
MAX_SIDE: Final = 8192
# What is enlarged comes to whole latents first, then to its size.
MULTIPLE: Final = 8

_LANCZOS: Final = Image.Resampling.LANCZOS
_Once: TypeAlias = Callable[[Image.Image], Image.Image]


def upscale(
    pixels: Pixels,
    width: int,
    height: int,
    model: UpscalerModel,
    scale: int,
    *,
    tile: int = 192,
    overlap: int = 8,
    average: bool = False,
) -> Pixels:
    """Enlarge RGB pixels (H, W, 3) with ``model``, which multiplies sides by ``scale``.

    The model gets tiles of ``tile`` pixels a side that share at least ``overlap``, all of the
    picture where ``tile`` is 0; the channels are blue, green, red. A picture that need not grow
    is only resized. With ``average`` overlapping tiles are averaged, as SwinIR's are in A1111, else
    each next tile fades in. Raises :class:`TooLarge` when a side became longer than
    :data:`MAX_SIDE`.
    """

    def once(image: Image.Image) -> Image.Image:
        return in_tiles(image, model, scale, tile, overlap, average=average)

    return _enlarged(pixels, width, height, once)


def resize(pixels: Pixels, width: int, height: int, upscaler: str) -> Pixels:
    """Resize RGB pixels (H, W, 3) by one of :data:`~core.hires.PIXEL_UPSCALERS`."""
    if upscaler == "None":
        import numpy as np

        return np.array(_to(Image.fromarray(pixels), width, height))
    how = Image.Resampling[upscaler.upper()]
    factor = max(width / pixels.shape[1], height / pixels.shape[0])

    def once(image: Image.Image) -> Image.Image:
        return image.resize((int(image.width * factor), int(image.height * factor)), how)

    return _enlarged(pixels, width, height, once)


def _enlarged(pixels: Pixels, width: int, height: int, once: _Once) -> Pixels:
    import numpy as np

    image = Image.fromarray(pixels)
    factor = max(width / image.width, height / image.height)
    if factor > 1:
        image = _enlarge(image, factor, once)
    return np.array(_to(image, width, height))


def _enlarge(image: Image.Image, factor: float, once: _Once) -> Image.Image:
    width, height = (
        max(MULTIPLE, int(side * factor) // MULTIPLE * MULTIPLE) for side in image.size
    )
    for _ in range(RUNS):
        if image.width >= width and image.height >= height:
            break
        before, image = image.size, once(image)
        if image.size == before:
            # An upscaler by 1 is for something else, such as noise.
            break
    return _to(image, width, height)


def _to(image: Image.Image, width: int, height: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), _LANCZOS)


def in_tiles(
    image: Image.Image,
    model: UpscalerModel,
    scale: int,
    tile: int,
    overlap: int,
    *,
    average: bool = False,
) -> Image.Image:
    """Run the model once on each tile, and join the results."""
    larger = image.width * scale, image.height * scale
    if max(larger) > MAX_SIDE:
        raise TooLarge(*larger, MAX_SIDE)
    if tile <= 0:
        return _run(model, image)
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} pixels cannot share {overlap}")
    if average:
        return _averaged(image, model, scale, min(tile, *image.size), overlap)
    return _faded(image, model, scale, tile, overlap)


def _faded(
    image: Image.Image, model: UpscalerModel, scale: int, tile: int, overlap: int
) -> Image.Image:
    """Join tiles to rows, and rows to the picture; each next part fades in."""
    larger = image.width * scale, image.height * scale
    width, height = (min(tile, side) for side in image.size)
    whole = Image.new("RGB", larger)
    for y in _starts(image.height, tile, overlap):
        row = Image.new("RGB", (larger[0], height * scale))
        for x in _starts(image.width, tile, overlap):
            part = _run(model, image.crop((x, y, x + width, y + height)))
            row.paste(part, (x * scale, 0), _ramp(part.size, overlap * scale, across=True, at=x))
        whole.paste(row, (0, y * scale), _ramp(row.size, overlap * scale, across=False, at=y))
    return whole


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Return where the tiles of a side begin, at even distances."""
    if side <= tile:
        return [0]
    count = math.ceil((side - overlap) / (tile - overlap))
    distance = (side - tile) / (count - 1)
    return [*(int(index * distance) for index in range(count - 1)), side - tile]


def _ramp(size: tuple[int, int], overlap: int, *, across: bool, at: int) -> Image.Image:
    """Make the mask of a part: linear from 0 over what it shares, then all of it."""
    import numpy as np

    width, height = size
    mask = np.full(width if across else height, 255, np.uint8)
    if at > 0:
        ramp = np.arange(overlap, dtype=np.float32) * 255 / max(overlap, 1)
        mask[:overlap] = ramp.astype(np.uint8)
    line = mask[None] if across else mask[:, None]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(line, (height, width))))


def _averaged(
    image: Image.Image, model: UpscalerModel, scale: int, tile: int, overlap: int
) -> Image.Image:
    """Average square tiles where they overlap; all but the last begin at fixed distances."""
    import torch

    height, width = image.height, image.width
    total = torch.zeros(3, height * scale, width * scale)
    count = torch.zeros(height * scale, width * scale)
    step = max(tile - overlap, 1)
    for y in (*range(0, height - tile, step), height - tile):
        for x in (*range(0, width - tile, step), width - tile):
            part = _larger(model, image.crop((x, y, x + tile, y + tile)))
            rows = slice(y * scale, (y + tile) * scale)
            columns = slice(x * scale, (x + tile) * scale)
            total[:, rows, columns] += part.cpu()
            count[rows, columns] += 1
    return _image(total.div_(count))


def _run(model: UpscalerModel, image: Image.Image) -> Image.Image:
    return _image(_larger(model, image))


def _larger(model: UpscalerModel, image: Image.Image) -> Tensor:
    """Run the model on a picture: (3, h · scale, w · scale), blue, green, red, fp32."""
    import numpy as np
    import torch

    flipped = np.ascontiguousarray(np.asarray(image)[..., ::-1])
    with torch.inference_mode():
        return model(torch.from_numpy(flipped).permute(2, 0, 1)[None].float() / 255)[0].float()


def _image(colours: Tensor) -> Image.Image:
    """Clamp and round a model's values; NaN is black."""
    import numpy as np
    import torch

    shades = (colours.nan_to_num().clamp(0, 1) * 255).round().flip(0).permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(shades.to("cpu", torch.uint8).numpy()))
