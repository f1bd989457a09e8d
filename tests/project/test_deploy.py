"""Dockerfile, compose.yaml, .dockerignore and the systemd unit name what there is.

No container is built here: the files are read, the image's tree is put together as the Dockerfile
says, and the bot is started in it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.settings import READERS, ROOT
from run import parser

SETTINGS = {name.upper() for name in READERS}
# Python's and the system's own.
OTHERS = {"PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
# What must never be in an image.
SECRETS = (
    ".env",
    "data/penultimate.sqlite3",
    "data/penultimate.sqlite3-wal",
    "data/penultimate.lock",
    "data/images/1/0.png",
    "data/cache/x.json",
    "data/models/mine.safetensors",
    "data/loras/mine.safetensors",
    "data/backups/1.sqlite3",
    "data/before-restore-1/penultimate.sqlite3",
    "bot/__pycache__/client.cpython-313.pyc",
)


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of each instruction of the Dockerfile, long lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def all_of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path out of the context, as Docker matches it."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    parts = path.split("/")
    beginnings = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    return any(
        fnmatch(beginning, pattern)
        or (pattern.startswith("**/") and fnmatch(beginning.split("/")[-1], pattern[3:]))
        for beginning in beginnings
        for pattern in patterns
        if pattern.startswith("**/") or beginning.count("/") == pattern.count("/")
    )


def copied() -> list[tuple[str, str]]:
    """(source, target) of what is copied from the checkout into the image that runs."""
    found: list[tuple[str, str]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.clear()
        elif name == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            found += [(source, target) for source in sources]
    return found


def test_nothing_secret_is_in_the_image_and_nothing_is_missing() -> None:
    assert [path for path in SECRETS if not ignored(path)] == []
    sources = [source for source, _ in copied()]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source)
    for path in ("data/locales/en.json", "data/migrations/0001_jobs.sql", "bot/client.py"):
        assert not ignored(path)
        assert path.split("/")[0] in sources
    # What git leaves out at the top and in data/ stays out here too.
    for line in (ROOT / ".gitignore").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            assert ignored(line.rstrip("/").replace("*", "x")), line


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of /app, as the Dockerfile copies it."""
    app = tmp_path_factory.mktemp("app")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for source, target in copied():
        for path in filter(None, tracked):
            inside = path == source or path.startswith(f"{source}/")
            if inside and not ignored(path) and (ROOT / path).is_file():
                place = app / (path if target == "./" else target + path.removeprefix(source))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, place)
    return app


def run_in(app: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    unset = dict.fromkeys(SETTINGS, "")
    unset["PYTHONPATH"] = os.pathsep.join([str(app), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=app,
        env=os.environ | unset | {"PYTHONDONTWRITEBYTECODE": "1"} | environ,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


# Opens the store as a start does.
OPEN = """
import asyncio, os
from bot.settings import Settings
from bot.store import Store

async def main():
    settings = Settings.load(os.environ, None)
    await (await Store.open(settings.database_path, settings.images_dir)).close()

asyncio.run(main())
"""


def test_the_bot_runs_from_what_is_in_the_image(image: Path, tmp_path: Path) -> None:
    modules = "cogs.every, core.serving.worker, bot.cli.backup, bot.cli.sandbox, bot.watch.metrics"
    found = run_in(image, "-c", f"import {modules}, bot; print(bot.__file__)")
    assert found.stdout.strip() == str(image / "bot" / "__init__.py"), found.stderr
    started = run_in(image, "run.py", "start", DATA_DIR=str(tmp_path))
    assert started.returncode == 2
    assert started.stderr.startswith("DISCORD_TOKEN is not set")
    # Nothing is written outside of DATA_DIR.
    before = sorted(image.rglob("*"))
    assert run_in(image, "-c", OPEN, DATA_DIR=str(tmp_path)).returncode == 0
    assert sorted(image.rglob("*")) == before
    assert (tmp_path / "penultimate.sqlite3").is_file()


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert all_of("USER") == ["10001:10001"]
    assert all_of("VOLUME") == ["/data"]
    environment = dict(each.split("=", 1) for rest in all_of("ENV")[1:] for each in rest.split())
    assert set(environment) <= SETTINGS | OTHERS
    assert environment["DATA_DIR"] == "/data"
    # On loopback: nothing is published.
    assert environment["METRICS"].startswith("127.0.0.1:")
    assert not all_of("EXPOSE")


def test_the_commands_of_the_image_exist() -> None:
    (entry,), (start,), (check,) = all_of("ENTRYPOINT"), all_of("CMD"), all_of("HEALTHCHECK")
    assert yaml.safe_load(entry) == ["python", "run.py"]
    parser().parse_args(yaml.safe_load(start))
    asked = yaml.safe_load(check.partition("CMD ")[2])
    assert asked[:2] == ["python", "run.py"]
    parser().parse_args(asked[2:])


def test_the_packages_of_the_image_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = "\n".join(all_of("RUN"))
    (torch,) = [each for each in project["dependencies"] if each.startswith("torch==")]
    assert f'"{torch}+${{TORCH}}"' in said
    for extra in re.findall(r'"\.\[(\w+)\]"', said):
        assert extra in project["optional-dependencies"]
    low, high = re.findall(r"3\.(\d+)", project["requires-python"])
    (python,) = re.findall(r"PYTHON=3\.(\d+)", "\n".join(all_of("ARG")))
    assert int(low) <= int(python) < int(high)
    assert "constraints.txt" in all_of("COPY")[0]


def services() -> dict[str, dict[str, Any]]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    found: dict[str, dict[str, Any]] = read["services"]
    return found


def test_the_services_of_compose() -> None:
    assert set(services()) == {"cpu", "cuda"}
    for name, service in services().items():
        assert service["profiles"] == [name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "ports" not in service
        assert "privileged" not in service
        assert set(service["environment"]) <= SETTINGS
        (volume,) = service["volumes"]
        assert volume.endswith(f":{all_of('VOLUME')[0]}")
        assert all(folder.startswith("/data") for folder in service["environment"].values())
        assert set(service["build"]["args"]) <= {arg.partition("=")[0] for arg in all_of("ARG")}
        # The log is bounded.
        assert service["logging"]["options"]["max-size"]
    assert services()["cpu"]["build"]["args"]["TORCH"] == "cpu"
    assert re.fullmatch(r"cu\d+", services()["cuda"]["build"]["args"]["TORCH"])
    devices = services()["cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert "deploy" not in services()["cpu"]


def test_every_folder_of_the_owner_is_the_container_s() -> None:
    # One that .env moves on the host would not be there.
    folders = {name for name in SETTINGS if name.endswith("_DIR")}
    for service in services().values():
        assert set(service["environment"]) == folders


UNIT = ROOT / "deploy" / "penultimate.service"


def unit() -> list[tuple[str, str]]:
    lines = UNIT.read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return [(name, value) for name, _, value in pairs]


def test_the_unit_starts_what_there_is() -> None:
    said = dict(unit())
    python, script, *arguments = shlex.split(said["ExecStart"])
    folder = said["WorkingDirectory"]
    assert python == f"{folder}/.venv/bin/python"
    assert script == "run.py"
    parser().parse_args(arguments)
    environment = dict(each.split("=", 1) for each in said["Environment"].split())
    assert set(environment) <= SETTINGS | OTHERS
    assert environment["DATA_DIR"] == f"/var/lib/{said['StateDirectory']}"
    assert said["User"] != "root"
    assert said["Restart"] == "on-failure"
    # Discord allows a bot 1,000 connections a day.
    assert 86_400 / int(said["RestartSec"]) < 1000


def test_the_docs_give_the_token_to_the_user_of_the_unit() -> None:
    user = dict(unit())["User"]
    docs = (ROOT / "docs" / "running.md").read_text("utf-8")
    assert f"sudo install -m 0600 -o {user} -g {user} .env.example .env" in docs


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_systemd_knows_every_line_of_the_unit(tmp_path: Path) -> None:
    assert ANALYZE is not None
    text = UNIT.read_text("utf-8")
    python = dict(unit())["ExecStart"].split()[0]
    here = tmp_path / UNIT.name
    here.write_text(text.replace(python, sys.executable), "utf-8")
    command = [ANALYZE, "verify", "--man=no", str(here)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert UNIT.name not in said.stderr, said.stderr
    assert said.returncode == 0
    here.write_text(text + "ProtectNothing=yes\n", "utf-8")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Unknown key" in said.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_the_unit_exposes_little() -> None:
    assert ANALYZE is not None
    # Old versions cannot judge a file that is not installed.
    command = [ANALYZE, "security", "--offline=yes", "--threshold=25", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in said.stderr:
        pytest.skip("this systemd cannot")
    assert said.returncode == 0, said.stdout[-300:]
