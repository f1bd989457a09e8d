"""``python run.py generate`` with a fake engine; the real one is driven in test_engine.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as PillowImage

import run
from bot.cli import generate
from bot.settings import Settings
from core.config import EngineConfig
from core.errors import OutOfMemory
from core.notes import Note
from core.pictures.files import read_infotext
from core.serving.queue import GpuQueue
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
        (("--clip-skip", "13"), "clip_skip must be 1 to 12, not 13."),
        (("--size", "7x7"), "width must be a multiple of 8 from 64 to 2048, not 7."),
        (("--model", "lost"), "there is no model called 'lost'."),
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


def test_a_folder_that_cannot_be_written(draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    code, _, error = draw("a cat")
    assert code == 2
    assert "Traceback" not in error


def test_a_sheet_and_its_pictures(draw: Draw) -> None:
    code, paths, _ = draw("a cat", "--seed", "3", "--x", "Clip skip", "1-4", "--y", "Steps", "2,3")
    assert code == 0
    assert len(paths) == 8 + 1
    assert [item.request.clip_skip for item in ENGINES[0].seen[0].items] == [1, 2, 3, 4] * 2
    sheet = Path(paths[-1])
    with PillowImage.open(sheet) as image:
        assert image.width > 4 * 16
    text = read_infotext(sheet.read_bytes())
    assert text is not None
    assert "X Type: Clip skip, X Values: 1-4, Y Type: Steps" in text


def test_one_axis_is_enough_whichever(draw: Draw) -> None:
    assert len(draw("a cat", "--y", "Seed", "5,6")[1]) == 3
    assert [item.request.seed for item in ENGINES[0].seen[0].items] == [5, 6]
