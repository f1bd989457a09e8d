from __future__ import annotations

import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp.web
import discord
import pytest

from bot.cli import doctor
from bot.cli.doctor import Finding
from bot.settings import Settings
from core.errors import Refused
from core.models.catalogue import Catalogue
from core.serving.cluster.protocol import ClusterNode
from tests.simulation import catalogue
from tests.small_discord import TOKEN, accepts_the_token, refuses_the_token, small_discord
from tests.small_discord import answer as small_answer

CPU: dict[str, Any] = {"version": "2.13.0+cpu", "built_for": "CPU", "cards": [], "mps": False}
CUDA = CPU | {"version": "2.13.0+cu130", "built_for": "CUDA"}
H200 = CUDA | {"cards": [["NVIDIA H200", 140 * 2**30]]}
MAC = CPU | {"version": "2.13.0", "mps": True}


def device(torch: dict[str, Any] | str, *cards: str, wanted: str = "auto") -> list[Finding]:
    return list(doctor.device(replace(Settings(), device=tuple(wanted.split(","))), torch, cards))


def test_a_card_with_a_torch_for_the_cpu_is_named_with_the_fix() -> None:
    (finding,) = device(CPU, "NVIDIA")
    assert finding.level == "wrong"
    assert "NVIDIA" in finding.text
    assert "torch==2.13.0 --index-url https://download.pytorch.org/whl/cu" in finding.fix
    (finding,) = device(CPU, "AMD")
    assert "ROCm" in finding.fix


@pytest.mark.parametrize(
    ("torch", "cards", "wanted", "levels"),
    [
        (H200, ("NVIDIA",), "auto", ["ok"]),
        (H200, ("NVIDIA",), "cuda:0", ["ok"]),
        (H200, ("NVIDIA",), "cuda:1", ["ok", "wrong"]),
        (H200, ("NVIDIA",), "cuda:0,cuda:1,cuda:2", ["ok", "wrong", "wrong"]),
        (CPU, (), "auto", ["note"]),
        (CPU, (), "cuda", ["note", "wrong"]),
        (CPU, (), "mps", ["note", "wrong"]),
        (CUDA, ("NVIDIA",), "auto", ["wrong"]),
        (CUDA, (), "cpu", ["note"]),
        (MAC, (), "mps", ["ok"]),
        ("ImportError: no", (), "auto", ["wrong"]),
    ],
)
def test_devices(
    torch: dict[str, Any] | str, cards: tuple[str, ...], wanted: str, levels: list[str]
) -> None:
    assert [finding.level for finding in device(torch, *cards, wanted=wanted)] == levels


def test_which_labels_of_the_classifier_count_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"0": "Drawings", "1": "Porn"}}')
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    settings = Settings(nsfw_model=tmp_path)
    (found,) = (each for each in doctor.files(settings, catalogue()) if "classifier" in each.text)
    assert (found.level, found.text.split(": ")[1]) == ("ok", "Drawings, Porn (NSFW)")
    settings = replace(settings, nsfw_labels=("drawings", "porn"))
    (found,) = (each for each in doctor.files(settings, catalogue()) if "classifier" in each.text)
    assert found.text.endswith(": Drawings (NSFW), Porn (NSFW)")


def test_an_engine_that_may_hang_for_ever_is_noted() -> None:
    assert list(doctor.device(Settings(), H200, ("NVIDIA",)))[1:] == []
    *_, finding = doctor.device(Settings(engine_timeout=0), H200, ("NVIDIA",))
    assert finding.level == "note"
    assert "ENGINE_TIMEOUT" in finding.text


def test_torch_is_asked_in_a_process_of_its_own() -> None:
    said = doctor.ask_torch()
    assert isinstance(said, dict)
    assert said["version"].startswith(metadata.version("torch").partition("+")[0])
    assert set(said) == set(CPU)


def test_a_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ASK_TORCH", "raise ImportError('libcudart is gone')")
    assert doctor.ask_torch() == "ImportError: libcudart is gone"


def test_files_are_named_with_what_is_wrong(settings: Settings) -> None:
    found = replace(
        catalogue(),
        refused=(Refused("model", "old.ckpt", "pickle"),),
        warnings=("the card plain.toml of plain is partly ignored: clip_skip must be 1 to 12",),
    )
    settings.models_dir.mkdir(parents=True)
    said = [(finding.level, finding.text) for finding in doctor.files(settings, found)]
    assert ("ok", "model anime (sd1, 512x512)") in said
    assert ("ok", "VAE vivid (fits 2 of 3 models)") in said
    assert any(level == "wrong" and "old.ckpt" in text for level, text in said)
    assert any(level == "note" and "partly ignored" in text for level, text in said)
    assert sum("which is not there yet" in text for _, text in said) == 1


def test_no_models(settings: Settings) -> None:
    assert "no model" in [finding.text for finding in doctor.files(settings, Catalogue())][-1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_data_folder_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (finding,) = doctor.data(settings)
    tmp_path.chmod(0o700)
    assert finding.level == "wrong"


def test_a_data_folder_that_is_still_to_be_made(settings: Settings) -> None:
    (finding,) = doctor.data(settings)
    assert "GiB free" in finding.text


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name == "ftfy":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    findings = list(doctor.installed())
    assert Finding("wrong", "ftfy is not installed", doctor.INSTALL) in findings
    assert "torch 2.13" in findings[-1].text
    assert "simcord" not in findings[-1].text


def test_code_without_its_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(doctor.checkout()) == []
    (tmp_path / "locales").mkdir()
    monkeypatch.setattr(doctor, "SHIPPED_DATA", tmp_path)
    (finding,) = doctor.checkout()
    assert finding.level == "wrong"
    assert f"{tmp_path} has no configs, migrations: " in finding.text
    assert finding.fix == "git checkout -- data"


async def test_the_token(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = await doctor.token(settings)
    assert (finding.level, "not set" in finding.text) == ("note", True)
    settings = replace(settings, discord_token=TOKEN)
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        finding = await doctor.token(settings)
        assert finding.level == "note"
        assert "it is Penultimate, but Discord has none of its commands" in finding.text

    async def has_commands(request: aiohttp.web.Request) -> aiohttp.web.Response:
        if request.path.endswith("/commands"):
            return small_answer([{"id": "1", "name": "imagine"}])
        return await accepts_the_token(request)

    async with small_discord(has_commands) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        finding = await doctor.token(settings)
        assert finding == Finding(
            "ok", "the token works: it is Penultimate, with 1 commands registered"
        )
    # Nobody listens there any more.
    finding = await doctor.token(settings)
    assert (finding.level, finding.text.partition(":")[0]) == ("note", "offline")
    async with small_discord(refuses_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        finding = await doctor.token(settings)
    assert (finding.level, "does not accept" in finding.text) == ("wrong", True)
    assert TOKEN not in finding.text


@pytest.mark.parametrize(
    ("torch", "cards", "token", "code", "following"),
    [
        (CPU, (), None, 0, "python run.py sandbox"),
        (CPU, (), TOKEN, 0, "python run.py"),
        (CPU, ("NVIDIA",), TOKEN, 1, "python -m pip install --force-reinstall torch==2.13.0"),
    ],
)
def test_the_report_ends_with_the_next_command(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torch: dict[str, Any],
    cards: tuple[str, ...],
    token: str | None,
    code: int,
    following: str,
) -> None:
    async def accepted(settings: Settings) -> Finding:
        return Finding("ok", "the token works")

    monkeypatch.setattr(doctor, "ask_torch", lambda: torch)
    monkeypatch.setattr(doctor, "cards_in_machine", lambda: cards)
    monkeypatch.setattr(doctor, "token", accepted)
    monkeypatch.setattr(Settings, "catalogue", lambda *_: catalogue())
    assert doctor.main(replace(settings, discord_token=token)) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Next: {following}")


def test_the_computers_of_a_cluster_are_named() -> None:
    settings = Settings(cluster="auto")
    found = (ClusterNode("1", "gpu-1", 2), ClusterNode("2", "gpu-2", 1))
    one, two, note = doctor.cluster(settings, found)
    assert (one.text, two.text) == ("gpu-1: 2 graphics cards", "gpu-2: 1 graphics card")
    assert (note.level, "DEVICE" in note.text) == ("note", True)
    assert len(list(doctor.cluster(replace(settings, device=("cuda:0",)), found))) == 2
    (wrong,) = doctor.cluster(settings, "the Ray cluster auto cannot be reached")
    assert wrong.level == "wrong"
    assert next(doctor.cluster(settings, ())).level == "wrong"
