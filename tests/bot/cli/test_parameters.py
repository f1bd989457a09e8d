"""``run.py parameters``, as somebody at a terminal runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import run
from bot.settings import Settings
from core.pictures.files import write_png
from tests.tiny_models import tiny_model

TEXT = (
    "a fox\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, "
    "Size: 512x768, Model: tiny, Clip skip: 2, RNG: CPU, Tiling: True, Score: 7"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one file."""
    return tiny_model(tmp_path_factory.mktemp("model"), layout="file").path


@pytest.fixture
def here(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data folder of one model, used by the settings."""
    monkeypatch.setattr("os.environ", {"DATA_DIR": str(tmp_path / "data")})
    monkeypatch.setattr("bot.settings.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "models").mkdir(parents=True)
    shutil.copy(checkpoint, tmp_path / "data" / "models" / "tiny.safetensors")
    return tmp_path


def image(path: Path, text: str) -> Path:
    path.write_bytes(write_png(Image.new("RGB", (8, 8)), text))
    return path


def test_each_file_is_an_object_on_a_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(here / "a.png", TEXT)
    (here / "b.txt").write_text(TEXT.replace("a fox", "狐").replace("tiny", "other"), "utf-8")
    assert run.main(["parameters", "a.png", "b.txt", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["file"] == "a.png"
    assert {
        "prompt": "a fox",
        "negative_prompt": "bad",
        "steps": 20,
        "sampler": "Euler a",
        "model": "tiny",
        "clip_skip": 2,
        "width": 512,
    }.items() <= first["values"].items()
    assert first["left_out"] == [
        {"key": "Tiling", "value": "True", "why": "this option is not supported"}
    ]
    assert any("Score" in remark for remark in first["remarks"])
    assert second["values"]["prompt"] == "狐"
    assert {"key": "Model", "value": "other", "why": "file not here"} in second["left_out"]


def test_a_person_reads_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(here / "a.png", TEXT)
    image(here / "b.png", TEXT.replace(", Tiling: True", ""))
    assert run.main(["parameters", "a.png", "b.png"]) == 0
    said = capsys.readouterr().out
    assert "a.png\n  prompt: a fox\n" in said
    assert "  left out: Tiling “True”: this option is not supported\n" in said
    assert said.endswith("  nothing is left out: this bot can repeat the image\n")


def test_hires_fix_is_nested(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = ", Hires upscale: 1.5, Hires upscaler: Latent, Denoising strength: 0.5"
    image(here / "a.png", TEXT + pairs)
    run.main(["parameters", "a.png", "--json"])
    hires = json.loads(capsys.readouterr().out)["values"]["hires"]
    assert (hires["scale"], hires["upscaler"], hires["denoising_strength"]) == (1.5, "Latent", 0.5)


@pytest.mark.parametrize(("scale", "used"), [(2.0, True), (2.5, True), (3.0, False)])
def test_a_second_pass_over_the_owners_limit_is_remarked(
    here: Path, capsys: pytest.CaptureFixture[str], scale: float, used: bool
) -> None:
    """The limit is for members: at the terminal the image can be repeated."""
    pairs = f", Hires upscale: {scale}, Hires upscaler: Latent, Denoising strength: 0.5"
    image(here / "a.png", TEXT + pairs)
    run.main(["parameters", "a.png", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert ("hires" in said["values"]) == used
    whys = [each["why"] for each in said["left_out"] if each["key"] == "Hires upscale"]
    assert any("2048" in why for why in whys) != used
    over = [each for each in said["remarks"] if "MAX_SIZE" in each]
    assert len(over) == (scale == 2.5)
    assert all("1280×1920" in each and "1536" in each for each in over)


def test_a_model_of_another_hash_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(here / "a.png", TEXT.replace("Model: tiny", "Model hash: 0123456789, Model: tiny"))
    run.main(["parameters", "a.png", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert {
        "key": "Model hash",
        "value": "0123456789",
        "why": "the file of this name here is another one",
    } in said["left_out"]
    known = json.loads((here / "data" / "cache" / "hashes.json").read_text("utf-8"))
    (entry,) = [value for path, value in known.items() if "tiny" in path]
    image(here / "b.png", TEXT.replace("Model: tiny", f"Model hash: {entry[2]}, Model: renamed"))
    run.main(["parameters", "b.png", "--json"])
    assert json.loads(capsys.readouterr().out)["values"]["model"] == "tiny"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_text_in_any_usual_encoding(
    here: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (here / "a.txt").write_bytes((mark + TEXT).encode(encoding))
    assert run.main(["parameters", "a.txt"]) == 0
    assert "seed: 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("none.png", None, 2, "none.png cannot be read: No such file or directory."),
        (".", None, 2, ". cannot be read: Is a directory."),
        ("cut.png", b"\x89PNG\r\n\x1a\n", 2, "cut.png cannot be read: the picture is damaged"),
        ("a.gif", b"GIF89a\xff\xfe", 2, "is not a PNG, JPEG or WebP picture"),
        ("a.txt", b"a fox", 1, "a.txt has no generation parameters."),
        ("empty", b"", 1, "empty has no generation parameters."),
    ],
)
def test_what_is_no_use_is_one_sentence(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    code: int,
    said: str,
) -> None:
    if content is not None:
        (here / name).write_bytes(content)
    good = image(here / "good.png", TEXT).name
    assert run.main(["parameters", name, good, "--json"]) == code
    written = capsys.readouterr()
    assert said in written.err
    assert len(written.err.splitlines()) == 1
    assert [json.loads(line)["file"] for line in written.out.splitlines()] == [good]


def test_a_workflow_is_a_text_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampler = {"seed": 5, "steps": 9, "cfg": 7, "sampler_name": "euler", "scheduler": "normal"}
    sampler |= {"positive": ["2", 0], "latent_image": ["3", 0]}
    graph = {
        "1": {"class_type": "KSampler", "inputs": sampler},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
    }
    (here / "a.json").write_text(json.dumps(graph), "utf-8")
    (here / "b.json").write_text(json.dumps({"a": [1, 2]}), "utf-8")
    assert run.main(["parameters", "a.json", "b.json", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["values"]["prompt"], said["values"]["steps"]) == ("a fox", 9)


def test_an_image_without_parameters(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(here / "a.png")
    assert run.main(["parameters", "a.png"]) == 1
    assert capsys.readouterr().err == "a.png has no generation parameters.\n"


def test_a_name_of_another_program_is_remarked_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image(here / "a.png", f"{TEXT}, Version: ComfyUI")
    run.main(["parameters", "a.png", "--json"])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["remarks"][-1].startswith("ComfyUI weighs words")


def test_settings_are_the_usual_ones(here: Path) -> None:
    assert Settings.load({"DATA_DIR": str(here / "data")}, None).models_dir == here / "data/models"
