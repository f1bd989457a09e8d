"""A job's files on another computer: by path, by content, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.models.weights.hashes import Hashes
from core.serving.cluster.files import SAME, Wanted, find, folders_here
from tests.tiny_models import tiny_model


@pytest.fixture
def hashes(tmp_path: Path) -> Hashes:
    return Hashes(tmp_path / "cache")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours" / "m.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights" * 100)
    return path


def test_the_same_path_with_the_same_size_is_the_file(ours: Path, hashes: Hashes) -> None:
    wanted = Wanted.of(ours)
    assert wanted == Wanted(ours, 700)
    assert find(wanted, [], hashes) == ours
    ours.write_bytes(b"another")
    assert find(wanted, [], hashes) is None


def test_elsewhere_its_content_counts_and_not_its_name(
    ours: Path, tmp_path: Path, hashes: Hashes
) -> None:
    wanted = Wanted.of(ours, hashes)
    assert len(wanted.digest) == SAME
    theirs = tmp_path / "theirs" / "below" / "other-name.safetensors"
    theirs.parent.mkdir(parents=True)
    shutil.copy(ours, theirs)
    # Of the same name and size, but other weights.
    (theirs.parent / ours.name).write_bytes(b"WEIGHTS" * 100)
    ours.unlink()
    assert find(wanted, [tmp_path / "none", tmp_path / "theirs"], hashes) == theirs
    # Without its content nothing is said of a file elsewhere.
    assert find(Wanted(ours, 700), [tmp_path / "theirs"], hashes) is None
    theirs.unlink()
    assert find(wanted, [tmp_path / "theirs"], hashes) is None


def test_a_file_that_cannot_be_read_is_not_the_one(ours: Path, tmp_path: Path) -> None:
    class Unreadable(Hashes):
        def of(self, path: Path, digits: int = SAME, *, after_header: bool = False) -> str:
            if path.name == ours.name:
                raise PermissionError(13, "Permission denied", str(path))
            return super().of(path, digits, after_header=after_header)

    wanted = Wanted.of(ours, Hashes(tmp_path / "cache"))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    # That of the same name is looked at first.
    (theirs / ours.name).write_bytes(b"WEIGHTS" * 100)
    shutil.copy(ours, theirs / "readable.safetensors")
    ours.unlink()
    found = find(wanted, [theirs], Unreadable(tmp_path / "their cache"))
    assert found == theirs / "readable.safetensors"


def test_a_folder_is_found_by_its_name_and_size(tmp_path: Path, hashes: Hashes) -> None:
    model = tiny_model(tmp_path / "ours")
    wanted = Wanted.of(model.path, hashes)
    assert wanted.digest == ""
    theirs = tmp_path / "theirs" / "sd"
    shutil.move(model.path, theirs / "tiny")
    assert find(wanted, [tmp_path / "theirs"], hashes) == theirs / "tiny"
    (theirs / "tiny" / "unet" / "config.json").write_text("{}")
    assert find(wanted, [tmp_path / "theirs"], hashes) is None


def test_the_environment_names_the_folders() -> None:
    environ = {"LORAS_DIR": "/mnt/loras", "MODELS_DIR": "/mnt/models", "VAES_DIR": "", "HOME": "/x"}
    assert folders_here(environ) == [Path("/mnt/models"), Path("/mnt/loras")]
