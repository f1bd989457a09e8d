"""Draws many prompts at once with the exported model: plain diffusers parts, no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from .networks import Unet, Vae, all_exits
from .tokens import encode, pad

_diffusers: Any = diffusers


def load_vae(folder: Path) -> Vae:
    """Read an exported VAE, in fp32."""
    return _diffusers.AutoencoderKL.from_pretrained(folder).eval()


@dataclass
class Demo:
    """The exported model's parts in fp32."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: Unet
    vae: Vae
    scheduler: Any

    @classmethod
    def load(cls, folder: Path) -> Demo:
        """Read the diffusers folder."""
        text: Any = CLIPTextModel.from_pretrained(folder / "text_encoder")
        unet = _diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").eval()
        return cls(
            CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            text.float().eval(),
            unet.to(memory_format=torch.channels_last),
            load_vae(folder / "vae"),
            _diffusers.EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        )

    @torch.no_grad()
    def exits(self, prompts: Sequence[str]) -> torch.Tensor:
        """Every clip skip's conditioning, (12, prompts, 77, width)."""
        rows = [pad(self.tokenizer, encode(self.tokenizer, prompt)) for prompt in prompts]
        return all_exits(self.text, torch.tensor(rows))

    @torch.no_grad()
    def latents(
        self,
        cond: torch.Tensor,
        uncond: torch.Tensor,
        seeds: Sequence[int],
        *,
        steps: int = 20,
        cfg: float = 4.0,
    ) -> torch.Tensor:
        """Sample (n, 4, side, side) from conditionings (n, 77, width), one seed each."""
        self.scheduler.set_timesteps(steps)
        shape = (4, self.unet.config.sample_size, self.unet.config.sample_size)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        x: torch.Tensor = torch.stack(noise) * self.scheduler.init_noise_sigma
        both = torch.cat([uncond.expand_as(cond), cond])
        for t in self.scheduler.timesteps:
            scaled = self.scheduler.scale_model_input(x, t)
            out = self.unet(torch.cat([scaled, scaled]), t, both).sample
            low, high = out.chunk(2)
            x = self.scheduler.step(low + cfg * (high - low), t, x).prev_sample
        return x

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, vae: Vae = None) -> torch.Tensor:
        """Pictures (n, 3, h, w) in -1…1."""
        vae = vae or self.vae
        decoded: torch.Tensor = vae.decode(latents / vae.config.scaling_factor).sample
        return decoded.clamp(-1, 1)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        clip_skip: int = 1,
        negative: str = "",
        steps: int = 20,
        batch: int = 50,
    ) -> torch.Tensor:
        """Pictures of the prompts at one clip skip, (n, 3, h, w) in -1…1."""
        uncond = self.exits([negative])[clip_skip - 1]
        out = []
        for at in range(0, len(prompts), batch):
            cond = self.exits(prompts[at : at + batch])[clip_skip - 1]
            latents = self.latents(cond, uncond, seeds[at : at + batch], steps=steps)
            out.append(self.decode(latents))
        return torch.cat(out)


def to_pixels(pictures: torch.Tensor) -> np.ndarray:
    """Pictures (n, 3, h, w) in -1…1 as bytes (n, h, w, 3)."""
    scaled = ((pictures.float() + 1) * 127.5).round().clamp(0, 255).byte()
    return scaled.permute(0, 2, 3, 1).numpy()


def to_image(picture: torch.Tensor) -> Image.Image:
    """One picture (3, h, w) as a Pillow image."""
    return Image.fromarray(to_pixels(picture[None])[0])
