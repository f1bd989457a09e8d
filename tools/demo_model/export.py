"""Writes the trained networks as a diffusers folder: ``python -m tools.demo_model.export``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import diffusers
import torch

from .networks import Vae, make_text_encoder, make_unet
from .tokens import make_tokenizer
from .train_decoder import load_look
from .train_unet import noise_schedule
from .training import load

_diffusers: Any = diffusers

LIMIT = 15_000_000  # bytes of both folders


def export_model(work: Path, folder: Path, vae: Vae) -> None:
    """Write tokenizer, text encoder, UNet, VAE and scheduler in fp16."""
    state = load(work / "unet.pt")
    if state is None:
        raise SystemExit(f"no UNet in {work}: run tools.demo_model.train_unet first")
    tokenizer = make_tokenizer()
    unet = make_unet()
    text = make_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    unet.load_state_dict(state["averages"][0])
    text.load_state_dict(state["averages"][1])
    pipe = _diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_diffusers.EulerDiscreteScheduler.from_config(noise_schedule().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    # Written without spaces: they would be a third of its bytes.
    words = folder / "tokenizer" / "tokenizer.json"
    known = json.loads(words.read_text(encoding="utf-8"))
    words.write_text(json.dumps(known, ensure_ascii=False, separators=(",", ":")), "utf-8")
    # transformers would load it in the precision of the file, diffusers loads the rest in fp32.
    config = folder / "text_encoder" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**values, "dtype": "float32"}, indent=2) + "\n", "utf-8")


def _forget_origin(config: Path) -> None:
    """Leave out where the network was gone on from: a folder of this machine."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values.pop("_name_or_path", None)
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and write both folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="demo-train", help="folder of the checkpoints")
    parser.add_argument("--start", type=Path, help="the folder gone on from, for its VAE")
    parser.add_argument("--out", default="data", help="where demo-model/ and demo-vae/ are")
    args = parser.parse_args()
    work, out = Path(args.work), Path(args.out)
    export_model(work, out / "demo-model", load_look(work, "natural", args.start))
    if (work / "decoder-vivid.pt").exists():
        load_look(work, "vivid", args.start).half().save_pretrained(out / "demo-vae")
    folders = (out / "demo-model", out / "demo-vae")
    for folder in (folders[0] / "vae", folders[1]):
        _forget_origin(folder / "config.json")
    size = sum(f.stat().st_size for d in folders for f in d.rglob("*") if f.is_file())
    print(f"{size / 1e6:.2f} MB in all")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
