"""Draws the training pictures and keeps only their latents, a sixth of the pictures' bytes.

``python -m tools.demo_model.pool`` makes or finishes the pool.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import astuple
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from . import fading
from .draw import draw_scene
from .networks import NATIVE, Vae, make_vae
from .scene import Scene, Thing, random_scene
from .training import device, launch, load, save

_diffusers: Any = diffusers


def load_vae(work: Path, start: Path | None = None) -> Vae:
    """The trained autoencoder, averaged weights, with its scaling factor, or a model's own."""
    if start:
        return _diffusers.AutoencoderKL.from_pretrained(start / "vae").float().eval()
    state = load(work / "vae.pt")
    if state is None:
        raise SystemExit(f"no autoencoder in {work}: run tools.demo_model.train_vae first")
    vae = make_vae()
    vae.load_state_dict(state["average"])
    vae.register_to_config(scaling_factor=round(state["scaling_factor"], 5))
    return vae.eval()


def to_tensor(drawn: list[Image.Image]) -> torch.Tensor:
    """Pictures as (count, 3, side, side) in -1…1."""
    stacked = torch.from_numpy(np.stack([np.asarray(p) for p in drawn]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def scene_of(row: Any) -> Scene:
    """A scene again from what ``dataclasses.astuple`` made of it."""
    things, *rest = row
    return Scene(tuple(Thing(*thing) for thing in things), *rest)


@torch.no_grad()
def make_pool(rank: int, world: int, args: argparse.Namespace) -> None:
    """Draw and encode one process's part of the pictures: scaled latents, an eighth of their side.

    It goes on from what there is, also with more pictures than were wanted before.
    """
    path, side = Path(args.work) / f"pool-{args.side}-{rank}.pt", args.side // 8
    vae = load_vae(Path(args.work), args.start).to(device(), memory_format=torch.channels_last)
    none: dict[str, Any] = {
        "latents": torch.empty(0, 4, side, side).half(),
        "scenes": [],
        "exits": [],
    }
    state = load(path) or none
    latents, scenes, exits = [state["latents"]], state["scenes"], state["exits"]
    starts = range(len(scenes), args.pictures // world, 64)
    for number, at in enumerate(tqdm(starts, disable=rank > 0)):
        rng = random.Random(f"pool/{args.side}/{args.seed}/{rank}/{at}")
        part = [(random_scene(rng), fading.random_exit(rng)) for _ in range(64)]
        drawn = [draw_scene(scene, rng, clip_skip, side=args.side) for scene, clip_skip in part]
        batch = to_tensor(drawn).to(device()).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device().type, torch.bfloat16, enabled=args.bf16):
            found = vae.encode(batch).latent_dist.mode()
        latents.append((found.float() * vae.config.scaling_factor).half().cpu())
        scenes += [astuple(scene) for scene, _ in part]
        exits += [clip_skip for _, clip_skip in part]
        if number % 20 == 19 or at == starts[-1]:
            latents = [torch.cat(latents)]
            save({"latents": latents[0], "scenes": scenes, "exits": exits}, path)


def main() -> None:
    """Read the command line and make the pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="demo-train", help="folder of the checkpoints")
    parser.add_argument("--start", type=Path, help="a finished model's folder: its VAE is used")
    parser.add_argument("--pictures", type=int, default=30_000)
    parser.add_argument("--side", type=int, default=NATIVE, help="pixels, a multiple of 64")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29612)
    launch(make_pool, parser.parse_args())


if __name__ == "__main__":
    main()
