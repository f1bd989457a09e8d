"""Guidance: a request's encoded prompts, the rows of a model call, and how outputs are mixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from core.errors import InvalidRequest
from core.notes import Note
from core.prompt.parser import Prompt, read
from core.request import GenerationRequest
from core.sampling.samplers import conditioning_steps
from core.sampling.trajectory import Mix
from core.text.conditioning import Conditioning, TextConditioner
from core.text.embeddings import Embedding

# Of all the texts that a prompt's editing gives: about 25 times the longest prompt allowed.
MAX_LENGTH: Final = 100_000


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance over a positive prompt's AND parts and a negative prompt."""

    positive: Conditioning
    negative: Conditioning
    cfg_scale: float
    # By the context's identity, which lives as long as the guidance does, and the times.
    _repeats: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def encode(
        cls,
        conditioner: TextConditioner,
        request: GenerationRequest,
        *,
        second_pass: bool = False,
        all_exits: bool = False,
    ) -> Guidance:
        """Encode both prompts at the request's clip skip, for one pass of its sampler.

        The second pass may have prompts, a sampler and a CFG scale of its own. ``all_exits``
        keeps every clip skip of the prompts in the conditioner's cache, from one pass of the
        text encoder: for a sheet over clip skips.
        """
        steps = conditioning_steps(request.sampler, request.steps)
        hires = request.hires if second_pass else None
        hires_steps = None
        if hires is not None:
            sampler = hires.sampler or request.sampler
            hires_steps = conditioning_steps(sampler, request.second_steps)

        def conditioning(field: str) -> Conditioning:
            prompt = read(
                (hires and getattr(hires, field)) or getattr(request, field),
                steps,
                hires_steps=hires_steps,
                negative=field == "negative_prompt",
                emphasis=request.emphasis,
                old_timelines=request.old_timelines,
            )
            _check_length(prompt, field)
            if all_exits:
                conditioner.encode_all_exits(prompt)
            return conditioner.encode(prompt, request.clip_skip)

        cfg_scale = (hires and hires.cfg_scale) or request.cfg_scale
        return cls(conditioning("prompt"), conditioning("negative_prompt"), cfg_scale)

    @property
    def mix(self) -> Mix:
        """How the rows' outputs are mixed."""
        return Mix(tuple(weight for weight, _ in self.positive.parts), self.cfg_scale)

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on both prompts."""
        return self.positive.notes + self.negative.notes

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The embeddings that the prompts name."""
        return self.positive.embeddings + self.negative.embeddings

    @property
    def rows_needed(self) -> int:
        """The number of rows: one for each AND part, and one for the negative prompt."""
        return len(self.positive.parts) + (not self.mix.negative_cancels)

    def at(self, call: int, with_negative: bool) -> list[tuple[Tensor, Tensor | None]]:
        """Return each row's (context, pooled) at a model call: AND parts, then the negative."""
        rows = self.positive.at(call)
        if with_negative:
            rows += self.negative.at(call)
        longest = max(context.shape[0] for _, context, _ in rows)
        return [(self._repeated(context, longest), pooled) for _, context, pooled in rows]

    def _repeated(self, context: Tensor, length: int) -> Tensor:
        """Bring a context (T, width) to ``length`` when that is a whole number of times T.

        Cross-attention over a context repeated k times is exactly that over the context; anything
        between would weigh its tokens unequally, so such rows go in UNet calls of their own.
        """
        times, rest = divmod(length, context.shape[0])
        if rest or times == 1:
            return context
        key = id(context), times
        if key not in self._repeats:
            self._repeats[key] = context.repeat(times, 1)
        return self._repeats[key]


def _check_length(prompt: Prompt, field: str) -> None:
    """Raise :class:`InvalidRequest` for texts that would take the text encoder minutes.

    A prompt of many alternations (``[a|b]`` of different lengths) is another text at every call.
    """
    texts = {text for _, entries in prompt.parts for _, text in entries}
    length = sum(map(len, texts))
    if length > MAX_LENGTH:
        raise InvalidRequest(field, str(length), "versions", high=MAX_LENGTH)
