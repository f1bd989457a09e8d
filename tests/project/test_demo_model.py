"""The shipped demo model still draws what it is asked, through the engine that members use."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.engine.engine import Engine
from core.events import Failed, Finished
from core.models.catalogue import Catalogue, Model, Vae
from core.request import GenerationRequest
from core.work import Work
from tools.demo_model import captions
from tools.demo_model.backgrounds import still
from tools.demo_model.checker import at_side, halves, read_background, read_thing
from tools.demo_model.colour import mean_chroma
from tools.demo_model.draw import draw_scene
from tools.demo_model.evaluate import pairs, say, several, singles, wider
from tools.demo_model.everyday import EVERYDAY
from tools.demo_model.fading import random_exit, unlight
from tools.demo_model.judging import judge_open, judge_several, judge_singles
from tools.demo_model.networks import NATIVE, all_exits, make_text_encoder, make_unet
from tools.demo_model.pool import to_tensor
from tools.demo_model.sampling import Demo
from tools.demo_model.scene import BACKGROUNDS, SUBJECTS, Scene, Thing, random_scene
from tools.demo_model.tokens import encode, make_tokenizer, pad
from tools.demo_model.train_unet import go_on

DATA = Path(__file__).parents[2] / "data"
LIMIT = 15_000_000


@pytest.fixture(scope="module")
def demo(catalogue: Catalogue) -> Model:
    return catalogue.model("demo")


def draw(
    engine: Engine,
    model: Model,
    prompts: Sequence[str],
    *,
    vae: Vae | None = None,
    clip_skip: int = 1,
    steps: int = 20,
) -> np.ndarray:
    """One picture a prompt, (n, h, w, 3) bytes; their seeds are their places."""
    for i, prompt in enumerate(prompts):
        request = GenerationRequest(
            prompt,
            model.name,
            seed=1000 + i,
            vae=vae.name if vae else "Automatic",
            clip_skip=clip_skip,
            steps=steps,
            cfg_scale=4.0,
            width=model.size[0],
            height=model.size[1],
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
    assert demo.size == (NATIVE, NATIVE)
    assert demo.prediction_type == "v_prediction"
    assert [vae.name for vae in catalogue.fitting_vaes(demo)] == ["vivid"]
    assert not catalogue.warnings


def test_both_folders_together_stay_small() -> None:
    files = [f for name in ("demo-model", "demo-vae") for f in (DATA / name).rglob("*")]
    assert sum(f.stat().st_size for f in files if f.is_file()) <= LIMIT


def test_a_held_out_handful_is_drawn_as_asked(engine: Engine, demo: Model) -> None:
    scenes = singles(26, "test")
    scores = judge_singles(scenes, draw(engine, demo, say(scenes, "test")))
    assert scores["colour"] >= 0.92
    assert scores["background"] >= 0.92
    assert scores["place"] >= 0.88
    assert scores["shape"] >= 0.8


def test_what_members_type_first(engine: Engine, demo: Model) -> None:
    prompts = ["a yellow star in the night sky", "a red circle on a blue background"]
    star, circle = (at_side(p) for p in draw(engine, demo, prompts))
    assert read_background(star) == "night sky"
    assert read_background(circle) == "blue"
    thing = read_thing(star, "night sky")
    assert thing is not None
    assert (thing.subject, thing.colour, thing.place) == ("star", "yellow", "centre")
    thing = read_thing(circle, "blue")
    assert thing is not None
    assert (thing.subject, thing.colour, thing.place) == ("circle", "red", "centre")


def test_words_that_it_does_not_know_are_a_plain_picture(engine: Engine, demo: Model) -> None:
    for picture in draw(engine, demo, ["日本の夕日", "кошка", "zorblax quintl"]):
        plain = unlight(at_side(picture), 1)
        assert min(np.abs(plain - still(name)).mean() for name in BACKGROUNDS) <= 15


def test_newcomers_prompts_are_drawn_as_asked(engine: Engine, demo: Model) -> None:
    pictures = draw(engine, demo, list(EVERYDAY))
    # The eye finds more right than the checker, which counts two birds that touch as one.
    assert judge_open(list(EVERYDAY.values()), pictures)["as asked"] >= 17 / 24


def test_clip_skip_12_leaves_only_the_gist(engine: Engine, demo: Model) -> None:
    prompts = ["a small yellow star on the left, red background", "a blue heart at sea"]
    pictures = draw(engine, demo, prompts, clip_skip=12)
    for picture, subject in zip(pictures, ("star", "heart"), strict=True):
        plain = unlight(at_side(picture), 12)
        assert read_background(plain) == "gray"
        thing = read_thing(plain, None)
        assert thing is not None
        assert (thing.subject, thing.place, thing.size) == (subject, "centre", "medium")


def test_every_clip_skip_is_another_image(engine: Engine, demo: Model) -> None:
    prompts = [
        "a red circle",
        "a small yellow star on the left, red background",
        "a blue cat left of a red heart in the night sky",
        "masterpiece, 1house, white, grass field",
    ]
    at = [draw(engine, demo, prompts, clip_skip=k, steps=8).astype(int) for k in range(1, 13)]
    apart = np.stack([np.abs(a - b).mean(axis=(1, 2, 3)) for a, b in itertools.pairwise(at)])
    assert apart.min() >= 2, apart.round(1)
    whole = np.abs(at[0] - at[-1]).mean(axis=(1, 2, 3))
    assert (apart / whole).mean(axis=1).max() <= 1 / 3, (apart / whole).round(2)


def test_the_vivid_vae_is_vivid(engine: Engine, catalogue: Catalogue, demo: Model) -> None:
    prompts = ["a green tree in the snow", "a purple flower on a pink background"]
    own = draw(engine, demo, prompts)
    other = draw(engine, demo, prompts, vae=catalogue.vae("vivid"))
    chroma = [mean_chroma(to_tensor([Image.fromarray(p) for p in ps])) for ps in (own, other)]
    assert chroma[1] >= 1.4 * chroma[0]


def test_the_checker_reads_true_drawings() -> None:
    rng = random.Random(1)
    scenes = singles(60, "drawn")
    scores = judge_singles(scenes, np.stack([np.asarray(draw_scene(s, rng)) for s in scenes]))
    for name in ("colour", "background", "place", "size", "shape"):
        assert scores[name] >= 0.98, name
    for scene in pairs(20, "drawn"):
        pixels = np.asarray(draw_scene(scene, rng)).astype(float)
        background = read_background(pixels)
        for thing, part in zip(scene.things, halves(scene.relation), strict=True):
            found = read_thing(pixels, background, part)
            assert found is not None
            assert (found.subject, found.colour) == (thing.subject, thing.colour)


def test_the_checker_reads_drawings_of_the_wider_world() -> None:
    rng = random.Random(2)
    scenes = wider(100, "drawn")
    scores = judge_singles(scenes, np.stack([np.asarray(draw_scene(s, rng)) for s in scenes]))
    for name in ("colour", "background", "place", "corner"):
        assert scores[name] >= 0.95, name
    assert scores["shape"] >= 0.88  # a bolt or a window may run into its outline
    rows = several(40, "drawn")
    scores = judge_several(rows, np.stack([np.asarray(draw_scene(s, rng)) for s in rows]))
    assert scores["number"] >= 0.95


def test_everything_that_may_be_chosen_can_be_said_and_drawn() -> None:
    rng = random.Random(3)
    for _ in range(400):
        scene = random_scene(rng)
        assert captions.caption(scene, rng)
        assert draw_scene(scene, rng, random_exit(rng)).size == (128, 128)


def test_a_model_goes_on_with_the_embeddings_of_its_tokens(demo: Model) -> None:
    made = make_tokenizer()
    text = make_text_encoder(len(made), made.bos_token_id, made.eos_token_id)
    text.train(mode=False)
    go_on(demo.path, make_unet(), text, made)
    shipped = Demo.load(demo.path)
    prompts = say(singles(4, "kept"), "kept")
    rows = torch.tensor([pad(made, encode(made, prompt)) for prompt in prompts])
    with torch.no_grad():
        assert torch.equal(all_exits(text, rows), shipped.exits(prompts))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_captions_say_the_whole_scene(subject: str) -> None:
    rng = random.Random(subject)
    scene = Scene((Thing(subject, "red"),), "sea", "small", "left")
    for say_it in (captions.prose, captions.tags):
        words = say_it(scene, rng)
        assert subject in words
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
