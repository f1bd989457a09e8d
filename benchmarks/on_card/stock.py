"""The baseline: a plain loop around the UNet with diffusers' scheduler, one picture at a time.

What a pipeline does, without what differs from version to version of it: encode, denoise two rows
a step, decode, write the PNG.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor

from benchmarks.on_card.bench import Bench
from benchmarks.queue import SCHEDULERS, full_name
from core.models.weights.clip_tokenizer import END, clip_tokenizer
from core.request import GenerationRequest

BETAS: Final = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Stock:
    """The family's networks of the bench's weights, without anything of the engine's."""

    def __init__(self, bench: Bench, family: str) -> None:
        recipe = bench.recipe(family)
        self.device, self.dtype, self.sdxl = bench.device, bench.dtype, family == "sdxl"
        self.unet = bench.module(family, "unet")
        self.vae = bench.module(family, "vae")
        names = [name for name in recipe.configs if name.startswith("text_encoder")]
        self.encoders = [bench.module(family, name) for name in names]
        ends = (END, "!")
        self.tokenizers = [
            clip_tokenizer(recipe.merges, end) for end, _ in zip(ends, names, strict=False)
        ]

    def __call__(self, requests: Sequence[GenerationRequest]) -> list[bytes]:
        """Return one PNG a request, in order."""
        return [self._picture(request) for request in requests]

    def _embed(self, texts: list[str], clip_skip: int) -> tuple[Tensor, Tensor | None]:
        """Encode the texts in one call: (N, 77, width), and SDXL's pooled vector (N, width)."""
        columns, pooled = [], None
        for tokenizer, encoder in zip(self.tokenizers, self.encoders, strict=True):
            tokens = tokenizer(
                texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            ).input_ids.to(self.device)
            output = encoder(tokens, output_hidden_states=True)
            pooled = getattr(output, "text_embeds", None)
            states = output.hidden_states
            if self.sdxl:
                columns.append(states[-max(clip_skip, 2)])
            else:
                inner = getattr(encoder, "text_model", encoder)
                columns.append(inner.final_layer_norm(states[-clip_skip]))
        return torch.cat(columns, dim=-1), pooled

    def _extras(self, request: GenerationRequest, pooled: Tensor | None) -> dict[str, Any]:
        if pooled is None:
            return {}
        ids = [request.height, request.width, 0, 0, request.height, request.width]
        time_ids = torch.tensor([ids] * 2, device=self.device, dtype=self.dtype)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids}}

    @torch.inference_mode()
    def _picture(self, request: GenerationRequest) -> bytes:
        kind, options = SCHEDULERS[full_name(request)]
        scheduler = kind(timestep_spacing="linspace", **BETAS, **options)
        scheduler.set_timesteps(request.steps, device=self.device)
        context, pooled = self._embed([request.negative_prompt, request.prompt], request.clip_skip)
        if self.sdxl and pooled is not None and not request.negative_prompt:
            # SDXL's empty negative prompt is zeros.
            context[0], pooled[0] = 0, 0
        extras = self._extras(request, pooled)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        shape = (1, 4, request.height // 8, request.width // 8)
        latents = torch.randn(shape, generator=generator).to(self.device, self.dtype)
        latents = latents * scheduler.init_noise_sigma
        drawn = {"generator": generator} if request.sampler == "Euler a" else {}
        for timestep in scheduler.timesteps:
            rows = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
            both = self.unet(
                rows.to(self.dtype),
                timestep,
                encoder_hidden_states=context,
                return_dict=False,
                **extras,
            )[0]
            negative, positive = both.chunk(2)
            guided = negative + request.cfg_scale * (positive - negative)
            latents = scheduler.step(guided, timestep, latents, return_dict=False, **drawn)[0]
        return self._decode(latents)

    def _decode(self, latents: Tensor) -> bytes:
        scaled = latents / self.vae.config.scaling_factor
        picture = self.vae.decode(scaled.to(self.vae.dtype)).sample[0]
        # Truncated, as the engine's are, so that only what was computed differs.
        pixels = (picture.float() / 2 + 0.5).clamp(0, 1) * 255
        array = pixels.permute(1, 2, 0).cpu().numpy().astype("uint8")
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG", compress_level=1)
        return file.getvalue()
