"""Where a fetched file belongs, by its header, and its card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bot.fetching.offers import SUFFIX, Offer, one_line
from bot.settings import Settings
from core.errors import Refused
from core.models.cards import card_path
from core.models.weights.embedding_file import describe_embedding
from core.models.weights.file_kinds import kind_of
from core.models.weights.network_file import describe_network
from core.models.weights.safetensors_header import MAX_HEADER, Header, read_header
from core.models.weights.single_file import check_vae, describe_checkpoint
from core.models.weights.upscaler_file import describe_upscaler

CHECKS: Final[dict[str, Callable[[Header], object]]] = {
    "model": describe_checkpoint,
    "VAE": check_vae,
    "LoRA": describe_network,
    "embedding": describe_embedding,
    "upscaler": describe_upscaler,
}
# Bytes of a file that are read first: most headers are shorter.
PEEK: Final = 2**19
# Where a file's size is unknown: more than any has.
ANY_SIZE: Final = 2**36


def folder_for(kind: str, settings: Settings) -> Path:
    """Return the owner's folder for this kind of file."""
    folders = {"model": settings.models_dir, "VAE": settings.vaes_dir}
    return folders.get(kind) or settings.addons[f"{kind.lower()}s"]


def header_size(start: bytes) -> int:
    """How many bytes of a file its header takes, by the first eight; 0 where it has none."""
    length = int.from_bytes(start[:8], "little")
    return 8 + length if start[8:9] == b"{" and length <= MAX_HEADER else 0


def kind_of_start(start: bytes, name: str, size: int | None) -> str:
    """Return the kind of the file of ``size`` bytes that begins with its header.

    Raises :class:`~core.errors.Refused` for what the bot does not use.
    """
    with TemporaryDirectory(prefix="penultimate-") as folder:
        path = Path(folder, name + SUFFIX)
        path.write_bytes(start)
        if size is None or size > len(start):
            # A hole in the place of the weights: it takes no room.
            with path.open("r+b") as file:
                file.truncate(size or ANY_SIZE)
        return kind_of_file(path)


def kind_of_file(path: Path) -> str:
    """Return ``model``, ``VAE``, ``LoRA``, ``embedding`` or ``upscaler``.

    Raises :class:`~core.errors.Refused` for what the bot does not use.
    """
    header = read_header(path, "model")
    kind = kind_of(header)
    if kind is None:
        try:
            describe_upscaler(header)
        except Refused:
            # Its reason is the one that names other families.
            describe_checkpoint(header)
        return "upscaler"
    if kind not in CHECKS:
        raise Refused("model", path.stem, "family", f"of the kind {kind}")
    CHECKS[kind](header)
    return kind


def card_of(offer: Offer) -> str:
    """Write the card of a model or VAE, as TOML."""
    about = f"From {offer.page}"
    if offer.base_model:
        about += f", made from {offer.base_model}"
    if offer.triggers:
        about += f". Trigger words: {', '.join(offer.triggers)}"
    values = {"description": one_line(about)}
    if offer.licence:
        values["licence"] = one_line(offer.licence)
    values |= offer.advice
    # A text of JSON is one of TOML too, where nothing in it is unprintable.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "\n".join([*lines, ""])


def write_card(path: Path, text: str) -> Path | None:
    """Write a card beside ``path``, or into the folder it is; None where there is one already."""
    card = card_path(path)
    try:
        with card.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return None
    return card
