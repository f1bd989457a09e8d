"""The catalogue's files under all names that a text of parameters may have for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core.models.catalogue import Catalogue, Model, Vae
from core.pictures.at_hand import AtHand, Files, NamedFile

# Old A1111 texts name a file in folders "folder_file".
_FOLDERS: Final = 3


def files_at_hand(catalogue: Catalogue) -> AtHand:
    """The models and VAEs by name and hash. LoRAs, embeddings and upscaler models are not used by
    this bot, so there are none of them."""
    nothing = Files(())
    return AtHand(
        models=Files(map(_named, catalogue.models)),
        vaes=Files(map(_named, catalogue.vaes)),
        loras=nothing,
        embeddings=nothing,
        upscalers=nothing,
    )


def _named(file: Model | Vae) -> NamedFile:
    also = (file.path.stem if file.layout == "file" else file.path.name, *_with_folders(file.path))
    return NamedFile(file.name, also, (file.digits,) if file.digits else ())


def _with_folders(path: Path) -> list[str]:
    folders = [folder for folder in path.parent.parts[-_FOLDERS:] if folder != path.anchor]
    return ["_".join((*folders[start:], path.stem)) for start in range(len(folders))]
