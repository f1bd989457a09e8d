"""Trains a LoRA (ink drawings), an embedding (pale pictures) and a x2 upscaler.

``python -m tools.demo_model.train_extras --minutes 12`` trains them for the exported model and
writes them below ``data``. They are small, and real: each is of the kind that members have.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import avg_pool2d, mse_loss

from . import captions
from .backgrounds import SIDE
from .draw import draw_scene
from .extras import RANK, Compact, LowRank, attached, ink, targets
from .networks import NATIVE, exits_of
from .pool import to_tensor
from .sampling import Demo
from .scene import Scene, random_scene
from .tokens import encode, pad
from .train_unet import noise_schedule, v_error
from .train_vae import edges
from .training import Average, cosine

TRIGGER = "ink drawing"
# What the embedding starts from: these words' vectors.
PALE = "white gray background gray"
SHARES = {"lora": 0.55, "embedding": 0.15, "upscaler": 0.3}
_CROP = 48  # pixels, of a picture for the upscaler
_LENGTH = 32  # tokens of a training caption; the engine's 77 are the same with more padding


@dataclass
class Pool:
    """Drawings' latents in another look, with captions' ids and the clip skips they show."""

    latents: torch.Tensor
    ids: torch.Tensor
    exits: torch.Tensor

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Random latents, ids and clip skips."""
        rows = torch.randint(len(self.latents), (count,))
        return self.latents[rows], self.ids[rows], self.exits[rows]


def _pale(scene: Scene, rng: random.Random) -> Scene:
    """The scene without any colour."""
    things = tuple(replace(t, colour=rng.choice(("white", "white", "black"))) for t in scene.things)
    return replace(scene, things=things, background=rng.choice(("gray", "gray", "white")))


@torch.no_grad()
def _pool(
    demo: Demo,
    rng: random.Random,
    scenes: list[Scene],
    exits: list[int],
    change: Callable[[torch.Tensor], torch.Tensor] = lambda pictures: pictures,
) -> Pool:
    drawn = (draw_scene(scene, rng, k, side=NATIVE) for scene, k in zip(scenes, exits, strict=True))
    pictures = to_tensor(list(drawn))
    rows = []
    for scene in scenes:
        words = captions.caption(scene, rng)
        said = f"{TRIGGER}, {words}" if rng.random() < 0.6 else words
        rows.append(pad(demo.tokenizer, encode(demo.tokenizer, said), _LENGTH))
    changed = (change(part) for part in torch.split(pictures, 32))
    found = [demo.vae.encode(part).latent_dist.mode() for part in changed]
    latents = torch.cat(found) * demo.vae.config.scaling_factor
    return Pool(latents, torch.tensor(rows), torch.tensor(exits))


def _steps(part: str, seconds: float, opt: torch.optim.Optimizer, lr: float) -> Iterator[int]:
    """Count steps until the time is over; the caller leaves gradients, this applies them."""
    began, step, told = time.monotonic(), 0, 0.0
    while (elapsed := time.monotonic() - began) < seconds:
        yield step
        for group in opt.param_groups:
            group["lr"] = lr * cosine(int(1000 * elapsed / seconds), 1000, 1)
        opt.step()
        opt.zero_grad()
        step += 1
        if elapsed - told > 30:
            told = elapsed
            print(f"{part}: step {step}, {elapsed:.0f} of {seconds:.0f} s", flush=True)


def _loss(demo: Demo, *, bf16: bool) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The UNet's error for a conditioning and latents; a look is decided at the first steps too."""
    schedule = noise_schedule()

    def loss(condition: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=bf16):
            return v_error(demo.unet, condition, latents, schedule, latest=1000)

    return loss


def train_lora(demo: Demo, path: Path, seconds: float, batch: int, *, bf16: bool) -> None:
    """A LoRA that draws everything in ink, written as kohya's trainer does."""
    rng = random.Random("lora")
    scenes = [random_scene(rng) for _ in range(1600)]
    exits = [rng.choice((1, rng.randint(1, 12))) for _ in scenes]
    pool = _pool(demo, rng, scenes, exits, ink)
    found = list(targets(demo.unet, demo.text))
    low = [LowRank(layer) for _, layer in found]
    loss = _loss(demo, bf16=bf16)
    opt = torch.optim.Adam([p for m in low for p in m.parameters()], 2e-3)
    with attached([(layer, m) for (_, layer), m in zip(found, low, strict=True)]):
        for _ in _steps("lora", seconds, opt, 2e-3):
            latents, ids, clip_skips = pool.batch(batch)
            torch.autograd.backward(loss(exits_of(demo.text, ids, clip_skips), latents))
    tensors = {}
    for (name, _), m in zip(found, low, strict=True):
        tensors[f"{name}.lora_down.weight"] = _half(m.down.weight)
        tensors[f"{name}.lora_up.weight"] = _half(m.up.weight)
        tensors[f"{name}.alpha"] = torch.tensor(float(RANK)).half()
    about = {
        "ss_output_name": path.stem,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "ss_network_args": json.dumps({"conv_dim": str(RANK), "conv_alpha": str(RANK)}),
        "ss_base_model_version": "sd_v1",
        "ss_tag_frequency": json.dumps({path.stem: {TRIGGER: 1440}}),
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": path.stem,
        "modelspec.trigger_phrase": TRIGGER,
        "modelspec.license": "MIT",
    }
    save_file(tensors, path, about)


def _half(weight: Any) -> torch.Tensor:
    half: torch.Tensor = weight.detach().half().cpu().contiguous()
    return half


def train_embedding(demo: Demo, path: Path, seconds: float, batch: int, *, bf16: bool) -> None:
    """Vectors that mean a picture without colours, for the negative prompt (textual inversion)."""
    rng = random.Random("embedding")
    some = (random_scene(rng) for _ in range(700))
    scenes = [_pale(scene, rng) for scene in some if scene.things]
    pool = _pool(demo, rng, scenes, [rng.randint(1, 2) for _ in scenes])
    inner: Any = demo.text
    table = inner.get_input_embeddings()
    start = torch.tensor(encode(demo.tokenizer, PALE))
    vectors = nn.Parameter(table.weight[start].detach().clone())
    count = len(vectors)
    ids = torch.full((batch, _LENGTH), demo.tokenizer.eos_token_id)
    ids[:, 0] = demo.tokenizer.bos_token_id

    def put(_module: nn.Module, _inputs: Any, out: torch.Tensor) -> torch.Tensor:
        said = vectors.expand(len(out), -1, -1)
        return torch.cat([out[:, :1], said, out[:, 1 + count :]], dim=1)

    loss, opt = _loss(demo, bf16=bf16), torch.optim.Adam([vectors], 3e-3)
    handle = table.register_forward_hook(put)
    try:
        for _ in _steps("embedding", seconds, opt, 3e-3):
            latents, _, clip_skips = pool.batch(batch)
            torch.autograd.backward(loss(exits_of(inner, ids, clip_skips), latents))
    finally:
        handle.remove()
    save_file({"emb_params": vectors.detach().clone()}, path)


@torch.no_grad()
def _pairs(demo: Demo, rng: random.Random, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Drawings at half size and whole, in 0…1; a fifth as soft as the VAE draws them."""
    larges, smalls = [], []
    for _ in range(count):
        large = to_tensor([draw_scene(random_scene(rng), rng, side=2 * SIDE)])
        small = avg_pool2d(large, 2)
        if rng.random() < 0.2:
            small = demo.vae.decode(demo.vae.encode(small).latent_dist.mode()).sample.clamp(-1, 1)
        larges.append(large)
        smalls.append(small)
    return (torch.cat(smalls) + 1) / 2, (torch.cat(larges) + 1) / 2


def train_upscaler(demo: Demo, path: Path, seconds: float) -> None:
    """An upscaler that keeps edges."""
    model, rng = Compact(), random.Random("upscaler")
    smalls, larges = _pairs(demo, rng, 400)
    average, opt = Average(model, 0.99), torch.optim.Adam(model.parameters(), 2e-3)
    for step in _steps("upscaler", seconds, opt, 2e-3):
        average.update(model, step)
        y, x = (rng.randrange(SIDE - _CROP + 1) for _ in range(2))
        rows = torch.randint(len(smalls), (8,))
        small = smalls[rows, :, y : y + _CROP, x : x + _CROP]
        large = larges[rows, :, 2 * y : 2 * (y + _CROP), 2 * x : 2 * (x + _CROP)]
        got = model(small)
        # The absolute error's best answer beside an edge is to leave it as it is.
        loss = mse_loss(got, large)
        for a, b in zip(edges(got), edges(large), strict=True):
            loss = loss + 0.5 * mse_loss(a, b)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    save_file({k: _half(v) for k, v in average.weights.items()}, path)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("data/demo-model"))
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 arithmetic")
    parser.add_argument("--parts", nargs="*", default=list(SHARES), choices=SHARES)
    args = parser.parse_args()
    torch.manual_seed(6)
    demo = Demo.load(args.model)
    text: Any = demo.text
    for network in (demo.unet, text, demo.vae):
        network.requires_grad_(False)
    # For heads this narrow the fused attention's backward pass is the slower one.
    demo.unet.set_attn_processor(AttnProcessor())
    text.set_attn_implementation("eager")
    made = {
        "lora": args.out / "demo-loras" / "demo-ink.safetensors",
        "embedding": args.out / "demo-embeddings" / "demo-pale.safetensors",
        "upscaler": args.out / "demo-upscalers" / "demo-x2.safetensors",
    }
    whole = sum(SHARES[part] for part in args.parts)
    for part in args.parts:
        path, seconds = made[part], 60 * args.minutes * SHARES[part] / whole
        path.parent.mkdir(parents=True, exist_ok=True)
        if part == "lora":
            train_lora(demo, path, seconds, args.batch, bf16=args.bf16)
        elif part == "embedding":
            train_embedding(demo, path, seconds, args.batch, bf16=args.bf16)
        else:
            train_upscaler(demo, path, seconds)
        print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
