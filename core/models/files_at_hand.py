"""The catalogue's files under all names that a text of parameters may have for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.catalogue import Catalogue, Model, Vae
from core.pictures.at_hand import AtHand, Files, NamedFile, upscaler_names

# Old A1111 texts name a file in folders "folder_file".
_FOLDERS: Final = 3


def files_at_hand(catalogue: Catalogue) -> AtHand:
    """All files by name, and by the hashes that are known."""
    return AtHand(
        models=Files(map(_named, catalogue.models)),
        vaes=Files(map(_named, catalogue.vaes)),
        loras=Files(map(_addon, catalogue.networks)),
        embeddings=Files(map(_addon, catalogue.embeddings)),
        upscalers=Files(map(_addon, catalogue.upscalers)),
    )


def _addon(file: NetworkFile | EmbeddingFile | UpscalerFile) -> NamedFile:
    alias, digits = (file.alias, file.hash) if isinstance(file, NetworkFile) else ("", "")
    theirs = upscaler_names(file.path.stem) if isinstance(file, UpscalerFile) else ()
    also = filter(None, (file.path.stem, alias, *theirs, *_with_folders(file.path)))
    return NamedFile(file.name, tuple(also), (digits,) if digits else ())


def _named(file: Model | Vae) -> NamedFile:
    also = (file.path.stem if file.layout == "file" else file.path.name, *_with_folders(file.path))
    return NamedFile(file.name, also, (file.digits,) if file.digits else ())


def _with_folders(path: Path) -> list[str]:
    folders = [folder for folder in path.parent.parts[-_FOLDERS:] if folder != path.anchor]
    return ["_".join((*folders[start:], path.stem)) for start in range(len(folders))]
