from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from unittest.mock import Mock

import pytest

from bot.settings import READERS, ROOT, Settings, SettingsError

TOKEN = "MTE.Gabc.x-yz_123"


def load(tmp_path: Path, **environ: str) -> Settings:
    return Settings.load(environ, tmp_path / ".env")


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings()
    assert settings.discord_token is None
    assert settings.models_dir == ROOT / "data" / "models"


def test_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('MAX_STEPS=30\nDEVICE="cpu"\nMAX_COUNT=\n')
    settings = load(tmp_path, MAX_STEPS="40")
    assert (settings.max_steps, settings.device, settings.max_count) == (40, ("cpu",), 4)


def test_the_file_is_taken_literally(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATA_DIR='${HOME}/x'\n")
    assert load(tmp_path).data_dir == ROOT / "${HOME}" / "x"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_file_is_read_in_what_editors_write(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_text("MAX_STEPS=30\nDATA_DIR=ü\n", encoding)
    assert load(tmp_path).max_steps == 30
    assert load(tmp_path).data_dir == ROOT / "ü"


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("DATA_DIR=ü\n".encode("latin-1"))
    with pytest.raises(SettingsError, match="is not written in UTF-8; save it"):
        load(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read: "):
        Settings.load({}, tmp_path)


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("x" * 300, "File name too long"),
        ("~nobody-of-that-name/x", "Could not determine home directory"),
        ("loop/x", ""),
        ("closed/models", "Permission denied"),
        ("closed", "Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_reached_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, why: str
) -> None:
    """Nobody but root may search "closed", and nobody may be root here."""
    stat, access = Path.stat, os.access

    def guarded(path: Path, **options: bool) -> os.stat_result:
        if tmp_path / "closed" in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **options)

    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "closed" / "models").mkdir(parents=True)
    monkeypatch.setattr(Path, "stat", guarded)
    monkeypatch.setattr(
        os, "access", lambda path, mode: "closed" not in str(path) and access(path, mode)
    )
    text = folder if folder.startswith("~") else str(tmp_path / folder)
    for name in ("DATA_DIR", "MODELS_DIR", "NSFW_MODEL"):
        with pytest.raises(SettingsError, match=f"^{name} must be a folder .*{why}"):
            load(tmp_path, **{name: text})


def test_a_classifier_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "x.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(13, "Denied")))
    with pytest.raises(SettingsError, match=r"NSFW_MODEL cannot be read: .*Denied"):
        load(tmp_path, NSFW_MODEL=str(tmp_path))


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"DATA_DIR must be a folder; .*file is a file"):
        load(tmp_path, DATA_DIR=str(tmp_path / "file"))
    # What is made later, and may fail then.
    for name in ("new/data", "file/data"):
        assert load(tmp_path, DATA_DIR=str(tmp_path / name)).data_dir == tmp_path / name


def test_a_line_of_the_file_that_is_no_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_STEP=30\nmax_size=64\nXYZ=1\nMAX_COUNT=2\n")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert caught.value.problems == (
        "MAX_STEP in .env is not a setting; did you mean MAX_STEPS?",
        "XYZ in .env is not a setting; remove it from .env",
        "max_size in .env is not a setting; did you mean MAX_SIZE?",
    )


def test_where_no_token_is_needed_a_wrong_one_is_no_problem(tmp_path: Path) -> None:
    assert Settings.load({"DISCORD_TOKEN": "wrong"}, None, token=False) == Settings()


def test_a_moved_data_folder_takes_models_and_vaes_along(tmp_path: Path) -> None:
    settings = load(tmp_path, DATA_DIR=str(tmp_path), VAES_DIR=str(tmp_path / "v"))
    assert settings.models_dir == tmp_path / "models"
    assert settings.vaes_dir == tmp_path / "v"
    assert settings.database_path.parent == tmp_path


def test_relative_folders_are_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, MODELS_DIR="my/models").models_dir == ROOT / "my" / "models"


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    wrong = {
        "MAX_STEPS": "0",
        "MAX_COUNT": "three",
        "STRICT": "perhaps",
        "DTYPE": "int8",
        "DEVICE": "gpu",
        "MODELS_DIR": str(file),
        "QUEUE_TOTAL": "²",
        "LOG_LEVEL": "loud",
        "GUILD_ID": "my server",
        "DISCORD_TOKEN": "secretsecret",
    }
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, **wrong)
    problems = caught.value.problems
    assert [problem.split()[0] for problem in problems] == [
        name.upper() for name in READERS if name.upper() in wrong
    ]
    assert "MAX_STEPS must be a whole number from 1 to 150, not '0'" in problems
    assert str(caught.value) == "\n".join(problems)


@pytest.mark.parametrize("token", ["secret", "a.b.c d", "one.two", "a.b.c.d"])
def test_a_wrong_token_is_not_repeated(tmp_path: Path, token: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, DISCORD_TOKEN=token)
    assert token not in str(caught.value)


def test_the_token_never_shows(tmp_path: Path) -> None:
    settings = load(tmp_path, DISCORD_TOKEN=f" Bot {TOKEN} ")
    assert settings.discord_token == TOKEN
    assert TOKEN not in f"{settings!r} {settings} {settings.engine_configs()!r}"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "CUDA:1", "mps"])
def test_devices(tmp_path: Path, device: str) -> None:
    assert load(tmp_path, DEVICE=device).device == (device.lower(),)


def test_several_devices_have_an_engine_each_and_share_the_main_memory(tmp_path: Path) -> None:
    settings = load(tmp_path, DEVICE="cuda:0, CUDA:1", PARKING_GB="32")
    configs = settings.engine_configs()
    assert [(config.device, config.parking_gb) for config in configs] == [
        ("cuda:0", 16),
        ("cuda:1", 16),
    ]
    assert load(tmp_path, DEVICE="cpu,cpu").device == ("cpu", "cpu")


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("cuda:0,cuda:0", "names cuda:0 twice"),
        ("cuda,cuda:0", "names cuda:0 twice"),
        ("cuda:1,cuda:01", "twice"),
        ("mps,mps", "twice"),
        ("cuda:0,,cuda:1", "must be auto, cpu"),
        (",", "must be auto, cpu"),
        ("cuda:0,", "must be auto, cpu"),
        ("auto,cpu", "must name each device"),
        ("cuda:-1", "must be auto, cpu"),
        (",".join(["cpu"] * 9), "at most 8 devices, not 9"),
    ],
)
def test_devices_that_cannot_be_used_are_one_sentence(
    tmp_path: Path, device: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, DEVICE=device)
    [sentence] = refused.value.problems
    assert sentence.startswith("DEVICE must ")
    assert problem in sentence
    assert repr(device) in sentence or "at most" in sentence


def test_the_engine_gets_its_part(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        STRICT="yes",
        DTYPE="BFLOAT16",
        MAX_ROWS="8",
        WARM_MODELS="1",
        PARKING_GB="0",
        THREADS="2",
        DATA_DIR=str(tmp_path),
    ).engine_configs()[0]
    assert (config.strict, config.dtype, config.max_rows) == (True, "bfloat16", 8)
    assert (config.warm_models, config.parking_gb, config.threads) == (1, 0, 2)
    assert config.cache_dir == tmp_path / "cache"


@pytest.mark.parametrize("seconds", ["0", "60", "86400"])
def test_the_engine_gets_its_patience(tmp_path: Path, seconds: str) -> None:
    assert load(tmp_path, ENGINE_TIMEOUT=seconds).engine_configs()[0].timeout == int(seconds)


@pytest.mark.parametrize("seconds", ["1", "59", "86401", "-1", "never"])
def test_an_engine_is_left_time_to_load(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(SettingsError, match="ENGINE_TIMEOUT must be"):
        load(tmp_path, ENGINE_TIMEOUT=seconds)


@pytest.mark.parametrize("path", ["docs/settings.md", ".env.example"])
def test_every_setting_is_documented_with_its_default(path: str) -> None:
    """``NAME`` in backticks in docs/settings.md, ``#NAME=default`` in .env.example."""
    content = (ROOT / path).read_text("utf-8")
    pattern = r"^\| `([A-Z_]+)`" if path.endswith(".md") else r"^#?([A-Z_]+)="
    assert re.findall(pattern, content, re.MULTILINE) == [name.upper() for name in READERS]


def test_the_documented_defaults_are_the_real_ones(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    shown = dict(re.findall(r"^#([A-Z_]+)=(\S+)$", example, re.MULTILINE))
    assert load(tmp_path, **shown) == Settings()
    table = (ROOT / "docs/settings.md").read_text("utf-8")
    for name, default in shown.items():
        assert re.search(rf"^\| `{name}` \| `?{re.escape(default)}`? \|", table, re.MULTILINE), name


@pytest.mark.parametrize(
    ("given", "there"),
    [("auto", "auto"), ("AUTO", "auto"), ("ray://h:10001", "ray://h:10001"), ("h:6379", "h:6379")],
)
def test_with_a_cluster_this_computer_draws_only_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, there: str
) -> None:
    monkeypatch.setattr("bot.settings.find_spec", Mock())
    settings = load(tmp_path, CLUSTER=given, CLUSTER_TOKEN="secret", PARKING_GB="9")
    cluster = settings.cluster_config()
    assert cluster is not None
    assert (cluster[0].address, cluster[0].token) == (there, "secret")
    # Not auto, which would generate on a CPU where torch sees no card.
    assert (cluster[1].device, cluster[1].parking_gb) == ("cuda", 9)
    assert not settings.local
    assert "secret" not in f"{settings!r} {cluster!r}"
    assert load(tmp_path, CLUSTER=given, DEVICE="cuda:0,cuda:1").local
    assert load(tmp_path).local
    assert load(tmp_path).cluster_config() is None


@pytest.mark.parametrize("address", ["ray://h", "h", "h:x", "http://h:1/", ":10001"])
def test_a_cluster_that_is_no_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match=r"CLUSTER must be auto or an address like ray://"):
        load(tmp_path, CLUSTER=address)


def test_a_cluster_without_ray_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.settings.find_spec", lambda _: None)
    with pytest.raises(SettingsError) as told:
        load(tmp_path, CLUSTER="auto")
    (problem,) = told.value.problems
    assert problem == (
        'CLUSTER needs Ray, which is not installed: python -m pip install -e ".[cluster]"'
    )
