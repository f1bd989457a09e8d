"""``TextConditioner``: encode a prompt at a clip skip to the UNet's conditioning at each call.

Needs transformers' tokenizers and text encoders only, no pipeline. Behaves as A1111 1.8/1.10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from core.errors import Refused
from core.families import Family
from core.notes import Note
from core.options import RANGES, Range
from core.prompt.parser import CHUNK, Chunk, Prompt
from core.sampling.uploads import upload
from core.text.embeddings import Embedding, Embeddings
from core.text.encoder import POOLED, Cache, TextEncoder

CACHE_BYTES: Final = 64 * 2**20
MAX_CLIP_SKIP: Final = int(RANGES["clip_skip"].high)


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """One prompt, encoded.

    ``parts`` is ``[(AND weight, [(until, context), …]), …]``: at model call ``c``, from 0, a part
    uses its first entry with ``until >= c``; contexts are (chunks · 77, width), in the
    encoders' dtype, and equal texts share one tensor. All have the same number of chunks:
    a part with fewer ends in its last vector, repeated, as A1111 does it. ``pooled`` is SDXL's
    (entries, width), one row per entry of all parts in order; None for other families.
    ``tokens`` and ``chunks`` are the largest of any entry, counted as A1111 counts them.
    ``embeddings`` are those that the prompt names, in order.
    """

    parts: list[tuple[float, list[tuple[int, Tensor]]]]
    pooled: Tensor | None
    tokens: int
    chunks: int
    notes: tuple[Note, ...] = ()
    embeddings: tuple[Embedding, ...] = ()

    def at(self, call: int) -> list[tuple[float, Tensor, Tensor | None]]:
        """Return what call ``call`` (from 0) uses: ``(AND weight, context, pooled)`` per part."""
        rows = []
        offset = 0
        for weight, entries in self.parts:
            place = next((i for i, (until, _) in enumerate(entries) if until >= call), -1)
            place %= len(entries)
            pooled = None if self.pooled is None else self.pooled[offset + place]
            rows.append((weight, entries[place][1], pooled))
            offset += len(entries)
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One AND part: contexts by (exit, text), SDXL's pooled vectors by text."""

    contexts: dict[tuple[int, str], Tensor]
    pooled: dict[str, Tensor]
    tokens: int
    chunks: int
    embeddings: tuple[Embedding, ...]

    def lengthened(self, chunks: int) -> _Part:
        """Repeat each context's last vector until it has this number of chunks."""
        if chunks == self.chunks:
            return self

        def lengthen(context: Tensor) -> Tensor:
            missing = len(context) // self.chunks * (chunks - self.chunks)
            return torch.cat([context, context[-1:].expand(missing, -1)])

        return replace(self, contexts={key: lengthen(c) for key, c in self.contexts.items()})


class TextConditioner:
    """Encodes prompts for one checkpoint.

    ``tokenizers`` and ``text_encoders`` are transformers' objects: one of each, or SDXL's two
    (CLIP-L first, OpenCLIP-G second). ``family`` is read from the encoders when not given: two
    are SDXL's; one with the activation ``gelu`` is SD 2's OpenCLIP-H (OpenAI's CLIP-L has
    ``quick_gelu``). The encoders' device and dtype are used as they are at each call.
    ``embeddings`` are files by the name that stands for them in a prompt.

    Raises :class:`Refused` for text encoders that are not CLIP's.
    """

    def __init__(
        self,
        tokenizers: Any,
        text_encoders: Any,
        *,
        family: Family | None = None,
        embeddings: Mapping[str, Path | str] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        models = _as_tuple(text_encoders)
        for model in models:
            if not hasattr(getattr(model, "text_model", model), "final_layer_norm"):
                name = type(model).__name__
                raise Refused("text encoder", name, "family", "something other than CLIP")
        self.family: Family = family or _family(models)
        self.cache = Cache(cache_bytes)
        self.encoders = [
            TextEncoder(
                tokenizer,
                model,
                self.cache,
                normed=self.family != "sdxl",
                open_clip=self.family == "sd2" or place == 1,
                pools=place == 1,
                place=place,
            )
            for place, (tokenizer, model) in enumerate(
                zip(_as_tuple(tokenizers), models, strict=True)
            )
        ]
        self.embeddings = Embeddings([encoder.width for encoder in self.encoders])
        self._offered: Mapping[str, Path | str] | None = None
        self.use_embeddings(embeddings or {})

    def use_embeddings(self, files: Mapping[str, Path | str]) -> None:
        """Read the names of these embeddings in prompts from now on, and of no others."""
        if files == self._offered:
            return
        self._offered = dict(files)
        self.embeddings.offer(files)
        for encoder in self.encoders:
            encoder.use(self.embeddings)

    @property
    def layers(self) -> int:
        """The largest clip skip, which is the number of layers of the (shorter) encoder."""
        return min(encoder.layers for encoder in self.encoders)

    def encode(self, prompt: Prompt, clip_skip: int) -> Conditioning:
        """Encode ``prompt`` at one clip skip (A1111's: 1 is the last layer).

        Layers after the exit are not run. SDXL's empty negative prompt is zeros.

        Raises :class:`~core.errors.InvalidRequest` for a clip skip the encoder has no layer for,
        and :class:`Refused` for a damaged embedding.
        """
        if not 1 <= clip_skip <= self.layers:
            raise Range(1, self.layers).invalid("clip_skip", str(clip_skip))
        return self._encode(prompt, [clip_skip])[clip_skip]

    def encode_all_exits(self, prompt: Prompt) -> dict[int, Conditioning]:
        """Return ``{clip_skip: conditioning}`` for 1 to 12 (or the layers there are).

        All from one pass of the encoder; bit for bit what :meth:`encode` gives for each.
        """
        return self._encode(prompt, range(1, min(MAX_CLIP_SKIP, self.layers) + 1))

    def _encode(self, prompt: Prompt, clip_skips: Sequence[int]) -> dict[int, Conditioning]:
        exits = {clip_skip: self._exit(clip_skip) for clip_skip in clip_skips}
        notes = list(prompt.notes)
        parts = [
            self._encode_part([text for _, text in entries], set(exits.values()), prompt, notes)
            for _, entries in prompt.parts
        ]
        tokens = max(part.tokens for part in parts)
        chunks = max(part.chunks for part in parts)
        parts = [part.lengthened(chunks) for part in parts]
        embeddings = dict.fromkeys(each for part in parts for each in part.embeddings)
        if tokens > CHUNK:
            which = "negative prompt" if prompt.negative else "prompt"
            notes.append(Note.of("long_prompt", which=which, tokens=tokens, chunks=chunks))
        pooled = [
            part.pooled[text]
            for (_, entries), part in zip(prompt.parts, parts, strict=True)
            for _, text in entries
            if part.pooled
        ]

        def conditioning(clip_skip: int) -> Conditioning:
            contexts = [
                (
                    weight,
                    [(until, part.contexts[exits[clip_skip], text]) for until, text in entries],
                )
                for (weight, entries), part in zip(prompt.parts, parts, strict=True)
            ]
            effect = [] if prompt.negative else self._effect(clip_skip)
            stacked = torch.stack(pooled) if pooled else None
            all_notes = tuple(dict.fromkeys((*notes, *effect)))
            return Conditioning(contexts, stacked, tokens, chunks, all_notes, tuple(embeddings))

        return {clip_skip: conditioning(clip_skip) for clip_skip in clip_skips}

    def _exit(self, clip_skip: int) -> int:
        """Return the layer, counted from the end, that the UNet of this family expects."""
        if self.family == "sd1":
            return clip_skip
        if self.family == "sd2":
            # Always OpenCLIP-H's penultimate; diffusers ships it cut, as the last of 23 layers.
            return 2 if self.layers == 24 else 1
        # A1111 leaves SDXL at 2. From 3 on both encoders move, as ComfyUI and diffusers do it.
        return max(clip_skip, 2)

    def _effect(self, clip_skip: int) -> list[Note]:
        if self.family == "sd2" and clip_skip > 1:
            return [Note.of("clip_skip_no_effect", family="SD 2.x")]
        if self.family == "sdxl" and clip_skip > 1:
            return [Note.of("clip_skip_sdxl")]
        return []

    def _encode_part(
        self, texts: Sequence[str], exits: set[int], prompt: Prompt, notes: list[Note]
    ) -> _Part:
        """Encode a schedule's texts, given once per entry, at all ``exits``; add ``notes``."""
        copies = Counter(texts)
        weighted = [prompt.weighted[text] for text in copies]
        tokenised = [
            [encoder.chunks(text, notes) for text in weighted] for encoder in self.encoders
        ]
        tokens = max(count for _, count in tokenised[0])
        length = max(len(chunks) for column in tokenised for chunks, _ in column)
        contexts: dict[int, list[Tensor]] = {exit_: [] for exit_ in exits}
        pooled: dict[str, Tensor] = {}
        for encoder, column in zip(self.encoders, tokenised, strict=True):
            # A1111 fills the shorter texts of a schedule up with empty chunks.
            empty = encoder.chunks([("", 1.0)])[0]
            filled = [chunks + empty * (length - len(chunks)) for chunks, _ in column]
            encoded = _encode_chunks(encoder, filled, list(copies.values()), exits, prompt.emphasis)
            for exit_, context in encoded.items():
                contexts[exit_].append(context)
            if encoder.pools:
                firsts = [chunks[0].tokens for chunks in filled]
                pooled = {
                    text: encoder.encode(first, [POOLED])[POOLED]
                    for text, first in zip(copies, firsts, strict=True)
                }
        by_text = {
            (exit_, text): context
            for exit_, columns in contexts.items()
            for text, context in zip(copies, torch.cat(columns, dim=2), strict=True)
        }
        if prompt.negative and self.family == "sdxl" and not any(text.strip() for text in copies):
            by_text = {key: torch.zeros_like(context) for key, context in by_text.items()}
            pooled = {text: torch.zeros_like(vector) for text, vector in pooled.items()}
        used = self.embeddings.used(
            token for chunks, _ in tokenised[0] for chunk in chunks for token in chunk.tokens
        )
        return _Part(by_text, pooled, tokens, length, tuple(used))


def _encode_chunks(
    encoder: TextEncoder,
    texts: Sequence[Sequence[Chunk]],
    copies: Sequence[int],
    exits: set[int],
    emphasis: str,
) -> dict[int, Tensor]:
    """Encode texts of equally many chunks to {exit: (texts, chunks · 77, width)}, emphasised."""
    columns: dict[int, list[Tensor]] = {exit_: [] for exit_ in exits}
    for place, row in enumerate(zip(*texts, strict=True)):
        wanted = {*exits, POOLED} if encoder.pools and place == 0 else exits
        states = [encoder.encode(chunk.tokens, wanted) for chunk in row]
        for exit_, column in columns.items():
            plain = torch.stack([state[exit_] for state in states])
            column.append(_emphasise(plain, row, copies, emphasis))
    return {exit_: torch.cat(column, dim=1) for exit_, column in columns.items()}


def _emphasise(
    states: Tensor, row: Sequence[Chunk], copies: Sequence[int], emphasis: str
) -> Tensor:
    """Apply A1111's ``emphasis`` to a chunk of each text of a schedule, (texts, 77, width).

    "No norm" multiplies every vector by its token's weight. "Original" then multiplies all of
    them by (mean before ÷ mean after): the mean over this chunk of all the schedule's entries,
    of which ``copies`` have each text. "Ignore" leaves the weights out, and "None" knows none.
    """
    if emphasis == "Ignore" or all(weight == 1 for chunk in row for weight in chunk.weights):
        return states
    plain = states.float()
    weights = torch.tensor([chunk.weights for chunk in row], dtype=torch.float32)
    weighted = plain * upload(weights, plain.device)[..., None]
    if emphasis == "Original":
        share = upload(torch.tensor(copies, dtype=torch.float32), plain.device) / sum(copies)
        scale = (plain.mean((1, 2)) @ share) / (weighted.mean((1, 2)) @ share)
        # With weights that are all 0, or overflow, there is no mean to restore.
        weighted = weighted * torch.where(scale.isfinite(), scale, 1.0)
    limit = torch.finfo(states.dtype).max
    return weighted.clamp(-limit, limit).to(states.dtype)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _family(models: Sequence[Any]) -> Family:
    if len(models) == 2:
        return "sdxl"
    return "sd2" if models[0].config.hidden_act == "gelu" else "sd1"
