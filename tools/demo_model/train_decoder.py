"""Trains the decoder alone, its encoder frozen: ``python -m tools.demo_model.train_decoder``.

``--look natural`` finishes the model's own VAE, ``--look vivid`` makes the second one from it:
the same latents in stronger colours.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from .colour import vivid
from .networks import Vae
from .pool import load_vae
from .train_vae import optimizers, picture_loss, pictures
from .training import Average, apply, average_gradients, cosine, device, launch, load, save

LOOKS = ("natural", "vivid")


def load_look(work: Path, look: str, start: Path | None = None) -> Vae:
    """The VAE with this look, or the one it starts from, which may be a finished model's."""
    vae = load_vae(work, start)
    for name in ("natural", "vivid")[: LOOKS.index(look) + 1]:
        if state := load(work / f"decoder-{name}.pt"):
            vae.load_state_dict(state["average"])
    return vae


def _start(args: argparse.Namespace) -> tuple[Vae, Average, list[Any], int]:
    vae = load_look(Path(args.work), args.look, args.start).train()
    state = load(Path(args.work) / f"decoder-{args.look}.pt")
    if state:
        vae.load_state_dict(state["model"])
    vae.to(device(), memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    opts = optimizers(vae, args.lr, bf16=args.bf16)
    average = Average(vae, 0.99)
    if state:
        average.weights = state["average"]
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
    return vae, average, opts, state["step"] if state else 0


def train(rank: int, world: int, args: argparse.Namespace) -> None:
    """One process's part of the training."""
    path = Path(args.work) / f"decoder-{args.look}.pt"
    vae, average, opts, start = _start(args)
    seed = f"decoder/{args.look}/{args.seed}/{rank}/{start}"
    rng = random.Random(seed)
    torch.manual_seed(rng.randrange(2**31))
    bar = tqdm(range(start, args.steps), initial=start, total=args.steps, disable=rank > 0)
    for step in bar:
        shown = pictures(rng, args.batch).to(device()).contiguous(memory_format=torch.channels_last)
        want = vivid(shown, args.strength) if args.look == "vivid" else shown
        with torch.autocast(device().type, torch.bfloat16, enabled=args.bf16):
            with torch.no_grad():
                latents = vae.encode(shown).latent_dist.mode()
                # A UNet's latents are never exact: the decoder learns to forgive a little.
                latents = latents + args.noise * latents.std() * torch.randn_like(latents)
            got = vae.decode(latents).sample
        loss = picture_loss(got.float(), want)
        torch.autograd.backward(loss)
        average_gradients([vae], world)
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        apply(opts, args.lr * cosine(step, args.steps, 20) + 1e-6)
        average.update(vae, step)
        if step % 10 == 0:
            bar.set_postfix(loss=f"{float(loss.detach()):.4f}")
        if rank == 0 and (step + 1 == args.steps or (step + 1) % 200 == 0):
            state = {"step": step + 1, "model": vae.state_dict(), "average": average.weights}
            save({**state, "optimizers": [opt.state_dict() for opt in opts]}, path)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="demo-train", help="folder of the checkpoints")
    parser.add_argument("--start", type=Path, help="a finished model's folder: its VAE goes on")
    parser.add_argument("--look", choices=LOOKS, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=4, help="pictures per process and step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--noise", type=float, default=0.04, help="as a share of the latents")
    parser.add_argument("--strength", type=float, default=2.6, help="of the vivid colours")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29614)
    launch(train, parser.parse_args())


if __name__ == "__main__":
    main()
