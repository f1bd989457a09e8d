"""``python run.py generate`` with a fake engine; the real one is driven in test_engine.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from tqdm import tqdm

import run
from bot.cli import generate
from bot.ordering.layers import Layers
from bot.ordering.orders import new_order
from bot.settings import Settings
from core.config import EngineConfig
from core.errors import OutOfMemory
from core.events import Progress
from core.notes import Note
from core.pictures.files import read_infotext
from core.serving.client import EngineClient
from core.serving.process import EngineProcess
from core.serving.queue import GpuQueue
from core.work import Work
from tests import stub_engine
from tests.fake_engine import FakeEngine
from tests.simulation import catalogue

Draw = Callable[..., tuple[int, list[str], str]]

ENGINES: list[FakeEngine] = []


class Engine(FakeEngine):
    def __init__(self, config: EngineConfig, queue: GpuQueue) -> None:
        super().__init__(config, queue)
        self.notes = (Note.of("clip_skip_sdxl"),)
        ENGINES.append(self)


@pytest.fixture
def draw(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Draw:
    """``draw(*arguments)`` → (exit code, lines of stdout, stderr)."""
    ENGINES.clear()
    monkeypatch.setattr(generate, "EngineClient", Engine)
    monkeypatch.setattr(Settings, "catalogue", lambda self: catalogue())

    def draw(*arguments: str) -> tuple[int, list[str], str]:
        parsed = run.parser().parse_args(["generate", *arguments, "--out", str(tmp_path / "out")])
        code = generate.main(settings, parsed)
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return draw


def test_paths_are_printed_and_nothing_is_overwritten(draw: Draw) -> None:
    code, paths, error = draw("a red circle", "--clip-skip", "2", "--seed", "7", "--count", "2")
    assert (code, [Path(path).name for path in paths]) == (0, ["00000-7.png", "00001-8.png"])
    assert error == "note: on SDXL clip skip 1 and 2 are the same; from 3 on both encoders stop\n"
    code, again, _ = draw("a red circle", "--clip-skip", "2", "--seed", "7")
    assert [Path(path).name for path in again] == ["00002-7.png"]
    assert Path(again[0]).read_bytes() == Path(paths[0]).read_bytes()


def test_every_option_reaches_the_request(draw: Draw) -> None:
    options = (
        "--negative lowres --model PLAIN --vae Vivid --clip-skip 3 --seed 4 --steps 5 --cfg 6.5 "
        "--sampler Heun --size 72x80 --count 2"
    )
    assert draw("a cat", *options.split())[0] == 0
    (work,) = ENGINES[0].seen
    asked = work.request
    assert (asked.prompt, asked.negative_prompt, asked.model, asked.vae) == (
        "a cat",
        "lowres",
        "plain",
        "vivid",
    )
    assert (asked.clip_skip, asked.seed, asked.steps, asked.cfg_scale) == (3, 4, 5, 6.5)
    assert (asked.sampler, asked.width, asked.height, asked.count) == ("Heun", 72, 80, 2)
    assert work.vae is not None


def test_members_limits_are_not_the_owners(draw: Draw) -> None:
    assert draw("a cat", "--size", "2048x64", "--count", "8")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--clip-skip", "13"), "The clip skip must be from 1 to 12, not “13”."),
        (("--size", "7x7"), "The width must be a multiple of 8 from 64 to 2048, not “7”."),
        (("--model", "lost"), "There’s no model called lost."),
        (("--sampler", "DPM+ 2M Karas"), "Did you mean DPM++ 2M Karras"),
        (("--noise-source", "GPPU"), "Did you mean GPU"),
        (("--x", "clip skp", "1-3"), "Did you mean Clip skip"),
        (("--x", "Steps", "2,3", "--y", "steps", "4,5"), "Both axes change the same thing."),
        (("--x", "Flavour", "1-3"), "Flavour"),
        (("--x", "Clip skip", "1-13"), "13"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    draw: Draw, arguments: tuple[str, ...], sentence: str
) -> None:
    code, paths, error = draw("a cat", *arguments)
    assert (code, paths, ENGINES) == (2, [], [])
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_a_job_that_fails_is_a_sentence_too(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "finish", lambda self, id_: self.fail(id_, OutOfMemory(512, 512)))
    code, paths, error = draw("a cat", "--count", "2", "--x", "Steps", "2,3")
    assert (code, paths) == (2, [])
    assert error.strip() == "a 512×512 picture does not fit in the device's memory."


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_refused(draw: Draw, prompt: str) -> None:
    assert draw(prompt) == (2, [], generate.NO_PROMPT + "\n")
    assert ENGINES == []


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_drawn(
    draw: Draw, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    code, _, error = draw("a cat")
    assert (code, ENGINES) == (2, [])
    assert (
        error == f"Nothing can be written to {tmp_path / 'out'} (File exists). Choose "
        "another folder with --out.\n"
    )


def test_an_engine_that_cannot_start_is_one_sentence(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = partial(
        EngineClient,
        transport=partial(EngineProcess, stub_engine.broken),
        backoff=lambda _: 0.0,
    )
    monkeypatch.setattr(generate, "EngineClient", broken)
    assert draw("a cat") == (2, [], "the engine is stopped: ImportError: no torch here.\n")
    assert caplog.records == []


def test_a_sheet_and_its_pictures(draw: Draw) -> None:
    code, paths, _ = draw("a cat", "--seed", "3", "--x", "Clip skip", "1-4", "--y", "Steps", "2,3")
    assert code == 0
    folder, sheet = map(Path, paths)
    assert (folder.name, sheet.name) == ("00000-grid-3", "00000-grid-3.png")
    assert sorted(each.name for each in folder.iterdir()) == [f"{n:05}-3.png" for n in range(8)]
    assert [item.request.clip_skip for item in ENGINES[0].seen[0].items] == [1, 2, 3, 4] * 2
    with PillowImage.open(sheet) as image:
        assert image.width > 4 * 16
    text = read_infotext(sheet.read_bytes())
    assert text is not None
    assert "X Type: Clip skip, X Values: 1-4, Y Type: Steps" in text


def test_one_axis_is_enough_whichever(draw: Draw) -> None:
    folder = Path(draw("a cat", "--y", "Seed", "5,6")[1][0])
    assert sorted(each.name for each in folder.iterdir()) == ["00000-5.png", "00001-6.png"]
    assert [item.request.seed for item in ENGINES[0].seen[0].items] == [5, 6]


def test_grids_and_images_count_on_from_each_other(draw: Draw) -> None:
    draw("a cat", "--seed", "7")
    draw("a cat", "--seed", "7", "--x", "Steps", "2,3")
    _, paths, _ = draw("a cat", "--seed", "7")
    assert [Path(path).name for path in paths] == ["00002-7.png"]


def test_options_have_their_names_of_discord_too(draw: Draw) -> None:
    assert draw("a cat", "--negative-prompt", "dog", "--cfg-scale", "3")[0] == 0
    request = ENGINES[0].seen[0].request
    assert (request.negative_prompt, request.cfg_scale) == ("dog", 3)


async def test_the_bar_counts_images(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Bar(tqdm):  # type: ignore[misc]
        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            said.append(desc or "")

    def reports(engine: Engine, id_: int) -> None:
        engine._feed.publish(Progress(id_, 1, 2, images=3))
        asyncio.get_running_loop().call_later(0.01, FakeEngine.finish, engine, id_)

    monkeypatch.setattr(generate, "EngineClient", Engine)
    monkeypatch.setattr(generate, "tqdm", Bar)
    monkeypatch.setattr(Engine, "finish", reports)
    order = await new_order(
        "a cat", Layers(), catalogue(), generate.LIMITS, axes=[("Steps", "1-9"), (None, None)]
    )
    await generate.draw(settings, Work(1, "terminal", order.items))
    assert said == ["image 1 of 9", "image 4 of 9"]
