"""Guidance: a request's encoded prompts, the rows of a model call, and how outputs are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from core.errors import InvalidRequest
from core.prompt.parser import Prompt, read
from core.request import GenerationRequest
from core.sampling.samplers import conditioning_steps
from core.text.conditioning import Conditioning, TextConditioner

# Of all the texts that a prompt's editing gives: about 25 times the longest prompt allowed.
MAX_LENGTH: Final = 100_000


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance over a positive prompt's AND parts and a negative prompt."""

    positive: Conditioning
    negative: Conditioning
    cfg_scale: float

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
    def _weights(self) -> list[float]:
        return [weight * self.cfg_scale for weight, _ in self.positive.parts]

    @property
    def _positive_alone(self) -> bool:
        """Whether the negative prompt cancels out: uncond + 1·(cond − uncond) = cond."""
        return self._weights == [1.0]

    @property
    def rows_needed(self) -> int:
        """The number of rows: one for each AND part, and one for the negative prompt."""
        return len(self.positive.parts) + (not self._positive_alone)

    def at(self, call: int) -> list[tuple[Tensor, Tensor | None]]:
        """Return each row's (context, pooled) at a model call: AND parts, then the negative."""
        rows = self.positive.at(call)
        if not self._positive_alone:
            rows += self.negative.at(call)
        longest = max(context.shape[0] for _, context, _ in rows)
        return [(_repeated(context, longest), pooled) for _, context, pooled in rows]

    def mix(self, outputs: Sequence[Tensor]) -> Tensor:
        """Mix the rows' outputs (C, h, w) to one prediction (Ho & Salimans 2022).

        AND parts are mixed by their weights (composable diffusion, Liu et al. 2022).
        """
        if self._positive_alone:
            return outputs[0]
        *positives, uncond = outputs
        prediction = uncond
        for weight, cond in zip(self._weights, positives, strict=True):
            prediction = torch.add(prediction, cond - uncond, alpha=weight)
        return prediction


def _check_length(prompt: Prompt, field: str) -> None:
    """Raise :class:`InvalidRequest` for texts that would take the text encoder minutes.

    A prompt of many alternations (``[a|b]`` of different lengths) is another text at every call.
    """
    texts = {text for _, entries in prompt.parts for _, text in entries}
    length = sum(map(len, texts))
    if length > MAX_LENGTH:
        raise InvalidRequest(field, str(length), "versions", high=MAX_LENGTH)


def _repeated(context: Tensor, length: int) -> Tensor:
    """Bring a context (T, width) to ``length`` when that is a whole number of times T.

    Cross-attention over a context repeated k times is exactly that over the context; anything
    between would weigh its tokens unequally, so such rows go in UNet calls of their own.
    """
    times, rest = divmod(length, context.shape[0])
    return context if rest or times == 1 else context.repeat(times, 1)
