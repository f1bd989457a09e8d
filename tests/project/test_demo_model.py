"""The shipped demo model still draws what it is asked, through the engine that members use."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import EngineConfig
from core.engine.engine import Engine
from core.events import Failed, Finished
from core.models.catalogue import Catalogue, Model, Vae
from core.request import GenerationRequest
from core.work import Work
from tools.demo_model import captions, fading
from tools.demo_model.checker import count_things, halved, halves, read_background, read_thing
from tools.demo_model.colour import mean_chroma
from tools.demo_model.draw import draw_scene
from tools.demo_model.evaluate import (
    drawn,
    judge_singles,
    pairs,
    rows_of_things,
    say,
    singles,
    varied_prompts,
)
from tools.demo_model.pool import to_tensor
from tools.demo_model.scene import SUBJECTS, Scene, Thing
from tools.demo_model.tokens import encode, make_tokenizer, pad
from tools.demo_model.words import NOUNS

DATA = Path(__file__).parents[2] / "data"
LIMIT = 15_000_000


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    empty = tmp_path_factory.mktemp("none")
    return Catalogue.scan(empty, empty, DATA)


@pytest.fixture(scope="module")
def demo(catalogue: Catalogue) -> Model:
    return catalogue.model("demo")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(EngineConfig(device="cpu", max_rows=64))
    yield engine
    engine.close()


def draw(
    engine: Engine,
    model: Model,
    prompts: Sequence[str],
    *,
    vae: Vae | None = None,
    clip_skip: int = 1,
    steps: int = 20,
) -> np.ndarray:
    """One picture a prompt, (n, 192, 192, 3); their seeds are their places."""
    for i, prompt in enumerate(prompts):
        request = GenerationRequest(
            prompt,
            model.name,
            seed=1000 + i,
            vae=vae.name if vae else "Automatic",
            clip_skip=clip_skip,
            steps=steps,
            cfg_scale=4.0,
            width=192,
            height=192,
        )
        engine.add(Work.of(i, "somebody", request, model, vae))
    found: dict[int, np.ndarray] = {}
    while engine.busy:
        for event in engine.step():
            assert not isinstance(event, Failed), event
            if isinstance(event, Finished):
                picture = Image.open(io.BytesIO(event.images[0].png)).convert("RGB")
                found[event.job_id] = np.asarray(picture)
    return np.stack([found[i] for i in range(len(prompts))])


def test_the_catalogue_finds_the_model_and_offers_it_the_vivid_vae(
    catalogue: Catalogue, demo: Model
) -> None:
    assert demo.family == "sd1"
    assert demo.size == (192, 192)
    assert demo.prediction_type == "v_prediction"
    assert [vae.name for vae in catalogue.fitting_vaes(demo)] == ["vivid"]
    assert not catalogue.warnings


def test_both_folders_together_stay_small() -> None:
    files = [f for name in ("demo-model", "demo-vae") for f in (DATA / name).rglob("*")]
    assert sum(f.stat().st_size for f in files if f.is_file()) <= LIMIT


def test_a_held_out_handful_is_drawn_as_asked(engine: Engine, demo: Model) -> None:
    scenes = singles(24, "test")
    scores = judge_singles(scenes, draw(engine, demo, say(scenes, "test")))
    assert scores["colour"] >= 0.92
    assert scores["background"] >= 0.92
    assert scores["place"] >= 0.88
    assert scores["shape"] >= 0.8


def test_what_members_type_first(engine: Engine, demo: Model) -> None:
    prompts = ["a yellow star in the night sky", "a red circle on a blue background"]
    star, circle = (halved(p) for p in draw(engine, demo, prompts))
    assert read_background(star) == "night sky"
    assert read_background(circle) == "blue"
    thing = read_thing(star, "night sky")
    assert thing is not None
    assert (thing.subject, thing.colour, thing.place) == ("star", "yellow", "centre")
    thing = read_thing(circle, "blue")
    assert thing is not None
    assert (thing.subject, thing.colour, thing.place) == ("circle", "red", "centre")


def test_clip_skip_12_leaves_only_the_gist(engine: Engine, demo: Model) -> None:
    prompts = ["a small yellow star in the top left corner, red background", "a blue heart at sea"]
    pictures = draw(engine, demo, prompts, clip_skip=12)
    for picture in pictures:
        plain = fading.unlight(picture.astype(float), 12)
        corner = plain[:24, :24].mean(axis=(0, 1))
        assert np.abs(corner - fading.neutral(12)).max() < 40
        assert np.abs(plain[80:112, 80:112].mean(axis=(0, 1)) - corner).max() > 30


def test_every_clip_skip_shows(engine: Engine, demo: Model) -> None:
    prompts = varied_prompts(3)
    at = [draw(engine, demo, prompts, clip_skip=k, steps=12).astype(float) for k in range(1, 13)]
    apart = [np.abs(a - b).mean(axis=(1, 2, 3)) for a, b in itertools.pairwise(at)]
    assert (np.stack(apart) >= 2).mean() >= 0.95


def test_the_vivid_vae_is_vivid(engine: Engine, catalogue: Catalogue, demo: Model) -> None:
    prompts = ["a green tree in the snow", "a purple flower on a pink background"]
    own = draw(engine, demo, prompts)
    other = draw(engine, demo, prompts, vae=catalogue.vae("vivid"))
    chroma = [mean_chroma(to_tensor(torch.from_numpy(pictures))) for pictures in (own, other)]
    assert chroma[1] >= 1.3 * chroma[0]


def test_the_checker_reads_true_drawings() -> None:
    scenes = singles(60, "drawn")
    scores = judge_singles(scenes, drawn(scenes, "drawn", 2), 2)
    for name in ("colour", "background", "place", "size", "shape"):
        assert scores[name] >= 0.95, name
    right = 0
    for scene, picture in zip(pairs(20, "drawn"), drawn(pairs(20, "drawn"), "pairs"), strict=True):
        pixels = halved(picture)
        background = read_background(pixels)
        found = [read_thing(pixels, background, part) for part in halves(scene.relation)]
        asked = [(thing.subject, thing.colour) for thing in scene.things]
        right += [(f.subject, f.colour) for f in found if f is not None] == asked
    assert right >= 18
    rows = rows_of_things(12, "drawn")
    counted = [count_things(p, read_background(p)) for p in map(halved, drawn(rows, "rows"))]
    assert sum(n == scene.count for n, scene in zip(counted, rows, strict=True)) >= 11


def test_a_drawing_changes_a_little_with_every_clip_skip() -> None:
    scene = Scene((Thing("cat", "red"), Thing("star", "blue")), "white")
    at = [
        np.asarray(draw_scene(scene, random.Random(1), clip_skip)).astype(float)
        for clip_skip in range(1, 13)
    ]
    apart = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(at)]
    assert min(apart) >= 2
    assert max(apart) <= float(np.abs(at[0] - at[-1]).mean()) / 3


@pytest.mark.parametrize("subject", SUBJECTS)
def test_captions_say_the_whole_scene(subject: str) -> None:
    rng = random.Random(subject)
    scene = Scene((Thing(subject, "red"),), "sea", "small", "left")
    for say_it in (captions.prose, captions.tags):
        words = say_it(scene, rng)
        assert any(noun in words for noun in NOUNS[subject])
        assert "red" in words
        assert "left" in words


def test_the_shipped_tokenizer_is_the_one_that_is_made(demo: Model) -> None:
    from transformers import CLIPTokenizer

    shipped = CLIPTokenizer.from_pretrained(demo.path / "tokenizer")
    made = make_tokenizer()
    text = "masterpiece, 1star, yellow, night sky, zorblax 日本"
    assert encode(shipped, text) == encode(made, text)
    assert len(encode(made, "yellow star in the night sky")) == 6
    row = pad(made, encode(made, text))
    assert len(row) == 77
    assert torch.tensor(row).max() < len(made)
    assert shipped.pad_token_id == shipped.eos_token_id == row[-1]
