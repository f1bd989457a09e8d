"""Trains the autoencoder on freshly drawn pictures: ``python -m tools.demo_model.train_vae``."""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss
from tqdm import tqdm

from .draw import draw_scene
from .fading import random_exit
from .networks import NATIVE, Vae, make_vae
from .pool import to_tensor
from .scene import random_scene
from .training import Average, Muon, apply, average_gradients, cosine, device, launch, load, save


def pictures(rng: random.Random, count: int) -> torch.Tensor:
    """Freshly drawn pictures, (count, 3, NATIVE, NATIVE) in -1…1."""
    return to_tensor(
        [draw_scene(random_scene(rng), rng, random_exit(rng), side=NATIVE) for _ in range(count)]
    )


def crops(batch: torch.Tensor, side: int, rng: random.Random) -> torch.Tensor:
    """One crop of each picture."""
    if side >= batch.shape[-1]:
        return batch
    out = []
    for picture in batch:
        x, y = (rng.randrange(0, batch.shape[-1] - side + 1, 4) for _ in range(2))
        out.append(picture[:, y : y + side, x : x + side])
    return torch.stack(out)


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences between neighbouring pixels, across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def picture_loss(got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the error of the edges for crisp corners."""
    loss = l1_loss(got, want) + mse_loss(got, want)
    for a, b in zip(edges(got), edges(want), strict=True):
        loss = loss + 0.6 * l1_loss(a, b)
    return loss


def optimizers(vae: nn.Module, lr: float, *, bf16: bool) -> list[torch.optim.Optimizer]:
    """Muon for the inner convolutions, AdamW for the rest."""
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in vae.named_parameters():
        outer = any(part in name for part in ("conv_in", "conv_out", "quant"))
        (inner if p.ndim >= 2 and not outer else rest).append(p)
    return [
        Muon(inner, lr, bf16=bf16),
        torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=0),
    ]


def scaling_factor(vae: Vae, rng: random.Random) -> float:
    """What brings the latents to unit variance."""
    with torch.no_grad():
        return 1.0 / float(vae.encode(pictures(rng, 256)).latent_dist.mode().std())


def _start(path: Path, args: argparse.Namespace) -> tuple[Vae, Average, list[Any], int]:
    torch.manual_seed(args.seed)
    vae = make_vae().to(device(), memory_format=torch.channels_last)
    average = Average(vae, 0.995)
    opts = optimizers(vae, args.lr, bf16=args.bf16)
    state = load(path)
    if state is None:
        return vae, average, opts, 0
    vae.load_state_dict(state["model"])
    average.weights = state["average"]
    for opt, saved in zip(opts, state["optimizers"], strict=True):
        opt.load_state_dict(saved)
    return vae, average, opts, state["step"]


def train(rank: int, world: int, args: argparse.Namespace) -> None:
    """One process's part of the training."""
    path = Path(args.work) / "vae.pt"
    vae, average, opts, start = _start(path, args)
    torch.manual_seed(args.seed + 1000 * rank + start)
    rng = random.Random(f"vae/{args.seed}/{rank}/{start}")
    bar = tqdm(range(start, args.steps), initial=start, total=args.steps, disable=rank > 0)
    for step in bar:
        whole = step >= args.steps * args.crop_share
        want = pictures(rng, args.batch // 2 if whole else args.batch)
        want = crops(want, NATIVE if whole else 64, rng).to(device())
        want = want.contiguous(memory_format=torch.channels_last)
        loss, parts = _loss(vae, want, bf16=args.bf16)
        torch.autograd.backward(loss)
        average_gradients([vae], world)
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        apply(opts, args.lr * cosine(step, args.steps, 50) + 1e-5)
        average.update(vae, step)
        if step % 20 == 0:
            bar.set_postfix(parts)
        last = step + 1 == args.steps
        if rank == 0 and (last or (step + 1) % 500 == 0):
            _save(path, vae, average, opts, step + 1)


def _loss(vae: Vae, want: torch.Tensor, *, bf16: bool) -> tuple[torch.Tensor, dict[str, str]]:
    with torch.autocast(want.device.type, torch.bfloat16, enabled=bf16):
        posterior = vae.encode(want).latent_dist
        got = vae.decode(posterior.sample()).sample
    got = got.float()
    picture = picture_loss(got, want)
    variance = posterior.logvar.float().exp()
    kl = 0.5 * (posterior.mean.float() ** 2 + variance - 1 - posterior.logvar.float()).mean()
    parts = {
        "l1": f"{float(l1_loss(got.detach(), want)):.4f}",
        "loss": f"{float(picture.detach()):.4f}",
        "kl": f"{float(kl.detach()):.2f}",
    }
    return picture + 5e-4 * kl, parts


def _save(
    path: Path,
    vae: Vae,
    average: Average,
    opts: list[torch.optim.Optimizer],
    step: int,
) -> None:
    state: dict[str, Any] = {
        "step": step,
        "model": vae.state_dict(),
        "average": average.weights,
        "optimizers": [opt.state_dict() for opt in opts],
    }
    trained = make_vae()
    trained.load_state_dict(average.weights)
    state["scaling_factor"] = scaling_factor(trained, random.Random(0))
    save(state, path)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="demo-train", help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=16, help="pictures per process and step")
    parser.add_argument("--crop-share", type=float, default=0.8, help="part trained on crops")
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29611)
    args = parser.parse_args()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    launch(train, args)
    print(f"trained for {(time.monotonic() - began) / 60:.1f} min")


if __name__ == "__main__":
    main()
