"""Trains UNet and text encoder together: ``python -m tools.demo_model.train_unet --minutes 80``.

The learning rate falls to zero with the clock, so that a contended machine ends well too.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import torch.distributed as dist
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import mse_loss
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from . import captions
from .networks import NATIVE, Unet, exits_of, make_text_encoder, make_unet
from .pool import scene_of
from .scene import Scene
from .tokens import LENGTH, NONSENSE, OTHERS, encode, make_tokenizer, pad
from .training import Average, Muon, average_gradients, device, launch, load, save

SHORT = 24  # tokens of a short row


@dataclass
class Batch:
    """Latents (n, 4, side, side), token ids (n, length), clip skips (n,)."""

    latents: torch.Tensor
    ids: torch.Tensor
    exits: torch.Tensor


class Pool:
    """All pictures of one side: latents (n, 4, side, side), scenes and clip skips."""

    def __init__(self, work: Path, side: int) -> None:
        parts = [load(path) for path in sorted(work.glob(f"pool-{side}-*.pt"))]
        if not parts:
            raise SystemExit(
                f"no pictures in {work}: run tools.demo_model.pool --side {side} first"
            )
        self.latents: torch.Tensor = torch.cat([part["latents"] for part in parts if part])
        self.scenes = [scene_of(row) for part in parts if part for row in part["scenes"]]
        self.exits: list[int] = [k for part in parts if part for k in part["exits"]]


class Data:
    """Pairs the pools' latents with fresh captions."""

    def __init__(self, work: Path, sides: list[int], seed: str, tokenizer: CLIPTokenizer) -> None:
        self._pools = {side: Pool(work, side) for side in sides}
        self._rng = random.Random(seed)
        self._tokenizer = tokenizer

    def _ids(self, scene: Scene, length: int) -> list[int]:
        """A caption's ids; in a short batch one that fits, if a few tries find one."""
        ids: list[int] = []
        for _ in range(5):
            silent = self._rng.random() < 0.08
            text = captions.empty(self._rng) if silent else captions.caption(scene, self._rng)
            ids = encode(self._tokenizer, text)
            if len(ids) <= length - 2:
                break
        return pad(self._tokenizer, ids, length)

    def batch(self, side: int, count: int, length: int) -> Batch:
        """A random batch of one side's pictures with captions padded to ``length``."""
        pool = self._pools[side]
        picked = [self._rng.randrange(len(pool.scenes)) for _ in range(count)]
        rows = [self._ids(pool.scenes[i], length) for i in picked]
        return Batch(
            pool.latents[picked].float().to(device()),
            torch.tensor(rows).to(device()),
            torch.tensor([pool.exits[i] for i in picked]).to(device()),
        )


def optimizers(
    unet: nn.Module, text: nn.Module, share: float, *, bf16: bool
) -> list[torch.optim.Optimizer]:
    """Muon for the UNet's matrices and convolutions, AdamW for the rest."""
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, p in unet.named_parameters():
        edge = any(part in name for part in ("conv_in", "conv_out", "time_embed"))
        (inner if p.ndim >= 2 and not edge else outer).append(p)
    adam = torch.optim.AdamW(
        [{"params": outer, "lr": 3e-3}, {"params": list(text.parameters()), "lr": 5e-4}],
        betas=(0.9, 0.98),
        weight_decay=0,
    )
    opts: list[torch.optim.Optimizer] = [Muon(inner, 3e-3, bf16=bf16), adam]
    for opt in opts:
        for group in opt.param_groups:
            group["top"] = share * group["lr"]
    return opts


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


def v_error(
    unet: Unet, condition: torch.Tensor, latents: torch.Tensor, schedule: Any, latest: int = 900
) -> torch.Tensor:
    """Mean squared error of v, three quarters of it at the times that decide the shape.

    Those are 150 to ``latest``, of 1000.
    """
    count = len(latents)
    t = torch.randint(0, 1000, (count,), device=latents.device)
    middle = torch.randint(150, latest, (count,), device=latents.device)
    t = torch.where(torch.rand(count, device=t.device) < 0.25, t, middle)
    noise = torch.randn_like(latents)
    noisy = schedule.add_noise(latents, noise, t).contiguous(memory_format=torch.channels_last)
    want = schedule.get_velocity(latents, noise, t)
    return mse_loss(unet(noisy, t, condition).sample.float(), want)


def loss_of(
    unet: Unet,
    text: CLIPTextModel,
    batch: Batch,
    schedule: Any,
    *,
    bf16: bool,
) -> torch.Tensor:
    """The error of v for a batch, under its captions at its clip skips."""
    with torch.autocast(batch.latents.device.type, torch.bfloat16, enabled=bf16):
        condition = exits_of(text, batch.ids, batch.exits)
        return v_error(unet, condition, batch.latents, schedule)


def go_on(start: Path, unet: Unet, text: Any, tokenizer: CLIPTokenizer) -> None:
    """Put a finished model's weights in; words that it had not keep their fresh embedding."""
    unet.load_state_dict(load_file(start / "unet/diffusion_pytorch_model.safetensors"))
    weights = load_file(start / "text_encoder/model.safetensors")
    name = next(name for name in weights if name.endswith("token_embedding.weight"))
    rows = text.state_dict()[name].clone()
    before = CLIPTokenizer.from_pretrained(start / "tokenizer").get_vocab()
    for token, row in tokenizer.get_vocab().items():
        known = NONSENSE if token in OTHERS and token not in before else token
        if known in before:
            rows[row] = weights[name][before[known]]
    text.load_state_dict({**weights, name: rows})


class Trainer:
    """The networks, their averages and optimizers, and how far they are."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.tokenizer = make_tokenizer()
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        self.unet = make_unet()
        text: Any = make_text_encoder(len(self.tokenizer), bos, eos)
        if args.start:
            go_on(args.start, self.unet, text, self.tokenizer)
        self.unet.to(device(), memory_format=torch.channels_last)
        self.text = text.to(device())
        if device().type == "cpu":
            # For heads this narrow the fused attention's backward pass is the slower one.
            self.unet.set_attn_processor(AttnProcessor())
            self.text.set_attn_implementation("eager")
        self.averages = [Average(self.unet, args.average), Average(self.text, args.average)]
        self.opts = optimizers(self.unet, self.text, args.rate, bf16=args.bf16)
        self.step, self.seconds = 0, 0.0
        self.path = Path(args.work) / "unet.pt"
        if state := load(self.path):
            self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        for average, weights in zip(self.averages, state["averages"], strict=True):
            average.weights = weights
        for opt, saved in zip(self.opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)

    def save(self, seconds: float) -> None:
        """Write the checkpoint."""
        state = {
            "step": self.step,
            "seconds": seconds,
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "averages": [average.weights for average in self.averages],
            "optimizers": [opt.state_dict() for opt in self.opts],
        }
        save(state, self.path)

    def update(self, progress: float, world: int) -> None:
        """One step of every optimizer at this point of the training."""
        average_gradients((self.unet, self.text), world)
        params = [*self.unet.parameters(), *self.text.parameters()]
        nn.utils.clip_grad_norm_(params, 1.0)
        rate = min(1.0, (self.step + 1) / 100) * (1 - progress)
        for opt in self.opts:
            for group in opt.param_groups:
                group["lr"] = group["top"] * rate
            opt.step()
            opt.zero_grad()
        for average, model in zip(self.averages, (self.unet, self.text), strict=True):
            average.update(model, self.step)
        self.step += 1


def _progress(seconds: float, args: argparse.Namespace, world: int) -> float:
    """The first process's clock as a share of the whole training, the same everywhere."""
    share = torch.tensor([min(1.0, seconds / (60 * args.minutes))])
    if world > 1:
        dist.broadcast(share, 0)
    return float(share)


def train(rank: int, world: int, args: argparse.Namespace) -> None:
    """One process's part of the training."""
    trainer = Trainer(args)
    schedule = noise_schedule()
    seed = f"unet/{args.seed}/{rank}/{trainer.step}"
    data = Data(Path(args.work), args.sides, seed, trainer.tokenizer)
    torch.manual_seed(random.Random(seed).randrange(2**31))
    shapes = random.Random(f"{args.seed}/{trainer.step}")  # the same in every process
    began = saved = time.monotonic()
    before = trainer.seconds
    bar = tqdm(total=100, disable=rank > 0, bar_format="{l_bar}{bar}| {elapsed}{postfix}")
    smooth = 1.0
    while True:
        seconds = before + time.monotonic() - began
        progress = _progress(seconds, args, world)
        if progress >= 1:
            break
        # The engine always pads to 77; short rows are cheaper and rarely teach less.
        full = args.full_length if progress < 0.75 else 2 * args.full_length
        length = LENGTH if shapes.random() < full else SHORT
        batch = data.batch(shapes.choice(args.sides), args.batch // world, length)
        loss = loss_of(trainer.unet, trainer.text, batch, schedule, bf16=args.bf16)
        torch.autograd.backward(loss)
        trainer.update(progress, world)
        smooth += 0.02 * (float(loss.detach()) - smooth)
        if rank == 0 and trainer.step % 20 == 0:
            bar.n = round(100 * progress, 1)
            speed = args.batch * trainer.step / max(seconds, 1)
            bar.set_postfix_str(f"step {trainer.step}, loss {smooth:.4f}, {speed:.0f}/s")
        if rank == 0 and time.monotonic() - saved > 120:
            saved = time.monotonic()
            trainer.save(seconds)
    if rank == 0:
        trainer.save(before + time.monotonic() - began)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="demo-train", help="folder of the checkpoints")
    parser.add_argument("--start", type=Path, help="a finished model's folder to go on from")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[NATIVE], help="pools to take steps from by turns"
    )
    parser.add_argument("--batch", type=int, default=64, help="pictures per step, all processes")
    parser.add_argument("--average", type=float, default=0.995, help="decay of the mean weights")
    parser.add_argument("--full-length", type=float, default=0.25, help="share of 77-token steps")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29613)
    launch(train, parser.parse_args())


if __name__ == "__main__":
    main()
