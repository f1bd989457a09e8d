"""The NSFW check: its folder, its labels, its process; and what a server does with the answer."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from bot.gate.classifier import Classifier
from bot.settings import Settings, SettingsError
from core.pictures import nsfw
from tests.simulation import World, answer, components, simulate, spent, text


class Eye(Classifier):
    """Sees what a test says."""

    def __init__(self, verdict: bool | None) -> None:
        super().__init__(Path("somewhere"), 0.5)
        self.verdict = verdict
        self.seen: list[int] = []

    async def any_nsfw(self, pictures: Sequence[bytes]) -> bool | None:
        self.seen.append(len(pictures))
        return self.verdict


async def look(world: World, how: Any, verdict: bool | None, **values: Any) -> Any:
    """The answer to a picture drawn under the rule ``how``."""
    world.bot.gate.classifier = Eye(verdict)
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw=how, **values))
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.env.settle()
    return result


def hidden(message: Any) -> bool:
    gallery = next(item for item in components(message) if item["type"] == 12)
    return bool(gallery["items"][0]["spoiler"])


@pytest.mark.parametrize(
    ("how", "verdict", "expected"),
    [
        ("off", True, False),
        ("spoiler", True, True),
        ("spoiler", False, False),
        ("spoiler", None, True),
        ("block", False, False),
    ],
)
async def test_what_is_hidden(world: World, how: str, verdict: bool | None, expected: bool) -> None:
    await look(world, how, verdict)
    assert hidden(world.last) is expected
    assert (await world.job(1)).spoiler is expected


@pytest.mark.parametrize(
    ("verdict", "words"), [(True, "blocks NSFW images"), (None, "isn’t working")]
)
async def test_what_is_held_back(world: World, verdict: bool | None, words: str) -> None:
    await look(world, "block", verdict)
    assert words in text(world.last)
    assert not [item for item in components(world.last) if item["type"] == 12]
    job = await world.job(1)
    assert job.state == "failed"
    assert await world.bot.store.pictures.of_job(1) == ()
    # It was drawn: the quota counts it.
    assert await spent(world.bot.store, world.guild.id, world.ann.id) == 1


async def test_every_picture_hidden_needs_no_look(world: World) -> None:
    await look(world, "spoiler", False, spoiler=True)
    assert hidden(world.last)
    eye = world.bot.gate.classifier
    assert isinstance(eye, Eye)
    assert eye.seen == []


async def test_without_a_classifier_a_spoiler_hides_everything(world: World) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw="spoiler"))
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert hidden(world.last)


async def test_a_block_whose_classifier_is_gone_draws_nothing(world: World) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw="block"))
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    list(world.env.errors)
    assert answer(result).ephemeral
    assert "isn’t working" in text(answer(result))
    assert not world.engine.seen


async def test_the_panel_offers_block_with_a_classifier(world: World) -> None:
    import discord

    from bot.rules.server import Server
    from cogs.config.panels import Panels
    from tests.simulation import view_components

    view = Panels(Server(), None, discord.Locale.american_english, classifier=True).panel("nsfw")
    select = next(item for item in view_components(view) if item.get("options"))
    assert [option["value"] for option in select["options"]][-1] == "block"


# The classifier itself.


def folder(path: Path, labels: dict[str, str] | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    config = {"id2label": labels or {"0": "normal", "1": "nsfw"}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "preprocessor_config.json").write_text("{}")
    (path / "model.safetensors").touch()
    return path


def test_a_folder_that_will_do(tmp_path: Path) -> None:
    settings = Settings.load({"NSFW_MODEL": str(folder(tmp_path / "eye"))}, dotenv_path=None)
    assert settings.nsfw_model == tmp_path / "eye"
    assert Classifier(settings.nsfw_model, 0.5).available
    assert not Classifier(None, 0.5).available


@pytest.mark.parametrize(
    "missing", ["config.json", "preprocessor_config.json", "model.safetensors"]
)
def test_a_folder_that_lacks_something(tmp_path: Path, missing: str) -> None:
    (folder(tmp_path / "eye") / missing).unlink()
    with pytest.raises(SettingsError, match="NSFW_MODEL must be a folder with"):
        Settings.load({"NSFW_MODEL": str(tmp_path / "eye")}, dotenv_path=None)


# The label sets of the classifiers in use.
KNOWN = {
    "nsfw, normal": {"nsfw"},
    "sfw, nsfw": {"nsfw"},
    "drawings, hentai, neutral, porn, sexy": {"hentai", "porn", "sexy"},
    "NSFW, SFW": {"nsfw"},
    "neutral, low, medium, high": {"medium", "high"},
}


@pytest.mark.parametrize("labels", KNOWN)
def test_known_labels_count_by_themselves(labels: str) -> None:
    assert nsfw.counting(labels.split(", "), ()) == KNOWN[labels]


def load(path: Path, **values: str) -> Settings:
    return Settings.load({"NSFW_MODEL": str(path), **values}, dotenv_path=None)


def test_without_a_known_label_the_owner_says_which_count(tmp_path: Path) -> None:
    path = folder(tmp_path / "eye", {"0": "LABEL_0", "1": "LABEL_1"})
    with pytest.raises(SettingsError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.startswith("NSFW_LABELS must say which of the classifier's labels are NSFW")
    assert problem.endswith(": LABEL_0, LABEL_1")
    assert load(path, NSFW_LABELS=" label_1 ,").nsfw_labels == ("label_1",)


def test_a_label_there_is_not_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "eye")
    with pytest.raises(SettingsError) as caught:
        load(path, NSFW_LABELS="nsfw, prn")
    assert caught.value.problems == ("NSFW_LABELS can name normal, nsfw; there is no prn",)
    assert load(path, NSFW_LABELS="NORMAL").nsfw_labels == ("NORMAL",)


@pytest.mark.parametrize(
    "content", ["{}", "not json", "[]", '{"id2label": []}', '{"pretrained_cfg": {}}']
)
def test_a_config_that_names_no_labels(tmp_path: Path, content: str) -> None:
    (folder(tmp_path / "eye") / "config.json").write_text(content)
    with pytest.raises(ValueError, match="names no labels"):
        nsfw.labels_in(tmp_path / "eye")


def test_a_classifier_of_timms_has_its_labels_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As transformers 5 reads it: no preprocessor_config.json, and timm must be there."""
    path = folder(tmp_path / "eye")
    (path / "preprocessor_config.json").unlink()
    config = {"label_names": ["NSFW", "SFW"], "pretrained_cfg": {"input_size": [3, 384, 384]}}
    (path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"NSFW_MODEL .*python -m pip install timm"):
        load(path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "there")
    assert nsfw.labels_in(path) == ("NSFW", "SFW")


def test_the_score_adds_up_the_labels_that_count() -> None:
    labels = [
        {"label": "Porn", "score": 0.3},
        {"label": "hentai", "score": 0.25},
        {"label": "drawings", "score": 0.45},
    ]
    assert nsfw.nsfw_score(labels) == pytest.approx(0.55)


class Process:
    """In the place of the process pool: answers, or dies."""

    def __init__(self, answer: list[float] | Exception) -> None:
        self.answer = answer
        self.closed = False

    def submit(self, *_: Any) -> Any:
        from concurrent.futures import Future

        future: Future[list[float]] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return future

    def shutdown(self, **_: Any) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.1, 0.6], True), ([0.1, 0.49], False), ([0.5], True), ([], False)]
)
async def test_one_picture_over_the_threshold_is_enough(
    scores: list[float], expected: bool
) -> None:
    classifier = Classifier(Path("eye"), 0.5)
    process: Any = Process(scores)
    classifier._process = process
    assert await classifier.any_nsfw([b"", b""]) is expected
    classifier.close()
    assert process.closed


async def test_a_dead_process_is_no_answer_and_the_next_one_is_new(
    caplog: pytest.LogCaptureFixture,
) -> None:
    classifier = Classifier(Path("eye"), 0.5)
    process: Any = Process(BrokenProcessPool("gone"))
    classifier._process = process
    assert await classifier.any_nsfw([b""]) is None
    assert process.closed
    assert classifier._process is None
    assert "the NSFW check failed" in caplog.text


# A real classifier in a real process: it learns here that red is NSFW and blue is not.

COLOURS = {"red": (230, 20, 30), "blue": (30, 40, 220)}


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    PillowImage.new("RGB", (64, 64), COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def red_is_nsfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        id2label={0: "normal", 1: "nsfw"},
        label2id={"normal": 0, "nsfw": 1},
    )
    model = ViTForImageClassification(config)
    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    pictures = [PillowImage.new("RGB", (64, 64), COLOURS[colour]) for colour in ("blue", "red")]
    seen = processor(pictures, return_tensors="pt")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        model(**seen, labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("classifier") / "eye"
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


async def test_a_real_process_tells_red_from_blue(red_is_nsfw: Path) -> None:
    classifier = Classifier(red_is_nsfw, 0.9)
    other_way = Classifier(red_is_nsfw, 0.9, ("NORMAL",))
    try:
        assert await classifier.any_nsfw([picture("red")]) is True
        assert await classifier.any_nsfw([picture("blue")]) is False
        assert await classifier.any_nsfw([picture("blue"), picture("red")]) is True
        assert classifier._process is not None
        assert os.getpid() not in classifier._process._processes
        assert await other_way.any_nsfw([picture("red")]) is False
        assert await other_way.any_nsfw([picture("blue")]) is True
    finally:
        classifier.close()
        other_way.close()


async def test_each_choice_with_a_real_classifier(
    settings: Settings, red_is_nsfw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server's choice does with a red picture and a blue one, from command to post."""
    settings = replace(settings, nsfw_model=red_is_nsfw, nsfw_threshold=90)
    async with simulate(settings) as world:
        # Asked outside of what simcord waits for: its process takes as long to come up as it takes.
        assert await world.bot.gate.classifier.any_nsfw([picture("blue")]) is False
        found: dict[str, list[str]] = {}
        for choice in ("off", "spoiler", "block", "restricted"):
            await world.bot.store.servers.update(
                world.guild.id, partial(lambda nsfw, server: replace(server, nsfw=nsfw), choice)
            )
            for colour in COLOURS:
                drawn = partial(lambda shown, *_: shown, picture(colour))
                monkeypatch.setattr("tests.fake_engine.png", drawn)
                result = await world.ann.slash(world.channel, "imagine", prompt=colour)
                await world.env.settle()
                found.setdefault(choice, []).append(became(answer(result)))
        list(world.env.errors)
        assert found == {
            "off": ["shown", "shown"],
            "spoiler": ["hidden", "shown"],
            "block": ["blocks NSFW images", "shown"],
            "restricted": ["age-restricted", "age-restricted"],
        }


def became(post: Any) -> str:
    if [item for item in components(post) if item["type"] == 12]:
        return "hidden" if hidden(post) else "shown"
    words = ("blocks NSFW images", "age-restricted")
    return next((each for each in words if each in text(post)), text(post))
