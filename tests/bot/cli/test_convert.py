"""``python run.py convert``, on whole files, in the process that reads them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from bot.cli import convert
from core.models.upscalers import load_upscaler
from tests.core.models.upscaler_weights import dat, esrgan

VECTORS = torch.arange(6.0).reshape(2, 3)


class Harmful:
    """Would make a file, were it unpickled by pickle itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def told(capsys: pytest.CaptureFixture[str], *files: Path) -> tuple[int, str, str]:
    code = convert.main(map(str, files))
    out, err = capsys.readouterr()
    return code, out, err


def test_an_upscaler_and_an_embedding_are_written_beside_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upscaler, embedding = tmp_path / "4x.pth", tmp_path / "bad.hands.pt"
    attention = tmp_path / "DAT_x2.pth"
    torch.save({"params": {}, "params_ema": esrgan()}, upscaler)
    torch.save({"params": dat()}, attention)
    torch.save({"string_to_param": {"*": VECTORS}}, embedding)
    before = upscaler.read_bytes()
    code, out, err = told(capsys, upscaler, embedding, attention)
    names = "4x.safetensors", "bad.hands.safetensors", "DAT_x2.safetensors"
    written = [tmp_path / name for name in names]
    assert (code, err) == (0, "")
    assert out.splitlines() == [str(path) for path in written]
    assert load_upscaler(written[0], torch.device("cpu"), torch.float32).scale == 4
    assert load_upscaler(written[2], torch.device("cpu"), torch.float32).scale == 2
    assert torch.equal(load_file(written[1])["emb_params"], VECTORS)
    with safe_open(written[1], "pt") as file:
        assert len(file.metadata()["original_sha256"]) == 64
    assert upscaler.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 6, "nothing else is left"


def test_code_is_not_run_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, mark = tmp_path / "bad.ckpt", tmp_path / "mark"
    torch.save({"a": VECTORS, "b": Harmful(mark)}, path)
    code, out, err = told(capsys, path)
    assert (code, out) == (2, "")
    assert err == f"{path}: it holds code, not only weights: {os.system.__module__}.system.\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_unpacks_to_far_more_than_its_size_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One number, shown as 4 TB of them.
    path = tmp_path / "wide.bin"
    torch.save({"a": torch.zeros(1).expand(2**20, 2**20), "b": VECTORS}, path)
    code, out, err = told(capsys, path)
    assert (code, out) == (2, "")
    assert err == f"{path}: it unpacks to far more than its size.\n"


def test_damaged_files_and_others_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "cut.pt"
    torch.save({"a": VECTORS, "b": VECTORS}, damaged)
    damaged.write_bytes(damaged.read_bytes()[:-200])
    there = tmp_path / "there.pt"
    there.write_bytes(b"")
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    disguised = tmp_path / "disguised.safetensors"
    torch.save({"a": VECTORS}, disguised)
    files = damaged, there, tmp_path / "none.pt", tmp_path / "a.txt", disguised
    code, out, err = told(capsys, *files)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"{damaged}: it is damaged, or no file of weights.",
        f"{there}: there.safetensors is there already.",
        f"{tmp_path / 'none.pt'}: there is no such file.",
        f"{tmp_path / 'a.txt'}: only .bin, .ckpt, .pkl, .pt, .pth can be converted.",
        f"{disguised}: it is named .safetensors already; if it is a pickle, name it .pt.",
    ]
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"


def test_the_reading_process_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    given: list[dict[str, str]] = []

    def run(*_: object, env: dict[str, str], **__: object) -> None:
        given.append(env)
        raise subprocess.TimeoutExpired("", 1)

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(convert.NotConverted, match="took over 15 minutes"):
        convert.convert(tmp_path / "a.pt")
    assert given
    assert "secret" not in given[0].values()
