"""What models and VAEs there are, known without torch: names, families, cards, refusals.

Folders are scanned once; after that every look-up is in memory and only among what was found,
so a name from a member never becomes a path.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from core.errors import Refused, UnknownName, VaeMismatch
from core.families import Family, Prediction
from core.models.cards import Card, read_card
from core.models.weights import diffusers_folder, single_file
from core.models.weights.hashes import Hashes
from core.models.weights.safetensors_header import PICKLE_SUFFIXES, Header, read_header
from core.models.weights.single_file import ANY_LATENTS, Facts
from core.options import AUTOMATIC, NONE

__all__ = ["Card", "Catalogue", "Layout", "Model", "Vae", "search"]

Layout = Literal["folder", "file"]
# Discord shows and sends back at most 100 characters of a choice.
MAX_NAME: Final = 100
_SIBLING: Final = ".vae"


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that can be loaded. ``size`` is its native picture size, (width, height).

    ``latent_space`` says which VAEs fit: equal strings fit. ``sibling_vae`` is the file
    ``NAME.vae.safetensors`` beside it, which A1111 calls automatic.
    """

    name: str
    path: Path
    layout: Layout
    family: Family
    prediction_type: Prediction
    latent_space: str
    size: tuple[int, int]
    zero_terminal_snr: bool = False
    sibling_vae: Vae | None = None
    card: Card = field(default_factory=Card)


@dataclass(frozen=True, slots=True)
class Vae:
    """An external VAE. An empty ``latent_space`` does not tell, and is tried with any model."""

    name: str
    path: Path
    layout: Layout
    latent_space: str
    card: Card = field(default_factory=Card)

    def fits(self, model: Model) -> bool:
        """Whether this VAE reads the model's latents, as far as one can tell."""
        return self.latent_space in (ANY_LATENTS, model.latent_space)


@dataclass(slots=True)
class Catalogue:
    """All that was found: the owner's first, what ships with the bot last.

    Not frozen: whoever holds a catalogue sees what a later scan found (:meth:`update`).

    ``refused`` are the files that will not be loaded, each with its reason; ``warnings`` are
    mistakes in cards, in plain English for the owner.
    """

    models: tuple[Model, ...] = ()
    vaes: tuple[Vae, ...] = ()
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def scan(
        cls, models_dir: Path, vaes_dir: Path, data_dir: Path, cache_dir: Path | None = None
    ) -> Catalogue:
        """Look through the owner's two folders and below, then at ``data_dir``'s own folders.

        Folders that do not exist are empty. With a ``cache_dir`` (for hashes) VAE files that
        nothing else tells apart are hashed once. Blocks on the disk: call it in a thread.
        """
        scan = _Scan(Hashes(cache_dir) if cache_dir else None)
        for path in _entries(models_dir, "model_index.json", partial(scan.unreadable, "model")):
            scan.add_model(path)
        for path in _entries(vaes_dir, "config.json", partial(scan.unreadable, "VAE")):
            scan.add_vae(path)
        for path in sorted(data_dir.iterdir()) if data_dir.is_dir() else ():
            if (path / "model_index.json").is_file():
                scan.add_model(path)
            elif (path / "config.json").is_file():
                scan.add_vae(path)
        models, vaes = tuple(scan.models), tuple(scan.vaes)
        return cls(models, vaes, tuple(scan.refused), tuple(scan.warnings))

    def update(self, found: Catalogue) -> None:
        """Take over what another scan found, all at once for whoever runs on the same thread."""
        self.models, self.vaes = found.models, found.vaes
        self.refused, self.warnings = found.refused, found.warnings

    def model(self, name: str) -> Model:
        """The model of this name, in any case. Raises :class:`UnknownName`."""
        return _find("model", name, self.models)

    def vae(self, name: str) -> Vae:
        """The external VAE of this name, in any case. Raises :class:`UnknownName`."""
        return _find("VAE", name, self.vaes)

    def resolve_vae(self, name: str, model: Model) -> Vae | None:
        """The VAE a request means by ``name``; None is the checkpoint's own.

        Automatic is, as in A1111, the sibling file, else the checkpoint's own. A card's VAE is
        a default for ``name`` and asked for by its name. Raises :class:`UnknownName` and
        :class:`VaeMismatch`.
        """
        if name.casefold() == AUTOMATIC.casefold():
            return model.sibling_vae
        if name.casefold() == NONE.casefold():
            return None
        vae = self.vae(name)
        if not vae.fits(model):
            raise VaeMismatch(vae.name, vae.latent_space, model.name, model.latent_space)
        return vae

    def fitting_vaes(self, model: Model) -> tuple[Vae, ...]:
        """The external VAEs to offer with ``model``."""
        return tuple(vae for vae in self.vaes if vae.fits(model))

    def search_vaes(self, text: str, limit: int = 25) -> list[str]:
        """VAE names for an autocomplete, best first; Automatic and None are among them."""
        return search((AUTOMATIC, NONE, *(vae.name for vae in self.vaes)), text, limit)


def search(names: Iterable[str], text: str, limit: int = 25) -> list[str]:
    """The ``names`` that match ``text``: those that start so, then words that do, then any part.

    Several words must all occur. Equal matches keep their order; misspelt text finds the
    closest names.
    """
    names = list(names)
    words = text.casefold().split()

    def rank(name: str) -> int | None:
        folded = name.casefold()
        if not all(word in folded for word in words):
            return None
        if not words or folded.startswith(" ".join(words)):
            return 0
        return 1 if re.search(rf"(?<![a-z0-9]){re.escape(words[0])}", folded) else 2

    ranked = [(place, name) for name in names if (place := rank(name)) is not None]
    if not ranked:
        return list(_close(text, names, limit))
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])][:limit]


def _close(name: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    folded = {other.casefold(): other for other in names}
    # Long texts make difflib slow, and are no names.
    near = difflib.get_close_matches(name.casefold()[:MAX_NAME], folded, limit, cutoff=0.5)
    return tuple(folded[match] for match in near)


_Entry = TypeVar("_Entry", Model, Vae)


def _find(kind: str, name: str, entries: tuple[_Entry, ...]) -> _Entry:
    # A1111 writes "NAME.safetensors [1a2b3c4d5e]" in places.
    wanted = re.sub(r"\s*\[[0-9a-f]{8,64}\]$", "", name.strip()).removesuffix(".safetensors")
    for entry in entries:
        if entry.name == wanted:
            return entry
    for entry in entries:
        if entry.name.casefold() in (wanted.casefold(), name.strip().casefold()):
            return entry
    raise UnknownName(kind, name, _close(wanted, (entry.name for entry in entries)))


def _entries(root: Path, mark: str, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Below ``root``: folders that hold the file ``mark``, and weight files outside of those."""
    seen = set()
    for folder, subfolders, files in os.walk(root, onerror=on_error, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        # Links may lead round in circles.
        seen.add(real)
        if mark in files:
            subfolders.clear()
            yield Path(folder)
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            suffix = path.suffix.lower()
            if not name.startswith(".") and (suffix == ".safetensors" or suffix in PICKLE_SUFFIXES):
                yield path


# Words in the names of models trained on Booru tags, on SD 1: NovelAI's and its descendants.
_BOORU: Final = re.compile(
    r"novel.?ai|\bnai\b|animefull|anything|abyss.?orange|orangemix|counterfeit|meina|pastel.?mix"
    r"|waifu|booru|anime|cetus|dark.?sushi|hassaku|kotosmix|aom[23]",
    re.IGNORECASE,
)
BOORU_CLIP_SKIP: Final = 2


class _Scan:
    """What has been found so far, with the names that are taken."""

    def __init__(self, hashes: Hashes | None) -> None:
        self.models: list[Model] = []
        self.vaes: list[Vae] = []
        self.refused: list[Refused] = []
        self.warnings: list[str] = []
        self._hashes = hashes
        self._paths: set[str] = set()

    def add_model(self, path: Path) -> None:
        """Add the checkpoint at ``path``, or the reason why not. Sibling VAEs are no models."""
        if path.stem.endswith(_SIBLING) or not self._is_new(path):
            return
        try:
            model = self._model(path)
        except Refused as refused:
            self.refused.append(refused)
            return
        taken = {other.name.casefold() for other in self.models}
        self.models.append(replace(model, name=_free_name(model.name, path, taken)))

    def add_vae(self, path: Path) -> None:
        """Add the VAE at ``path``, or the reason why not."""
        if not self._is_new(path):
            return
        try:
            vae = self._vae(path)
        except Refused as refused:
            self.refused.append(refused)
            return
        taken = {AUTOMATIC.casefold(), NONE.casefold()}
        taken |= {other.name.casefold() for other in self.vaes}
        self.vaes.append(replace(vae, name=_free_name(vae.name, path, taken)))

    def unreadable(self, kind: str, error: OSError) -> None:
        """Report a folder that cannot be looked into; one that does not exist is just empty."""
        if not isinstance(error, FileNotFoundError):
            name = Path(error.filename).name
            self.refused.append(Refused(kind, name, "unreadable", error.strerror or "no access"))

    def _is_new(self, path: Path) -> bool:
        resolved = os.path.realpath(path)
        new = resolved not in self._paths
        self._paths.add(resolved)
        return new

    def _card(self, path: Path) -> Card:
        card, warnings = read_card(path)
        self.warnings.extend(warnings)
        return card

    def _model(self, path: Path) -> Model:
        if path.is_dir():
            facts, hints = diffusers_folder.describe_checkpoint(path), path.name
        else:
            header = read_header(path, "model")
            facts, hints = single_file.describe_checkpoint(header), _hints(header)
        card = self._card(path)
        if facts.family == "sd1" and _BOORU.search(hints):
            card = replace(card, values={"clip_skip": BOORU_CLIP_SKIP, **card.values})
        return self._with_sibling(_assembled(path, facts, card))

    def _with_sibling(self, model: Model) -> Model:
        stem = model.path.name if model.layout == "folder" else model.path.stem
        path = model.path.with_name(f"{stem}{_SIBLING}.safetensors")
        if not path.is_file():
            return model
        try:
            vae = replace(self._vae(path), latent_space=model.latent_space)
        except Refused as refused:
            self.refused.append(refused)
            return model
        return replace(model, sibling_vae=vae)

    def _vae(self, path: Path) -> Vae:
        layout: Layout = "folder" if path.is_dir() else "file"
        if layout == "folder":
            latent_space = diffusers_folder.describe_vae(path)
        else:
            header = read_header(path, "VAE")
            single_file.check_vae(header)
            latent_space = single_file.vae_latent_space(header)
            if latent_space == ANY_LATENTS and self._hashes:
                latent_space = single_file.known_vae(self._hashes.of(path))
        card = self._card(path)
        name = card.name or (path.name if layout == "folder" else path.stem)
        return Vae(_clean(name), path, layout, card.latent_space or latent_space, card)


def _assembled(path: Path, facts: Facts, card: Card) -> Model:
    layout: Layout = "folder" if path.is_dir() else "file"
    terminal = card.zero_terminal_snr
    return Model(
        name=_clean(card.name or (path.name if layout == "folder" else path.stem)),
        path=path,
        layout=layout,
        family=facts.family,
        prediction_type=card.prediction_type or facts.prediction_type,
        latent_space=card.latent_space or facts.latent_space,
        size=card.size or facts.size,
        zero_terminal_snr=facts.zero_terminal_snr if terminal is None else terminal,
        card=card,
    )


def _hints(header: Header) -> str:
    said = (header.metadata.get(f"modelspec.{key}", "") for key in ("title", "tags"))
    return " ".join((header.path.stem, *said))


def _clean(name: str) -> str:
    """A name that can be shown and sent: printable, of a bounded length."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)[
        :MAX_NAME
    ].strip()


def _free_name(name: str, path: Path, taken: set[str]) -> str:
    """``name``, or with its folder's name or a number added when it is taken."""
    room = name[: MAX_NAME - 40]
    candidates = [name, f"{room} ({_clean(path.parent.name)[:30]})"]
    candidates += [f"{room} ({number})" for number in range(2, len(taken) + 3)]
    return next(candidate for candidate in candidates if candidate.casefold() not in taken)
