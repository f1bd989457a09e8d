"""Trains a LoRA (ink drawings), an embedding (washed-out pictures) and a x2 upscaler.

They are small, and real: each is of the kind that members have for their own models.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, l1_loss, max_pool2d
from transformers import CLIPTextModel, CLIPTokenizer

from .feed import LENGTH, SIZES
from .networks import Unet, Vae, fast_exits
from .pool import Pool, to_tensor
from .settings import Settings
from .tokens import encode
from .train_unet import Noise, v_loss
from .train_vae import edges
from .training import Average, Clock, adamw, apply, cosine, remember_rates, run

RANK = 8
VECTORS = 4
TRIGGER = "ink drawing"
_TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def ink(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, h, w) in -1…1 as ink drawings: dark outlines, a faint wash of colour."""
    across, down = edges(pictures)
    steep = torch.zeros_like(pictures[:, :1])
    steep[..., :, 1:] += across.abs().amax(1, keepdim=True)
    steep[..., 1:, :] += down.abs().amax(1, keepdim=True)
    line = (max_pool2d(steep, 3, 1, 1) * 2.2 - 0.25).clamp(0, 1)
    paper = torch.tensor((0.92, 0.86, 0.74), device=pictures.device).view(1, 3, 1, 1)
    dark = torch.tensor((-0.8, -0.78, -0.66), device=pictures.device).view(1, 3, 1, 1)
    washed = paper + 0.16 * (pictures - 0.3)
    return (washed + (dark - washed) * line).clamp(-1, 1)


def washed_out(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, h, w) in -1…1, blurred and grayish."""
    soft = avg_pool2d(pictures, 9, 1, 4, count_include_pad=False)
    gray = soft.mean(1, keepdim=True)
    return 0.55 * (0.35 * soft + 0.65 * gray)


@torch.no_grad()
def _latents(pool: Pool, vae: Vae, change: Any, settings: Settings) -> torch.Tensor:
    """Latents of changed pictures, in the order of the kept ones."""
    count = min(pool.main.drawn, 12_000)
    out = []
    for at in range(0, count, 128):
        pictures = change(to_tensor(pool.main.pixels[at : min(at + 128, count)]))
        with settings.autocast():
            found = vae.encode(pictures).latent_dist.mode()
        out.append(found.float() * vae.config.scaling_factor)
    return torch.cat(out)


class LowRank(nn.Module):
    """What a LoRA adds to one layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if isinstance(layer, nn.Linear):
            self.down: nn.Module = nn.Linear(layer.in_features, RANK, bias=False)
            self.up: nn.Module = nn.Linear(RANK, layer.out_features, bias=False)
        else:
            assert isinstance(layer, nn.Conv2d)
            kernel: Any = layer.kernel_size
            stride: Any = layer.stride
            padding: Any = layer.padding
            self.down = nn.Conv2d(layer.in_channels, RANK, kernel, stride, padding, bias=False)
            self.up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
        for weights in self.up.parameters():
            nn.init.zeros_(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The addition to the layer's output."""
        added: torch.Tensor = self.up(self.down(x))
        return added


def _targets(unet: nn.Module, text: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer with an addition, by its name in kohya's spelling."""
    for name, layer in unet.named_modules():
        inner = ".transformer_blocks." in name and isinstance(layer, nn.Linear)
        around = name.endswith(("proj_in", "proj_out", "conv1", "conv2"))
        if inner or (around and isinstance(layer, nn.Conv2d)):
            yield f"lora_unet_{name.replace('.', '_')}", layer
    for name, layer in text.named_modules():
        if name.endswith(_TEXT_TARGETS):
            whole = name if name.startswith("text_model.") else f"text_model.{name}"
            yield f"lora_te_{whole.replace('.', '_')}", layer


@contextmanager
def _attached(pairs: list[tuple[nn.Module, LowRank]]) -> Iterator[None]:
    handles = [
        layer.register_forward_hook(lambda _m, inputs, out, low=low: out + low(inputs[0]))
        for layer, low in pairs
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def train_lora(
    tokenizer: CLIPTokenizer,
    networks: tuple[Unet, CLIPTextModel, Vae],
    pool: Pool,
    path: Path,
    settings: Settings,
) -> None:
    """A LoRA that draws everything in ink, written as kohya's trainer does."""
    torch.manual_seed(settings.seed + 2)
    unet, text, vae = networks
    frozen: Any = text
    unet.requires_grad_(False)
    frozen.requires_grad_(False)
    targets = list(_targets(unet, frozen))
    low = [LowRank(layer).to(settings.device) for _, layer in targets]
    latents, noise = _latents(pool, vae, ink, settings), Noise(settings.device)
    params = [p for m in low for p in m.parameters()]
    count = max(2, settings.batch // 2)
    said = torch.tensor(encode(tokenizer, TRIGGER), device=settings.device).expand(count // 2, -1)

    def step() -> torch.Tensor:
        rows = torch.randint(len(latents), (count,), device=settings.device)
        ids, exits = pool.main.ids[rows, 0].long(), pool.main.exits[rows].long()
        told = ids[: count // 2]  # half of the captions begin with the trigger words
        told = torch.cat([told[:, :1], said, told[:, 1 : LENGTH - said.shape[1]]], dim=1)
        ids = torch.cat([told, ids[count // 2 :]])
        with settings.autocast():
            return v_loss(unet, fast_exits(text, ids, exits), latents[rows], noise)

    with _attached([(layer, m) for (_, layer), m in zip(targets, low, strict=True)]):
        run("lora", step, params, adamw(params, 2e-3), settings)
    tensors = {}
    for (name, _), m in zip(targets, low, strict=True):
        tensors[f"{name}.lora_down.weight"] = _half(m.down.weight)
        tensors[f"{name}.lora_up.weight"] = _half(m.up.weight)
        tensors[f"{name}.alpha"] = torch.tensor(float(RANK)).half()
    about = {
        "ss_output_name": "demo-ink",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "ss_network_args": json.dumps({"conv_dim": str(RANK), "conv_alpha": str(RANK)}),
        "ss_base_model_version": "sd_v1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "demo-ink",
        "modelspec.trigger_phrase": TRIGGER,
        "modelspec.license": "MIT",
    }
    save_file(tensors, path, about)


def _half(weight: Any) -> torch.Tensor:
    half: torch.Tensor = weight.detach().half().cpu().contiguous()
    return half


def train_embedding(
    tokenizer: CLIPTokenizer,
    networks: tuple[Unet, CLIPTextModel, Vae],
    pool: Pool,
    path: Path,
    settings: Settings,
) -> None:
    """Vectors that mean a washed-out picture, for the negative prompt (textual inversion)."""
    torch.manual_seed(settings.seed + 3)
    unet, text, vae = networks
    unet.requires_grad_(False)
    inner: Any = text
    inner.requires_grad_(False)
    table = inner.get_input_embeddings()
    vectors = nn.Parameter(0.3 * torch.randn(VECTORS, table.weight.shape[1]).to(table.weight))
    latents, noise = _latents(pool, vae, washed_out, settings), Noise(settings.device)
    rows = torch.full((settings.batch // 2, LENGTH), tokenizer.eos_token_id)
    rows[:, 0] = tokenizer.bos_token_id
    ids = rows.to(settings.device)

    def put(_module: nn.Module, _inputs: Any, out: torch.Tensor) -> torch.Tensor:
        said = vectors.to(out.dtype).expand(len(out), -1, -1)
        return torch.cat([out[:, :1], said, out[:, 1 + VECTORS :]], dim=1)

    def step() -> torch.Tensor:
        rows = torch.randint(len(latents), (len(ids),), device=settings.device)
        exits = torch.randint(1, 3, (len(ids),), device=settings.device)
        with settings.autocast():
            return v_loss(unet, fast_exits(text, ids, exits), latents[rows], noise)

    handle = table.register_forward_hook(put)
    try:
        run("embedding", step, [vectors], adamw([vectors], 1e-2), settings)
    finally:
        handle.remove()
    save_file({"emb_params": vectors.detach().float().cpu().contiguous()}, path)


class Compact(nn.Module):
    """The compact upscaler of Real-ESRGAN (SRVGGNetCompact), x2, with its own key names."""

    def __init__(self, width: int = 24, depth: int = 8, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, 3 * scale * scale, 3, 1, 1))
        self.body = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, h, w) in 0…1 at ``scale`` times the size."""
        out = x
        for layer in self.body:
            out = layer(out)
        larger = interpolate(x, scale_factor=self.scale, mode="nearest")
        return nn.functional.pixel_shuffle(out, self.scale) + larger


@torch.no_grad()
def _small_and_large(
    pool: Pool, vae: Vae, rng: random.Random, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops at half size and whole, in 0…1; a third as soft as the VAE draws them."""
    shelf = pool.shelves[list(SIZES)[1]]
    side = 192
    y, x = (rng.randrange(0, n - side + 1, 8) for n in shelf.pixels.shape[1:3])
    pixels = shelf.pictures(max(1, settings.crops // 6))[:, y : y + side, x : x + side]
    large = to_tensor(pixels)
    small = avg_pool2d(large, 2)
    if rng.random() < 0.34:
        with settings.autocast():
            small = vae.decode(vae.encode(small).latent_dist.mode()).sample.float().clamp(-1, 1)
    return (small + 1) / 2, (large + 1) / 2


def train_upscaler(pool: Pool, vae: Vae, path: Path, settings: Settings) -> None:
    """An upscaler that keeps edges."""
    torch.manual_seed(settings.seed + 4)
    model = Compact().to(settings.device)
    average, rng = Average(model, 0.99), random.Random(settings.seed)
    opts: list[torch.optim.Optimizer] = [adamw(model.parameters(), 2e-3)]
    remember_rates(opts)
    clock, step = Clock(settings.left("upscaler")), 0
    while (progress := clock.progress) < 1:
        small, large = _small_and_large(pool, vae, rng, settings)
        got = model(small)
        loss = l1_loss(got, large)
        for a, b in zip(edges(got), edges(large), strict=True):
            loss = loss + 0.5 * l1_loss(a, b)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        apply(opts, cosine(progress, step, 50))
        average.update(step)
        step += 1
        settings.report("upscaler", step, progress, loss)
    save_file({k: _half(v) for k, v in average.weights.items()}, path)
