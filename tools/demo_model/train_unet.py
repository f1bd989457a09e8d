"""Trains UNet and text encoder together.

The learning rate falls to zero with the clock, so that a contended machine ends well too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch.nn.functional import mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

from .feed import SIZES, Feed
from .networks import Unet, Vae, fast_exits, make_text_encoder, make_unet
from .pool import Batch, Pool
from .settings import Settings
from .training import (
    Average,
    Clock,
    Twin,
    adamw,
    captured,
    linear,
    load,
    network_optimizers,
    remember_rates,
    save,
    set_rates,
)

# Of the steps, by size of the pictures.
_STEPS = (0.86, 0.07, 0.02, 0.025, 0.025)
_SHIPPED = (0.4, 0.75)  # of the training: when what there is gets written


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
    kind = condition.dtype
    noisy = noisy.to(kind).contiguous(memory_format=torch.channels_last)
    return mse_loss(unet(noisy, t, condition, return_dict=False)[0].float(), want)


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
        self.averages = [Average(self.unet, 0.9998), Average(self.text, 0.9998)]
        edges = ("conv_in", "conv_out", "time_embed")
        self.opts = network_optimizers(self.unet, 3e-3, edges)
        self.opts.append(adamw(self.text.parameters(), 6e-4, betas=(0.9, 0.98)))
        remember_rates(self.opts)
        self.step, self.progress = 0, 0.0
        self.path = settings.work / "unet.pt"
        if state := load(self.path):
            self._restore(state)
        self.twin = Twin(self.unet, make_unet) if settings.bf16 else None
        if settings.device.type == "cpu":
            self.runs.set_attn_processor(AttnProcessor())
        self.loss = torch.zeros((), device=settings.device)

    @property
    def runs(self) -> Any:
        """The UNet that computes: the bfloat16 copy, or itself."""
        return self.twin.copy if self.twin else self.unet

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.progress = state["step"], state["progress"]
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        for average, weights in zip(self.averages, state["averages"], strict=True):
            for name, kept in average.weights.items():
                kept.copy_(weights[name])
        for opt, saved in zip(self.opts, state["optimizers"], strict=True):
            # The groups hold the rates, which are tensors of the device: those stay.
            opt.load_state_dict({**saved, "param_groups": opt.state_dict()["param_groups"]})

    def save(self, progress: float) -> None:
        """Write the checkpoint."""
        state = {
            "step": self.step,
            "progress": progress,
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "averages": [average.weights for average in self.averages],
            "optimizers": [opt.state_dict() for opt in self.opts],
        }
        save(state, self.path)

    def learn(self, batch: Batch, noise: Noise, unet: Any, exits: Any) -> None:
        """One step, by these functions for the UNet and the text encoder; keeps its loss."""
        for p in [*self.runs.parameters(), *self.unet.parameters(), *self.text.parameters()]:
            p.grad = None
        with self.settings.autocast():
            condition = exits(self.text, batch.ids, batch.exits)
        condition = condition.to(next(self.runs.parameters()).dtype)
        loss = v_loss(unet, condition, batch.latents, noise)
        torch.autograd.backward(loss)
        if self.twin:
            self.twin.give_back()
        nn.utils.clip_grad_norm_([*self.unet.parameters(), *self.text.parameters()], 1.0)
        for opt in self.opts:
            opt.step()
        if self.twin:
            self.twin.take()
        self.loss.copy_(loss.detach())

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


def _steps(
    trainer: Trainer, pool: Pool, noise: Noise, settings: Settings
) -> list[Callable[[], None]]:
    """A function for each size of pictures that takes one step."""
    main = next(iter(SIZES))
    found = []
    for size, shelf in pool.shelves.items():
        unet, exits = trainer.runs, fast_exits
        if settings.mode == "compile" and size == main:
            # The other sizes are too rare to pay for a compilation each.
            unet = torch.compile(trainer.runs, dynamic=False)
            exits = torch.compile(fast_exits, dynamic=False)
        count = max(1, settings.batch * main[0] * main[1] // (size[0] * size[1]))

        def step(shelf: Any = shelf, count: int = count, unet: Any = unet, e: Any = exits) -> None:
            trainer.learn(shelf.batch(count), noise, unet, e)

        found.append(step if settings.mode == "eager" else captured(step))
        settings.say(f"unet: a step of {count} pictures of {size[0]}x{size[1]} is ready")
    return found


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
    set_rates(trainer.opts, 0.02)
    steps = _steps(trainer, pool, noise, settings)
    rng = random.Random(f"unet/{settings.seed}/{trainer.step}")
    clock = Clock(settings.left("unet"), trainer.progress)
    shipped = list(_SHIPPED)
    while (progress := clock.progress) < 1:
        if trainer.step % 8 == 0:
            pool.code(vae, feed, 1)
        set_rates(trainer.opts, linear(progress, trainer.step, 300))
        rng.choices(steps, _STEPS)[0]()
        trainer.step += 1
        if trainer.step % 4 == 0:
            for average in trainer.averages:
                average.update(trainer.step, 4)
        if trainer.step % 16 == 0:
            # Reading the loss also waits for the GPU, so that the clock tells its time.
            settings.report("unet", trainer.step, progress, trainer.loss.clone())
            if settings.device.type == "cuda":
                torch.cuda.synchronize()
        if shipped and progress > shipped[0]:
            shipped.pop(0)
            trainer.save(progress)
            ship(*trainer.averaged())
    trainer.save(1.0)
    return trainer.averaged()
