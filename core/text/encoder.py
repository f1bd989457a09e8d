"""A CLIP text encoder and its tokenizer: chunks of tokens to the output of any layers.

transformers always runs all layers; here a pass ends at the last layer that is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from core.prompt.cleaning import clean
from core.prompt.parser import BREAK, Chunk, Segments, chunk

POOLED: Final = 0


class Cache:
    """Hidden states by (encoder, tokens, exit), at most ``limit`` bytes of the latest used."""

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


class TextEncoder:
    """A text encoder. ``model`` is transformers' CLIPTextModel, with or without its projection.

    ``normed`` puts every exit through the final layer norm (SD 1 and 2; SDXL takes them raw).
    ``open_clip`` marks an encoder trained by OpenCLIP: padded with id 0 after the first
    end token, HTML entities unescaped twice before tokenising. With ``pools`` :data:`POOLED` is
    wanted.
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
    ) -> None:
        # transformers ≥ 5.6 has no .text_model inside CLIPTextModel, only beside a projection.
        self.text_model = getattr(model, "text_model", model)
        self.projection: Any = getattr(model, "text_projection", None)
        self.tokenizer = tokenizer
        self.cache = cache
        self.normed = normed
        self.open_clip = open_clip
        self.pools = pools
        self.comma = tokenizer.get_vocab().get(",</w>")

    @property
    def layers(self) -> int:
        """The number of transformer layers: 12 in CLIP-L."""
        return len(self.text_model.encoder.layers)

    @property
    def length(self) -> int:
        """The tokens in a chunk with its start and end: 77."""
        return int(self.text_model.config.max_position_embeddings)

    def chunks(self, segments: Segments) -> tuple[list[Chunk], int]:
        """Divide one text of a schedule into chunks; also count its tokens."""
        tokens = iter(self.tokenize([segment[0] for segment in segments if segment != BREAK]))
        return chunk(
            [None if segment == BREAK else (next(tokens), segment[1]) for segment in segments],
            start=self.tokenizer.bos_token_id,
            end=self.tokenizer.eos_token_id,
            comma=self.comma,
            pad=0 if self.open_clip else None,
            length=self.length - 2,
        )

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
        found = {exit_: self.cache.get((id(self), tokens, exit_)) for exit_ in wanted}
        missing = [exit_ for exit_, tensor in found.items() if tensor is None]
        if missing:
            fresh = self._run(tokens, missing)
            for exit_, tensor in fresh.items():
                self.cache.put((id(self), tokens, exit_), tensor)
            found |= fresh
        device = self.text_model.final_layer_norm.weight.device
        return {exit_: tensor.to(device) for exit_, tensor in found.items() if tensor is not None}

    def _run(self, tokens: tuple[int, ...], exits: Sequence[int]) -> dict[int, Tensor]:
        model = self.text_model
        ids = torch.tensor([tokens], device=model.final_layer_norm.weight.device)
        last = self.layers if POOLED in exits else self.layers + 1 - min(exits)
        hidden = model.embeddings(input_ids=ids)
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

    def _norm(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.text_model.final_layer_norm(hidden)
        return normed
