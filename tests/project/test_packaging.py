"""What is built and what is installed: metadata alone, and the versions that were tested."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bot.settings import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# torch's builds for graphics cards bring their own, and pin them.
FOR_CARDS = re.compile(r"nvidia-|cuda-|triton|pytorch-triton")


def pins() -> dict[str, str]:
    """Name → version of every line of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = (line.partition("==") for line in lines if not line.startswith("#"))
    pairs = [(name, version) for name, _, version in pinned]
    # Names and versions only: no address, no hash, no second line for one name.
    for name, version in pairs:
        assert name == canonicalize_name(name)
        assert re.fullmatch(r"[\w.]+", version), version
    assert [name for name, _ in pairs] == sorted({name for name, _ in pairs})
    return dict(pairs)


# What the tests can do without: those of a cluster are skipped where Ray is not installed.
NOT_NEEDED = {
    canonicalize_name(Requirement(line).name)
    for extra in ("dev", "cluster")
    for line in PROJECT["optional-dependencies"][extra]
}


def requirements() -> list[Requirement]:
    """Every requirement of every kind in pyproject.toml, but its own extras."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = [Requirement(line) for one in lists for line in one]
    return [each for each in found if each.name != PROJECT["name"]]


def test_a_wheel_has_the_metadata_and_no_code_without_its_data(tmp_path: Path) -> None:
    # In a copy: a build leaves folders behind.
    for name in ("pyproject.toml", "README.md", "LICENSE", "run.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("bot", "core", "cogs", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    # No index is asked: what builds it is what is installed here.
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path / "out")]
    subprocess.run([*command, str(tmp_path)], check=True, stdin=subprocess.DEVNULL)
    (wheel,) = (tmp_path / "out").iterdir()
    with zipfile.ZipFile(wheel) as file:
        folders = {name.partition("/")[0] for name in file.namelist()}
        (path,) = (name for name in file.namelist() if name.endswith("METADATA"))
        said = file.read(path).decode()
    assert folders == {f"penultimate-{PROJECT['version']}.dist-info"}
    assert "Requires-Dist: discord.py" in said


def test_the_checkout_knows_its_version() -> None:
    assert metadata.version("penultimate") == PROJECT["version"]


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    pinned = pins()
    for requirement in requirements():
        version = Version(pinned[canonicalize_name(requirement.name)])
        assert version in requirement.specifier, requirement


def test_what_requirements_bring_along_is_pinned_too() -> None:
    pinned = pins()
    seen: set[str] = set()
    left = requirements()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen or FOR_CARDS.match(name):
            continue
        seen.add(str(requirement))
        assert name in pinned, requirement
        try:
            brings = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            assert name in NOT_NEEDED
            continue
        for line in brings:
            brought = Requirement(line)
            extras = {"", *requirement.extras}
            if brought.marker is None or any(
                brought.marker.evaluate({"extra": extra}) for extra in extras
            ):
                left.append(brought)


def workflow() -> str:
    return (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")


def test_the_workflow_tests_every_python_that_is_promised() -> None:
    (line,) = re.findall(r"python: \[(.*)\]", workflow())
    tested = [int(minor) for minor in re.findall(r"3\.(\d+)", line)]
    assert tested == list(range(tested[0], tested[-1] + 1))
    assert PROJECT["requires-python"] == f">=3.{tested[0]},<3.{tested[-1] + 1}"


def test_every_place_checks_with_the_same_versions() -> None:
    pinned = pins()
    assert f"torch=={pinned['torch']}+cpu" in workflow()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert f"ruff-pre-commit\n    rev: v{pinned['ruff']}\n" in hooks
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for place in (workflow(), script):
        assert re.search(r"PIP_CONSTRAINT[=:] ?constraints\.txt", place)
        for check in ("ruff check .", "ruff format --check .", "mypy"):
            assert check in place
