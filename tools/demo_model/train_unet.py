"""Trains UNet and text encoder together.

The learning rate falls to zero with the clock, so that a contended machine ends well too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch.nn.functional import mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

from .feed import SIZES, Feed
from .networks import Unet, Vae, exits_of, make_text_encoder, make_unet
from .pool import Batch, Pool
from .settings import Settings
from .training import (
    Average,
    Clock,
    Twin,
    adamw,
    apply,
    linear,
    load,
    network_optimizers,
    remember_rates,
    save,
)

# Of the steps, by size of the pictures.
_STEPS = (0.82, 0.08, 0.03, 0.035, 0.035)
_EVERY = 70.0  # seconds between checkpoints


def noise_schedule() -> Any:
    """Stable Diffusion's betas with v-prediction."""
    scheduler: Any = diffusers.DDPMScheduler
    return scheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="linspace",
    )


class Noise:
    """Noises latents and says what v the UNet should find."""

    def __init__(self, device: torch.device) -> None:
        cumulative = noise_schedule().alphas_cumprod.to(device).float()
        self._signal, self._noise = cumulative.sqrt(), (1 - cumulative).sqrt()

    def __call__(self, latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Noisy latents, times, wanted v; three quarters at the times that decide the shape."""
        count, device = len(latents), latents.device
        t = torch.randint(0, 1000, (count,), device=device)
        middle = torch.randint(150, 900, (count,), device=device)
        t = torch.where(torch.rand(count, device=device) < 0.25, t, middle)
        noise = torch.randn_like(latents)
        a, b = self._signal[t].view(-1, 1, 1, 1), self._noise[t].view(-1, 1, 1, 1)
        return a * latents + b * noise, t, a * noise - b * latents


def v_loss(
    unet: Unet, condition: torch.Tensor, latents: torch.Tensor, noise: Noise
) -> torch.Tensor:
    """Mean squared error of v; the UNet may compute in bfloat16."""
    noisy, t, want = noise(latents)
    kind = next(unet.parameters()).dtype
    noisy = noisy.to(kind).contiguous(memory_format=torch.channels_last)
    return mse_loss(unet(noisy, t, condition.to(kind)).sample.float(), want)


class Trainer:
    """The networks, their averages and optimizers, and how far they are."""

    def __init__(self, tokenizer: CLIPTokenizer, settings: Settings) -> None:
        torch.manual_seed(settings.seed + 1)
        self.settings = settings
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.unet = make_unet().to(settings.device, memory_format=torch.channels_last)
        text: Any = make_text_encoder(len(tokenizer), bos, eos)
        self.text = text.to(settings.device)
        if settings.device.type == "cpu":
            # For heads this narrow the fused attention's backward pass is the slower one.
            self.text.set_attn_implementation("eager")
        self.averages = [Average(self.unet, 0.995), Average(self.text, 0.995)]
        edges = ("conv_in", "conv_out", "time_embed")
        self.opts = network_optimizers(self.unet, 3e-3, edges)
        self.opts.append(adamw(self.text.parameters(), 7e-4, betas=(0.9, 0.98)))
        remember_rates(self.opts)
        self.step, self.elapsed = 0, 0.0
        self.path = settings.work / "unet.pt"
        if state := load(self.path):
            self._restore(state)
        self.twin = Twin(self.unet, make_unet) if settings.bf16 else None
        if settings.device.type == "cpu":
            self.runs.set_attn_processor(AttnProcessor())

    @property
    def runs(self) -> Any:
        """The UNet that computes: the bfloat16 copy, or itself."""
        return self.twin.copy if self.twin else self.unet

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        for average, weights in zip(self.averages, state["averages"], strict=True):
            average.weights = {k: v.to(self.settings.device) for k, v in weights.items()}
        for opt, saved in zip(self.opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "step": self.step,
            "elapsed": self.elapsed,
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "averages": [average.weights for average in self.averages],
            "optimizers": [opt.state_dict() for opt in self.opts],
        }
        save(state, self.path)

    def learn(self, batch: Batch, noise: Noise, progress: float) -> torch.Tensor:
        """One step; its loss."""
        with self.settings.autocast():
            condition = exits_of(self.text, batch.ids, batch.exits)
        loss = v_loss(self.runs, condition, batch.latents, noise)
        torch.autograd.backward(loss)
        if self.twin:
            self.twin.give_back()
        nn.utils.clip_grad_norm_([*self.unet.parameters(), *self.text.parameters()], 1.0)
        apply(self.opts, linear(progress, self.step, 100))
        if self.twin:
            self.twin.take()
        for average in self.averages:
            average.update(self.step)
        self.step += 1
        return loss

    def averaged(self) -> tuple[Unet, CLIPTextModel]:
        """The networks with their averaged weights, which are what ships."""
        unet, text = make_unet(), make_text_encoder(*_sizes(self.text))
        unet.load_state_dict(self.averages[0].weights)
        text.load_state_dict(self.averages[1].weights)
        device: Any = self.settings.device
        moved: Any = text
        return unet.to(device, memory_format=torch.channels_last).eval(), moved.to(device).eval()


def _sizes(text: CLIPTextModel) -> tuple[int, int, int]:
    config: Any = text.config
    return config.vocab_size, config.bos_token_id, config.eos_token_id


def train_unet(
    tokenizer: CLIPTokenizer,
    vae: Vae,
    pool: Pool,
    feed: Feed,
    settings: Settings,
    ship: Callable[[Unet, CLIPTextModel], None],
) -> tuple[Unet, CLIPTextModel]:
    """Train for the time they have; ``ship`` writes what there is now and then."""
    trainer, noise = Trainer(tokenizer, settings), Noise(settings.device)
    clock = Clock(settings.seconds("unet"), trainer.elapsed)
    rng, saved = random.Random(f"unet/{settings.seed}/{trainer.step}"), time.monotonic()
    sizes = list(SIZES)
    while (progress := clock.progress) < 1:
        pool.code(vae, feed, trainer.step % 2)
        size = rng.choices(sizes, _STEPS)[0]
        area = size[0] * size[1] / (sizes[0][0] * sizes[0][1])
        shelf = pool.shelves[size]
        if not shelf.coded:
            continue
        # Trying algorithms pays for the common size only.
        torch.backends.cudnn.benchmark = size == sizes[0]
        loss = trainer.learn(shelf.batch(max(1, int(settings.batch / area))), noise, progress)
        if size == sizes[0]:
            settings.report("unet", trainer.step, progress, loss)
        if time.monotonic() - saved > _EVERY:
            saved, trainer.elapsed = time.monotonic(), clock.elapsed
            trainer.save()
            ship(*trainer.averaged())
    trainer.elapsed = clock.elapsed
    trainer.save()
    return trainer.averaged()
