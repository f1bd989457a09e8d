"""The add-ons of a request: from the names in its prompts to files that fit its model. No torch.

What cannot be used is left out with a note, as in A1111, which does so in silence where a file is
for another family of models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.errors import AmbiguousName, UnknownName
from core.models.addons import EmbeddingFile, NetworkFile
from core.models.block_weights import block_weights
from core.models.catalogue import Catalogue, Model
from core.models.weights.network_file import MAX_MULTIPLIER, MAX_NETWORKS, NetworkUse
from core.notes import Note
from core.prompt.tags import Use, names_embedding, networks
from core.request import GenerationRequest

_FAMILIES: Final = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}


@dataclass(frozen=True, slots=True)
class UsedNetwork:
    """A network of a prompt: its ``name`` there, its file, and how strongly it acts."""

    name: str
    file: NetworkFile
    use: NetworkUse


@dataclass(frozen=True, slots=True)
class AddOns:
    """What a request uses besides its model: networks, in prompt order, and embeddings.

    ``second`` are the networks of hires fix's pass, which its own prompt may replace.
    ``embeddings`` are all that the prompts may name; tokens decide, so some may not be used.
    """

    networks: tuple[UsedNetwork, ...] = ()
    second: tuple[UsedNetwork, ...] = ()
    embeddings: tuple[EmbeddingFile, ...] = ()


NO_ADDONS: Final = AddOns()


def addons_of(
    request: GenerationRequest, catalogue: Catalogue, model: Model
) -> tuple[AddOns, tuple[Note, ...]]:
    """Find the files that a request's prompts name; notes say what was left out, and why."""
    notes: list[Note] = []
    first = networks_of(request.prompt, catalogue, model, notes)
    own = request.hires.prompt if request.hires else ""
    second = networks_of(own, catalogue, model, notes) if own else first
    embeddings = tuple(_embeddings(texts_of(request), catalogue, model))
    return AddOns(first, second, embeddings), tuple(dict.fromkeys(notes))


def texts_of(request: GenerationRequest) -> list[str]:
    """List a request's prompts and negative prompts, which may name add-ons."""
    texts = [request.prompt, request.negative_prompt]
    if request.hires:
        texts += [request.hires.prompt, request.hires.negative_prompt]
    return texts


def named_networks(request: GenerationRequest, catalogue: Catalogue) -> Iterator[str]:
    """Yield the names in the catalogue of the networks that a request's prompts name, whatever
    model they are for."""
    for text in (request.prompt, request.hires.prompt if request.hires else ""):
        for use in networks(text)[1][:MAX_NETWORKS]:
            try:
                yield catalogue.networks.find(use.name).name
            except (UnknownName, AmbiguousName):
                continue


def named_embeddings(request: GenerationRequest, catalogue: Catalogue) -> Iterator[str]:
    """Yield the embeddings that a request's prompts name by words of their own, and that fit its
    model, as far as that is known.

    Which are used is for tokens to say; a name inside of a word is seldom one that is meant.
    """
    model = catalogue.find(request.model)
    text = "\n".join(" ".join(text.split()).casefold() for text in texts_of(request))
    for embedding in catalogue.embeddings:
        name = " ".join(embedding.name.split()).casefold()
        if name not in text or not names_embedding(embedding.name):
            continue
        fits = model is None or embedding.family in (None, model.family)
        if fits and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            yield embedding.name


def networks_of(
    text: str, catalogue: Catalogue, model: Model, notes: list[Note]
) -> tuple[UsedNetwork, ...]:
    """Find the networks of one prompt; what was left out, and why, is added to ``notes``."""
    # The tags' own notes come with the prompt, where it is read.
    _, uses, _ = networks(text)
    if len(uses) > MAX_NETWORKS:
        notes.append(Note.of("networks_many", limit=MAX_NETWORKS))
    return tuple(
        found
        for use in uses[:MAX_NETWORKS]
        if (found := _network(use, catalogue, model, notes)) is not None
    )


def _network(use: Use, catalogue: Catalogue, model: Model, notes: list[Note]) -> UsedNetwork | None:
    try:
        file = catalogue.networks.find(use.name)
    except UnknownName:
        notes.append(Note.of("unknown_name", kind="LoRA", name=use.name))
        return None
    except AmbiguousName as error:
        notes.append(Note.of("network_ambiguous", name=use.name, names=error.names))
        return None
    if file.family not in (None, model.family):
        fits, needs = _FAMILIES[file.family], _FAMILIES[model.family]
        notes.append(Note.of("network_family", name=use.name, fits=fits, needs=needs))
        return None
    blocks: tuple[tuple[str, float], ...] = ()
    if use.blocks:
        try:
            blocks = block_weights(use.blocks)
        except ValueError:
            notes.append(Note.of("network_blocks", name=use.name, text=use.blocks))
    for weight in (use.te, use.unet, *(weight for _, weight in blocks)):
        if not math.isfinite(weight) or abs(weight) > MAX_MULTIPLIER:
            values = {"name": use.name, "value": f"{weight:g}", "limit": MAX_MULTIPLIER}
            notes.append(Note.of("network_weight", **values))
            return None
    return UsedNetwork(use.name, file, NetworkUse(file.path, use.te, use.unet, use.dyn, blocks))


def _embeddings(texts: list[str], catalogue: Catalogue, model: Model) -> Iterator[EmbeddingFile]:
    """Yield the embeddings whose letters occur in the texts: spaces do not count for tokens."""
    letters = "\n".join("".join(text.split()).casefold() for text in texts)
    for embedding in catalogue.embeddings:
        name = "".join(embedding.name.split()).casefold()
        if name in letters and embedding.family in (None, model.family):
            yield embedding
