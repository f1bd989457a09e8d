"""The demo's LoRA, embedding and upscaler do what the docs say of them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.engine.engine import Engine
from core.events import Failed, Finished
from core.models.catalogue import Catalogue
from core.models.upscalers import load_upscaler
from core.models.uses import addons_of
from core.request import GenerationRequest
from core.work import Item, Work
from tools.demo_model.colour import mean_chroma
from tools.demo_model.draw import draw_scene
from tools.demo_model.evaluate import singles
from tools.demo_model.pool import to_tensor

DATA = Path(__file__).parents[2] / "data"
FOLDERS = "demo-loras", "demo-embeddings", "demo-upscalers"
LIMIT = 2_000_000
PROMPTS = "a red circle", "a house", "a blue cat on a grass field", "a star"


def draw(
    engine: Engine, catalogue: Catalogue, prompts: Sequence[str], negative: str = ""
) -> np.ndarray:
    """One picture a prompt, (n, h, w, 3) float."""
    model = catalogue.model("demo")
    items = []
    for seed, prompt in enumerate(prompts):
        request = GenerationRequest(
            prompt,
            "demo",
            seed,
            negative_prompt=negative,
            steps=12,
            cfg_scale=4.0,
            width=model.size[0],
            height=model.size[1],
        )
        items.append(Item(request, model, addons=addons_of(request, catalogue, model)[0]))
    engine.add(Work(1, "somebody", tuple(items)))
    while engine.busy:
        for event in engine.step():
            assert not isinstance(event, Failed), event
            if isinstance(event, Finished):
                opened = [Image.open(io.BytesIO(image.png)) for image in event.images]
                return np.stack([np.asarray(each, float) for each in opened])
    raise AssertionError("a job ends")


def test_the_catalogue_offers_all_three(catalogue: Catalogue) -> None:
    (lora,) = catalogue.networks.entries
    assert (lora.name, lora.family, lora.triggers) == ("demo-ink", "sd1", ("ink drawing",))
    assert catalogue.embeddings.names == ("demo-pale",)
    assert catalogue.upscalers.names == ("demo-x2",)
    files = [file for name in FOLDERS for file in (DATA / name).iterdir()]
    assert sum(file.stat().st_size for file in files) <= LIMIT


def test_the_lora_draws_in_ink(engine: Engine, catalogue: Catalogue) -> None:
    plain = draw(engine, catalogue, PROMPTS)
    inked = draw(engine, catalogue, [f"{each} <lora:demo-ink:1>" for each in PROMPTS])
    # Paper is light and nearly without colour; what is drawn on it is darker.
    assert np.median(inked.mean(axis=3)) > 190 > np.median(plain.mean(axis=3))
    assert _chroma(inked) < 0.6 * _chroma(plain)
    assert np.percentile(inked, 1) < 90


def test_the_embedding_keeps_what_is_pale_away(engine: Engine, catalogue: Catalogue) -> None:
    bare = ["a circle", "a rocket", "a dog", "a moon", "a robot", "a square"]
    plain = draw(engine, catalogue, bare)
    vivid = draw(engine, catalogue, bare, "demo-pale")
    pale = draw(engine, catalogue, [f"demo-pale {each}" for each in bare])
    assert _chroma(pale) < 0.3 * _chroma(plain)
    # What had a colour keeps it; what had none gets one.
    assert _chroma(vivid) > 1.1 * _chroma(plain)
    assert np.abs(vivid - plain).mean() > 5


def test_the_upscaler_keeps_edges(catalogue: Catalogue) -> None:
    (file,) = catalogue.upscalers.entries
    model = load_upscaler(file.path, torch.device("cpu"), torch.float32)
    rng = random.Random(5)
    ours, lanczos = [], []
    for scene in singles(8, "edges"):
        large = draw_scene(scene, rng, side=256)
        small = large.reduce(2)
        with torch.inference_mode():
            enlarged = model((to_tensor([small]) + 1) / 2).clamp(0, 1)
        ours.append(_error(np.asarray(enlarged[0].permute(1, 2, 0)) * 255, large))
        resized = small.resize(large.size, Image.Resampling.LANCZOS)
        lanczos.append(_error(np.asarray(resized, float), large))
    assert np.mean(ours) < 0.7 * np.mean(lanczos)


def _chroma(pictures: np.ndarray) -> float:
    return mean_chroma(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1)


def _error(pixels: np.ndarray, true: Image.Image) -> float:
    return float(((pixels - np.asarray(true, float)) ** 2).mean())
