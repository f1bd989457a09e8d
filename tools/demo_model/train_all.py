"""Trains everything that the demo ships, in one run.

``python -m tools.demo_model.train_all --minutes 12 --out DIR`` on a GPU; on a CPU give it hours.
DIR gets the model, its second VAE, the LoRA, the embedding and the upscaler, each as soon as it
is there, and at last what was measured. ``--parts`` chooses; what ``--work`` has is not done again.
"""

from __future__ import annotations

import argparse
import os
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from .export import EXTRAS_LIMIT, LIMIT, size_of, write_model, write_vae
from .feed import Feed, Words, drawing
from .networks import Unet, Vae
from .pool import Pool
from .quick_look import look
from .settings import SHARES, Settings
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
    """Wait for the first pictures, some of each size."""
    enough = min(settings.crops * 8, len(pool.main.pixels) // 2)
    while pool.main.drawn < enough or not all(s.drawn for s in pool.shelves.values()):
        pool.draw(feed, 8, wait=0.5)
    settings.say(f"{pool.main.drawn} pictures drawn")


def _code(vae: Vae, pool: Pool, feed: Feed, first: int, settings: Settings) -> None:
    """Encode the first pictures."""
    pool.encode_kept(vae)
    while pool.main.coded < min(first, len(pool.main.latents)):
        pool.code(vae, feed, 8, wait=0.5)
    counts = {f"{w}x{h}": shelf.coded for (w, h), shelf in pool.shelves.items()}
    settings.say(f"encoded {counts}")


def _train(
    feed: Feed, tokenizer: CLIPTokenizer, pool: Pool, first: int, settings: Settings
) -> tuple[Unet, CLIPTextModel, Vae] | None:
    """Autoencoders, upscaler, UNet and text encoder, as far as they are asked for."""
    ship, parts = settings.work / "ship", settings.parts
    ship.mkdir(parents=True, exist_ok=True)
    _fill(pool, feed, settings)
    vae = train_vae(pool, feed, settings)
    if "vivid" in parts:
        write_vae(train_vivid(vae, pool, feed, settings), ship / "demo-vae")
        _bundle(settings, "demo-vae", "demo-vae")
    if "upscaler" in parts:
        (ship / "demo-upscalers").mkdir(exist_ok=True)
        train_upscaler(pool, vae, ship / "demo-upscalers" / "demo-x2.safetensors", settings)
        _bundle(settings, "demo-upscalers", "demo-upscalers")
    if "unet" not in parts:
        return None

    def write(unet: Unet, text: CLIPTextModel) -> None:
        write_model(unet, text, tokenizer, vae, ship / "demo-model")
        _bundle(settings, "demo-model", "demo-model")
        settings.say("written")

    _code(vae, pool, feed, first, settings)
    unet, text = train_unet(tokenizer, vae, pool, feed, settings, write)
    settings.say(f"{pool.main.seen} pictures were drawn at the model's own size")
    write(unet, text)
    return unet, text, vae


def _extras(
    tokenizer: CLIPTokenizer,
    networks: tuple[Unet, CLIPTextModel, Vae],
    pool: Pool,
    settings: Settings,
) -> None:
    ship, parts = settings.work / "ship", settings.parts
    folders = "demo-loras", "demo-embeddings"
    for folder in folders:
        (ship / folder).mkdir(exist_ok=True)
    if "lora" in parts and settings.left("lora") > 1:
        train_lora(tokenizer, networks, pool, ship / folders[0] / "demo-ink.safetensors", settings)
        _bundle(settings, "demo-extras", *folders)
    if "embedding" in parts and settings.left("embedding") > 1:
        path = ship / folders[1] / "demo-washed.safetensors"
        train_embedding(tokenizer, networks, pool, path, settings)
        _bundle(settings, "demo-extras", *folders)
    sizes = size_of(ship / "demo-model", ship / "demo-vae"), size_of(*(ship / f for f in folders))
    settings.say(f"{sizes[0]:,} of {LIMIT:,} bytes, extras {sizes[1]:,} of {EXTRAS_LIMIT:,}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=12 if gpu else 900)
    parser.add_argument("--until", type=float, help="in place of --minutes: seconds since 1970")
    parser.add_argument("--parts", nargs="*", choices=SHARES, default=list(SHARES))
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--work", type=Path, default=Path("demo-train"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="what ships, packed")
    parser.add_argument("--processes", type=int, default=max(1, cores - 3), help="that draw")
    parser.add_argument("--batch", type=int, default=256 if gpu else 64, help="of the UNet")
    parser.add_argument("--crops", type=int, default=192 if gpu else 16, help="of the VAE")
    parser.add_argument("--pictures", type=int, default=400_000 if gpu else 60_000)
    parser.add_argument("--kept", type=int, default=16_000 if gpu else 4_000, help="as pixels")
    parser.add_argument("--first", type=int, default=30_000 if gpu else 4_000, help="encoded first")
    parser.add_argument("--chunk", type=int, default=64, help="pictures drawn at a time")
    parser.add_argument("--looked", type=int, default=96, help="prompts measured at the end")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=gpu)
    modes = "compile", "graph", "eager"
    parser.add_argument("--mode", choices=modes, default=modes[0] if gpu else modes[2])
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    args = _arguments(argv)
    for folder in (args.work, args.out):
        folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        device=torch.device(args.device),
        until=args.until or time.time() + 60 * args.minutes,
        parts=args.parts,
        work=args.work,
        out=args.out,
        seed=args.seed,
        batch=args.batch,
        crops=args.crops,
        bf16=args.bf16,
        mode=args.mode,
        looked=args.looked,
    )
    settings.watch()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    tokenizer = make_tokenizer()
    words = Words(
        tokenizer.backend_tokenizer.to_str(), tokenizer.bos_token_id, tokenizer.eos_token_id
    )
    with drawing(words, args.processes, args.chunk, args.seed) as feed:
        pool = Pool(args.pictures, args.kept, settings.device)
        made = _train(feed, tokenizer, pool, args.first, settings)
    if made is None:
        return
    _extras(tokenizer, made, pool, settings)
    if "look" in args.parts and settings.left("look") > 8:
        torch.backends.cudnn.benchmark = False
        look(tokenizer, made, settings.out / "sheet.png", settings)
    settings.say("done")


if __name__ == "__main__":
    main()
