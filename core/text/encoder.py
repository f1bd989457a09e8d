"""A CLIP text encoder and its tokenizer: chunks of tokens to the output of any layers.

transformers always runs all layers; here a pass ends at the last layer that is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from core.notes import Note
from core.prompt.cleaning import clean
from core.prompt.parser import BREAK, Chunk, Segments, chunk
from core.sampling.uploads import upload
from core.text.embeddings import FIRST_ID, Bundled, Embeddings, NameTable

POOLED: Final = 0


class Cache:
    """Hidden states by (encoder, networks, tokens, exit): at most ``limit`` bytes, latest used."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._tensors: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tensors)

    def get(self, key: tuple[Any, ...]) -> Tensor | None:
        """Return the tensor kept under ``key``, which is now the most recently used."""
        if key in self._tensors:
            self._tensors.move_to_end(key)
        return self._tensors.get(key)

    def put(self, key: tuple[Any, ...], tensor: Tensor) -> None:
        """Keep ``tensor``, and drop the least recently used until all fit."""
        replaced = self._tensors.pop(key, None)
        self.size += tensor.nbytes - (0 if replaced is None else replaced.nbytes)
        self._tensors[key] = tensor
        while self.size > self.limit:
            self.size -= self._tensors.popitem(last=False)[1].nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What networks do to a text encoder: ``key`` says how they change its weights, so that what
    is encoded is cached by it; ``bundled`` are the embeddings that come with them, by name."""

    key: Hashable = ()
    bundled: Mapping[str, Bundled] = field(default_factory=dict)

    def inside(self, outer: Changes | None) -> Changes:
        """These changes on top of others, which came first."""
        if outer is None:
            return self
        return Changes((outer.key, self.key), {**outer.bundled, **self.bundled})


class TextEncoder:
    """A text encoder. ``model`` is transformers' CLIPTextModel, with or without its projection.

    ``normed`` puts every exit through the final layer norm (SD 1 and 2; SDXL takes them raw).
    ``open_clip`` marks an encoder trained by OpenCLIP: padded with id 0 after the first
    end token, HTML entities unescaped twice before tokenising. With ``pools`` :data:`POOLED` is
    wanted.

    While networks change the model's weights, ``model.networks`` is the :class:`Changes`.
    """

    def __init__(
        self,
        tokenizer: Any,
        model: Any,
        cache: Cache,
        *,
        normed: bool,
        open_clip: bool,
        pools: bool,
        place: int = 0,
    ) -> None:
        self.model = model
        # transformers ≥ 5.6 has no .text_model inside CLIPTextModel, only beside a projection.
        self.text_model = getattr(model, "text_model", model)
        self.projection: Any = getattr(model, "text_projection", None)
        self.tokenizer = tokenizer
        self.cache = cache
        self.normed = normed
        self.open_clip = open_clip
        self.pools = pools
        self.place = place
        self.comma = tokenizer.get_vocab().get(",</w>")

    @property
    def layers(self) -> int:
        """The number of transformer layers: 12 in CLIP-L."""
        return len(self.text_model.encoder.layers)

    @property
    def width(self) -> int:
        """The numbers in a vector: 768 in CLIP-L."""
        return int(self.text_model.config.hidden_size)

    @property
    def length(self) -> int:
        """The tokens in a chunk with its start and end: 77."""
        return int(self.text_model.config.max_position_embeddings)

    @property
    def changes(self) -> Changes:
        """What networks do to this encoder now."""
        return getattr(self.model, "networks", None) or Changes()

    def use(self, embeddings: Embeddings) -> None:
        """Read the names of these embeddings from now on, and of no others."""
        self.embeddings = embeddings
        self.names = self._table(embeddings.files)

    def _table(self, names: Iterable[str]) -> NameTable:
        names = list(names)
        return NameTable(dict(zip(names, self.tokenize(names), strict=True)))

    def chunks(
        self, segments: Segments, notes: list[Note] | None = None
    ) -> tuple[list[Chunk], int]:
        """Divide one text of a schedule into chunks; also count its tokens.

        ``notes`` gets one on each embedding that is named and not for this encoder. Raises
        :class:`~core.errors.Refused` for a damaged one.
        """
        tokens = iter(self.tokenize([segment[0] for segment in segments if segment != BREAK]))
        return chunk(
            [
                None if segment == BREAK else (self._placed(next(tokens), notes), segment[1])
                for segment in segments
            ],
            start=self.tokenizer.bos_token_id,
            end=self.tokenizer.eos_token_id,
            comma=self.comma,
            pad=0 if self.open_clip else None,
            length=self.length - 2,
        )

    def _placed(
        self, tokens: Sequence[int], notes: list[Note] | None
    ) -> list[int | tuple[int, ...]]:
        """Put embeddings in the place of their names; a longer one than a chunk in several."""
        placed: list[int | tuple[int, ...]] = []
        bundled = self.changes.bundled
        table = self._table(bundled.keys() - self.embeddings.files)
        longest = self.length - 2
        at = 0
        while at < len(tokens):
            found = [*self.names.at(tokens, at), *table.at(tokens, at)]
            for name, length in sorted(found, key=itemgetter(1), reverse=True):
                embedding = (
                    self.embeddings.get(name)
                    if name in self.embeddings.files
                    else self.embeddings.get_bundled(name, bundled[name])
                )
                if embedding is not None:
                    at += length
                    placed += (
                        embedding.ids[start : start + longest]
                        for start in range(0, len(embedding.ids), longest)
                    )
                    break
                if notes is not None:
                    notes.append(Note.of("embedding_left_out", name=name))
            else:
                placed.append(tokens[at])
                at += 1
        return placed

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's own token ids, without start and end."""
        if not texts:
            return []
        cleaned = [clean(text, open_clip=self.open_clip) for text in texts]
        # verbose=False: no warning for more tokens than fit, as they are divided into chunks.
        ids = self.tokenizer(cleaned, add_special_tokens=False, truncation=False, verbose=False)
        return list(ids["input_ids"])

    @torch.no_grad()
    def encode(self, tokens: tuple[int, ...], exits: Iterable[int]) -> dict[int, Tensor]:
        """Return the hidden states (77, width) of one chunk at each of ``exits``.

        Exit k is the k-th layer from the end: 1 is the last, 2 the penultimate.
        :data:`POOLED` is the projected vector (width,) at the first end token: always of the
        last layer, normed. Runs no layer after the deepest exit that is not in the cache.

        One chunk a call: then a chunk's bytes do not depend on what else is encoded.
        """
        wanted = tuple(exits)
        key = (id(self), self.changes.key, tokens)
        found = {exit_: self.cache.get((*key, exit_)) for exit_ in wanted}
        missing = [exit_ for exit_, tensor in found.items() if tensor is None]
        if missing:
            fresh = self._run(tokens, missing)
            for exit_, tensor in fresh.items():
                self.cache.put((*key, exit_), tensor)
            found |= fresh
        device = self.text_model.final_layer_norm.weight.device
        return {exit_: tensor.to(device) for exit_, tensor in found.items() if tensor is not None}

    def _run(self, tokens: tuple[int, ...], exits: Sequence[int]) -> dict[int, Tensor]:
        model = self.text_model
        last = self.layers if POOLED in exits else self.layers + 1 - min(exits)
        hidden = model.embeddings(inputs_embeds=self._embedded(tokens))
        mask = create_causal_mask(
            config=model.config, inputs_embeds=hidden, attention_mask=None, past_key_values=None
        )
        states = {}
        for done, layer in enumerate(islice(model.encoder.layers, last), start=1):
            hidden = layer(hidden, mask, is_causal=True)
            exit_ = self.layers + 1 - done
            if exit_ in exits:
                states[exit_] = self._norm(hidden)[0] if self.normed else hidden[0]
        if POOLED in exits:
            end = tokens.index(self.tokenizer.eos_token_id)
            states[POOLED] = self.projection(self._norm(hidden)[0, end])
        return states

    def _embedded(self, tokens: tuple[int, ...]) -> Tensor:
        """Return the tokens' vectors (1, 77, width), without their positions."""
        table = self.text_model.embeddings.token_embedding
        ids = [0 if token >= FIRST_ID else token for token in tokens]
        embedded: Tensor = table(upload(torch.tensor([ids]), table.weight.device))
        places = [place for place, token in enumerate(tokens) if token >= FIRST_ID]
        if places:
            own = [self.embeddings.vector(tokens[place], self.place) for place in places]
            embedded[0, places] = torch.stack(own).to(embedded)
        return embedded

    def _norm(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.text_model.final_layer_norm(hidden)
        return normed
