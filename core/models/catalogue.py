"""The catalogue of models, VAEs and add-ons on disk: names, families, cards. No torch.

Folders are scanned once; afterwards every look-up is in memory and only among what was found,
so a name from a member never becomes a path.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from core.errors import Refused, UnknownName, VaeMismatch
from core.families import Family, Prediction
from core.hires import UPSCALERS
from core.models.addons import AddOnScan, EmbeddingFile, NetworkFile, Shelf, UpscalerFile
from core.models.cards import Card, read_card
from core.models.folders import weights_below
from core.models.names import printable, unique
from core.models.weights import diffusers_folder, single_file
from core.models.weights.hashes import Hashes
from core.models.weights.header_cache import HeaderCache
from core.models.weights.safetensors_header import Header, read_header
from core.models.weights.single_file import ANY_LATENTS, Facts
from core.options import AUTOMATIC, NONE
from core.pictures.at_hand import upscaler_names
from core.typed import closest

__all__ = ["Card", "Catalogue", "Layout", "Model", "Vae"]

Layout = Literal["folder", "file"]
_SIBLING: Final = ".vae"


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that can be loaded. ``size`` is its native (width, height) in pixels.

    A VAE fits if its ``latent_space`` is the same string. ``sibling_vae`` is the file
    ``NAME.vae.safetensors`` beside the checkpoint, A1111's automatic choice.
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
    # The beginning of the file's SHA-256, where it was hashed before.
    digits: str = ""

    @property
    def uses_clip_skip(self) -> bool:
        """Whether clip skip changes its images: SD 2.x always takes the penultimate layer."""
        return self.family != "sd2"


@dataclass(frozen=True, slots=True)
class Vae:
    """An external VAE. An empty ``latent_space`` is unknown, and allowed with any model."""

    name: str
    path: Path
    layout: Layout
    latent_space: str
    card: Card = field(default_factory=Card)
    digits: str = ""

    def fits(self, model: Model) -> bool:
        """Return whether this VAE can decode the model's latents, as far as is known."""
        return self.latent_space in (ANY_LATENTS, model.latent_space)


@dataclass(slots=True)
class Catalogue:
    """The models, VAEs and add-ons found: the owner's first, those shipped with the bot last.

    Not frozen: a later scan updates it in place (:meth:`update`), for all who hold it.
    ``refused`` are the files that are not loaded, each with its reason; ``warnings`` are
    mistakes in cards, in plain English for the owner. ``unread`` add-ons are known by their file
    names alone, for the scan had no time left to read them.
    """

    models: tuple[Model, ...] = ()
    vaes: tuple[Vae, ...] = ()
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    networks: Shelf[NetworkFile] = field(default_factory=lambda: Shelf("LoRA"))
    embeddings: Shelf[EmbeddingFile] = field(default_factory=lambda: Shelf("embedding"))
    upscalers: Shelf[UpscalerFile] = field(default_factory=lambda: Shelf("upscaler"))
    unread: int = 0

    @classmethod
    def scan(
        cls,
        models_dir: Path,
        vaes_dir: Path,
        data_dir: Path,
        cache_dir: Path | None = None,
        addons: Mapping[str, Path] = MappingProxyType({}),
        seconds: float = math.inf,
    ) -> Catalogue:
        """Scan the owner's folders recursively, then the folders in ``data_dir``.

        ``addons`` are the folders of ``loras``, ``embeddings`` and ``upscalers``; in ``data_dir``
        they are ``demo-loras`` and so on. A missing folder counts as empty. With a ``cache_dir``,
        VAE files that cannot be identified otherwise are hashed once, and headers of add-ons read
        once, for ``seconds`` at most. Blocks on the disk: call it in a thread.
        """
        hashes = Hashes(cache_dir) if cache_dir else None
        scan = _Scan(hashes)
        unreadable = scan.unreadable
        for path in weights_below(models_dir, partial(unreadable, "model"), "model_index.json"):
            scan.add_model(path)
        for path in weights_below(vaes_dir, partial(unreadable, "VAE"), "config.json"):
            scan.add_vae(path)
        for path in sorted(data_dir.iterdir()) if data_dir.is_dir() else ():
            if (path / "model_index.json").is_file():
                scan.add_model(path)
            elif (path / "config.json").is_file():
                scan.add_vae(path)
        others = AddOnScan(HeaderCache(cache_dir), hashes, seconds)

        def folders(name: str) -> Sequence[Path]:
            return [*([addons[name]] if name in addons else ()), data_dir / f"demo-{name}"]

        found = cls(
            tuple(scan.models),
            tuple(scan.vaes),
            warnings=tuple(scan.warnings),
            networks=others.networks(folders("loras")),
            embeddings=others.embeddings(folders("embeddings")),
            upscalers=others.upscalers(folders("upscalers")),
        )
        others.cache.save()
        found.refused, found.unread = (*scan.refused, *others.refused), others.unread
        return found

    def update(self, found: Catalogue) -> None:
        """Replace the contents by those of ``found``; atomic for callers on the same thread."""
        for each in fields(self):
            setattr(self, each.name, getattr(found, each.name))

    def model(self, name: str) -> Model:
        """Return the model of this name, ignoring case. Raises :class:`UnknownName`."""
        return _find("model", name, self.models)

    def find(self, name: str) -> Model | None:
        """Return the model of this name, ignoring case; None where :meth:`model` raises."""
        try:
            return self.model(name)
        except UnknownName:
            return None

    def vae(self, name: str) -> Vae:
        """Return the external VAE of this name, ignoring case. Raises :class:`UnknownName`."""
        return _find("VAE", name, self.vaes)

    def vae_name(self, name: str) -> str:
        """Spell an external VAE's name, :data:`AUTOMATIC` or :data:`NONE`, given in any case.

        Raises :class:`UnknownName`.
        """
        words = {word.casefold(): word for word in (AUTOMATIC, NONE)}
        return words.get(name.strip().casefold()) or self.vae(name).name

    def resolve_vae(self, name: str, model: Model) -> Vae | None:
        """Return the VAE that a request's ``name`` selects; None is the checkpoint's own.

        Automatic is, as in A1111, the sibling file, else the checkpoint's own. Raises
        :class:`UnknownName` and :class:`VaeMismatch`.
        """
        name = self.vae_name(name)
        if name in (AUTOMATIC, NONE):
            return model.sibling_vae if name == AUTOMATIC else None
        vae = self.vae(name)
        if not vae.fits(model):
            raise VaeMismatch(vae.name, vae.latent_space, model.name, model.latent_space)
        return vae

    def fitting_vaes(self, model: Model) -> tuple[Vae, ...]:
        """Return the external VAEs that fit ``model``."""
        return tuple(vae for vae in self.vaes if vae.fits(model))

    def upscaler(self, name: str) -> UpscalerFile | None:
        """Return the file of hires fix's upscaler ``name``, which may be A1111's name for it.

        None is one of :data:`~core.hires.UPSCALERS`, given in any case. Raises
        :class:`UnknownName`.
        """
        if name.strip().casefold() in _BUILT_IN:
            return None
        try:
            return self.upscalers.find(name)
        except UnknownName:
            named = name.strip().casefold()
            for file in self.upscalers:
                if named in map(str.casefold, upscaler_names(file.path.stem)):
                    return file
            raise

    def upscaler_name(self, name: str) -> str:
        """Spell an upscaler's name, given in any case. Raises :class:`UnknownName`."""
        file = self.upscaler(name)
        return _BUILT_IN[name.strip().casefold()] if file is None else file.name

    @property
    def upscaler_names(self) -> tuple[str, ...]:
        """Every name that a request can give its upscaler."""
        return (*UPSCALERS, *self.upscalers.names)

    @property
    def vae_names(self) -> tuple[str, ...]:
        """Every name that a request can give its VAE."""
        return (AUTOMATIC, NONE, *(vae.name for vae in self.vaes))


_BUILT_IN: Final = {name.casefold(): name for name in UPSCALERS}

_Entry = TypeVar("_Entry", Model, Vae)


def _find(kind: str, name: str, entries: tuple[_Entry, ...]) -> _Entry:
    # A1111 shows a checkpoint as "NAME.safetensors [1a2b3c4d5e]".
    wanted = re.sub(r"\s*\[[0-9a-f]{8,64}\]$", "", name.strip()).removesuffix(".safetensors")
    for entry in entries:
        if entry.name == wanted:
            return entry
    for entry in entries:
        if entry.name.casefold() in (wanted.casefold(), name.strip().casefold()):
            return entry
    raise UnknownName(kind, name, closest(wanted, (entry.name for entry in entries)))


# Names of SD 1 models trained on Booru tags, NovelAI's and its derivatives: made for clip skip 2.
_BOORU: Final = re.compile(
    r"novel.?ai|\bnai\b|animefull|anything|abyss.?orange|orangemix|counterfeit|meina|pastel.?mix"
    r"|waifu|booru|anime|cetus|dark.?sushi|hassaku|kotosmix|aom[23]",
    re.IGNORECASE,
)
BOORU_CLIP_SKIP: Final = 2


class _Scan:
    """The result of a scan so far; each path is added once and each name is unique."""

    def __init__(self, hashes: Hashes | None) -> None:
        self.models: list[Model] = []
        self.vaes: list[Vae] = []
        self.refused: list[Refused] = []
        self.warnings: list[str] = []
        self._hashes = hashes
        self._paths: set[str] = set()
        self._taken_models: set[str] = set()
        self._taken_vaes: set[str] = {AUTOMATIC.casefold(), NONE.casefold()}

    def add_model(self, path: Path) -> None:
        """Add the checkpoint at ``path`` or its refusal; a sibling VAE is skipped."""
        if not path.stem.endswith(_SIBLING):
            self._add(path, self._model, self.models, self._taken_models)

    def add_vae(self, path: Path) -> None:
        """Add the VAE at ``path`` or its refusal."""
        self._add(path, self._vae, self.vaes, self._taken_vaes)

    def unreadable(self, kind: str, error: OSError) -> None:
        """Add the refusal of a folder that cannot be listed; a missing one counts as empty."""
        if not isinstance(error, FileNotFoundError):
            name = Path(error.filename).name
            self.refused.append(Refused(kind, name, "unreadable", error.strerror or "no access"))

    def _add(
        self, path: Path, read: Callable[[Path], _Entry], entries: list[_Entry], taken: set[str]
    ) -> None:
        resolved = os.path.realpath(path)
        if resolved in self._paths:
            return
        self._paths.add(resolved)
        try:
            entry = read(path)
        except Refused as refused:
            self.refused.append(refused)
            return
        digits = self._hashes.known(path) if self._hashes else ""
        name = unique(entry.name, path.parent.name, taken)
        taken.add(name.casefold())
        entries.append(replace(entry, name=name, digits=digits))

    def _card(self, path: Path) -> Card:
        card, warnings = read_card(path)
        self.warnings.extend(warnings)
        return card

    def _model(self, path: Path) -> Model:
        if path.is_dir():
            facts, description = diffusers_folder.describe_checkpoint(path), path.name
        else:
            header = read_header(path, "model")
            facts, description = single_file.describe_checkpoint(header), _description(header)
        card = self._card(path)
        if facts.family == "sd1" and _BOORU.search(description):
            card = replace(card, values={"clip_skip": BOORU_CLIP_SKIP, **card.values})
        return self._with_sibling(_make_model(path, facts, card))

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
        return Vae(printable(name), path, layout, card.latent_space or latent_space, card)


def _make_model(path: Path, facts: Facts, card: Card) -> Model:
    """Return the checkpoint at ``path``; what its card states overrides what was detected."""
    layout: Layout = "folder" if path.is_dir() else "file"
    zero_snr = card.zero_terminal_snr
    return Model(
        name=printable(card.name or (path.name if layout == "folder" else path.stem)),
        path=path,
        layout=layout,
        family=facts.family,
        prediction_type=card.prediction_type or facts.prediction_type,
        latent_space=card.latent_space or facts.latent_space,
        size=card.size or facts.size,
        zero_terminal_snr=facts.zero_terminal_snr if zero_snr is None else zero_snr,
        card=card,
    )


def _description(header: Header) -> str:
    stated = (header.metadata.get(f"modelspec.{key}", "") for key in ("title", "tags"))
    return " ".join((header.path.stem, *stated))
