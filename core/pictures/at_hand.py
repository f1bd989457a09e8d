"""The files at hand, found by a name or a hash as texts of parameters have them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

# Fewer digits are too few to tell files apart; old A1111 texts have eight of another hash.
MIN_DIGITS: Final = 10
_ENDINGS: Final = frozenset({"safetensors", "ckpt", "pt", "pth", "bin"})

# A1111 has names of its own for the upscalers that it fetches: the files' names, folded.
_UPSCALERS: Final = {
    "R-ESRGAN 4x+": "realesrgan_x4plus",
    "R-ESRGAN 4x+ Anime6B": "realesrgan_x4plus_anime_6b",
    "R-ESRGAN 2x+": "realesrgan_x2plus",
    "R-ESRGAN General 4xV3": "realesr-general-x4v3",
    "R-ESRGAN General WDN 4xV3": "realesr-general-wdn-x4v3",
    "R-ESRGAN AnimeVideo": "realesr-animevideov3",
    "ESRGAN_4x": "esrgan",
    "SwinIR_4x": "003_realsr_bsrgan_dfowmfc_s64w8_swinir-l_x4_gan",
    "SwinIR 4x": "003_realsr_bsrgan_dfowmfc_s64w8_swinir-l_x4_gan",
    "ScuNET": "scunet_color_real_gan",
    "ScuNET GAN": "scunet_color_real_gan",
    "ScuNET PSNR": "scunet_color_real_psnr",
    "DAT x2": "dat_x2",
    "DAT x3": "dat_x3",
    "DAT x4": "dat_x4",
}


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file's name here, other names it may be called, and its hashes (hex, at least ten)."""

    name: str
    also: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()


class Lookup(Protocol):
    """Files of one kind, wherever they are listed."""

    def find(self, name: str, digits: str = "") -> NamedFile | None:
        """Find a file by its name, else by its hash."""

    def of_hash(self, digits: str) -> NamedFile | None:
        """Find a file by ten or more digits of its hash."""


class Files:
    """Files of one kind, listed here; put in order when the first one is looked for."""

    def __init__(self, files: Iterable[NamedFile]) -> None:
        self._files = files
        self._names: dict[str, NamedFile] | None = None
        self._hashes: dict[str, NamedFile] = {}

    def find(self, name: str, digits: str = "") -> NamedFile | None:
        """Find a file by its name, else by its hash."""
        return self._by_name().get(plain(name)) or self.of_hash(digits)

    def of_hash(self, digits: str) -> NamedFile | None:
        """Find a file by ten or more digits of its hash."""
        self._by_name()
        return self._hashes.get(digits.lower()[:MIN_DIGITS]) if len(digits) >= MIN_DIGITS else None

    def _by_name(self) -> dict[str, NamedFile]:
        if self._names is None:
            self._names = {}
            for file in self._files:
                for name in (file.name, *file.also):
                    self._names.setdefault(plain(name), file)
                for digits in file.hashes:
                    self._hashes.setdefault(digits.lower()[:MIN_DIGITS], file)
        return self._names


def is_another(file: NamedFile, digits: str) -> bool:
    """Whether a text's hash is known to be another file's."""
    if len(digits) < MIN_DIGITS or not file.hashes:
        return False
    return digits.lower()[:MIN_DIGITS] not in (each.lower()[:MIN_DIGITS] for each in file.hashes)


@dataclass(frozen=True, slots=True)
class AtHand:
    """The files at hand by kind. None is not known: such names are passed on as they are."""

    models: Lookup | None = None
    vaes: Lookup | None = None
    loras: Lookup | None = None
    embeddings: Lookup | None = None
    upscalers: Lookup | None = None

    @classmethod
    def named(cls, **names: Collection[str]) -> AtHand:
        """Make it of the names of each kind that is given."""
        return cls(**{kind: Files(map(NamedFile, given)) for kind, given in names.items()})


def upscaler_names(stem: str) -> tuple[str, ...]:
    """The names by which A1111 calls an upscaler that it fetched as this file."""
    return tuple(name for name, file in _UPSCALERS.items() if file == plain(stem))


def plain(name: str) -> str:
    """Fold a file's name: without folder and file ending, in one case and one Unicode form."""
    name = name.strip().replace("\\", "/").rpartition("/")[2]
    stem, _, ending = name.rpartition(".")
    if stem and ending.lower() in _ENDINGS:
        name = stem
    # Thousands of names are folded at once, and most are of ASCII.
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()
