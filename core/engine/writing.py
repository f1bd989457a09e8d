"""A finished picture as a file, with the text of what it was made from."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from core.engine.runs import Run, RunningPicture
from core.events import Image
from core.models.addons import EmbeddingFile, NetworkFile
from core.pictures import infotext
from core.pictures.files import write_png

if TYPE_CHECKING:
    from core.pictures.files import Pixels


def write_image(
    run: Run,
    picture: RunningPicture,
    vae: int,
    pixels: Pixels,
    *,
    hashes: dict[NetworkFile | EmbeddingFile, Future[str]],
) -> Image:
    """Make the PNG with its infotext; ``hashes`` are those of the networks and embeddings used."""
    item, loaded = run.items[vae], run.vaes[vae]
    external = item.vae is not None
    text = infotext.format(
        item.request,
        index=picture.index,
        model_hash=run.loaded.hash,
        vae=loaded.name if external else "",
        vae_hash=loaded.hash if external else "",
        extra=_addon_pairs(hashes),
    )
    height, width = pixels.shape[:2]
    return Image(
        write_png(pixels, text), run.request.alone(picture.index).seed, width, height, text
    )


def _addon_pairs(hashes: dict[NetworkFile | EmbeddingFile, Future[str]]) -> dict[str, object]:
    """Write "Lora hashes" and "TI hashes" as A1111 does; ``:`` and ``,`` are cut from names.

    Blocks while a hash is being computed.
    """
    found: dict[str, list[str]] = {}
    for addon, digits in hashes.items():
        key = "Lora hashes" if isinstance(addon, NetworkFile) else "TI hashes"
        name = addon.name.replace(":", "").replace(",", "")
        if digits.result():
            found.setdefault(key, []).append(f"{name}: {digits.result()}")
    return {key: ", ".join(pairs) for key, pairs in found.items()}
