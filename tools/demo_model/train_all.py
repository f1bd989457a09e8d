"""Trains everything that the demo ships, in one run.

``python -m tools.demo_model.train_all --minutes 5 --out DIR`` on a GPU; on a CPU give it hours.
DIR gets the model, its second VAE, the LoRA, the embedding and the upscaler, each as soon as it
is there, and at last what was measured.
"""

from __future__ import annotations

import argparse
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from .export import EXTRAS_LIMIT, LIMIT, size_of, write_model, write_vae
from .feed import SIZES, Feed, Words, drawing
from .networks import Unet, Vae
from .pool import Pool
from .quick_look import look
from .settings import Settings
from .tokens import make_tokenizer
from .train_extras import train_embedding, train_lora, train_upscaler
from .train_unet import train_unet
from .train_vae import train_vae, train_vivid


def _bundle(settings: Settings, name: str, *parts: str) -> None:
    """Pack folders or files of the work folder's ``ship`` into one file of the out folder."""
    part = settings.out / f"{name}.tar.part"
    with tarfile.open(part, "w") as tar:
        for each in parts:
            if (settings.work / "ship" / each).exists():
                tar.add(settings.work / "ship" / each, arcname=each)
    part.replace(settings.out / f"{name}.tar")


def _fill(pool: Pool, feed: Feed, settings: Settings) -> None:
    """Wait for the first pictures."""
    double = pool.shelves[list(SIZES)[1]]
    while pool.main.drawn < min(settings.crops * 8, len(pool.main.pixels) // 2) or not double.drawn:
        pool.draw(feed, 8, wait=0.5)
    settings.say(f"{pool.main.drawn} pictures drawn")


@dataclass
class Trained:
    """Everything that a run made."""

    unet: Unet
    text: CLIPTextModel
    vae: Vae
    vivid: Vae


def _train(feed: Feed, tokenizer: CLIPTokenizer, pool: Pool, settings: Settings) -> Trained:
    ship = settings.work / "ship"
    ship.mkdir(parents=True, exist_ok=True)
    _fill(pool, feed, settings)
    vae = train_vae(pool, feed, settings)
    settings.say(f"encoding {pool.main.drawn} pictures")
    pool.encode_kept(vae)

    def write(unet: Unet, text: CLIPTextModel) -> None:
        write_model(unet, text, tokenizer, vae, ship / "demo-model")
        _bundle(settings, "demo-model", "demo-model")

    unet, text = train_unet(tokenizer, vae, pool, feed, settings, write)
    settings.say(f"{pool.main.seen} pictures were drawn at the model's own size")
    write(unet, text)
    vivid = train_vivid(vae, pool, feed, settings)
    write_vae(vivid, ship / "demo-vae")
    _bundle(settings, "demo-vae", "demo-vae")
    return Trained(unet, text, vae, vivid)


def _extras(tokenizer: CLIPTokenizer, made: Trained, pool: Pool, settings: Settings) -> None:
    ship = settings.work / "ship"
    folder = ship / "demo-extras"
    folder.mkdir(exist_ok=True)
    networks = made.unet, made.text, made.vae
    train_upscaler(pool, made.vae, folder / "demo-x2.safetensors", settings)
    train_lora(*networks, pool, folder / "demo-ink.safetensors", settings)
    _bundle(settings, "demo-extras", "demo-extras")
    train_embedding(tokenizer, networks, pool, folder / "demo-washed.safetensors", settings)
    _bundle(settings, "demo-extras", "demo-extras")
    sizes = size_of(ship / "demo-model", ship / "demo-vae"), size_of(folder)
    settings.say(f"{sizes[0]:,} of {LIMIT:,} bytes, extras {sizes[1]:,} of {EXTRAS_LIMIT:,}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5 if gpu else 300)
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--work", type=Path, default=Path("demo-train"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="what ships, packed")
    parser.add_argument("--processes", type=int, default=max(1, cores - 2), help="that draw")
    parser.add_argument("--batch", type=int, default=768 if gpu else 64, help="of the UNet")
    parser.add_argument("--crops", type=int, default=192 if gpu else 16, help="of the VAE")
    parser.add_argument("--pictures", type=int, default=600_000 if gpu else 60_000)
    parser.add_argument("--kept", type=int, default=120_000 if gpu else 6_000, help="as pixels")
    parser.add_argument("--chunk", type=int, default=64, help="pictures drawn at a time")
    parser.add_argument("--looked", type=int, default=96, help="prompts measured at the end")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=gpu)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    args = _arguments(argv)
    for folder in (args.work, args.out):
        folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        device=torch.device(args.device),
        minutes=args.minutes,
        work=args.work,
        out=args.out,
        seed=args.seed,
        batch=args.batch,
        crops=args.crops,
        bf16=args.bf16,
        looked=args.looked,
    )
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    tokenizer = make_tokenizer()
    words = Words(
        tokenizer.backend_tokenizer.to_str(), tokenizer.bos_token_id, tokenizer.eos_token_id
    )
    with drawing(words, args.processes, args.chunk, args.seed) as feed:
        pool = Pool(args.pictures, args.kept, settings.device)
        made = _train(feed, tokenizer, pool, settings)
    torch.backends.cudnn.benchmark = True
    _extras(tokenizer, made, pool, settings)
    torch.backends.cudnn.benchmark = False
    look(tokenizer, (made.unet, made.text, made.vae), settings.out / "sheet.png", settings)
    settings.say("done")


if __name__ == "__main__":
    main()
