"""Who may know whom: imports go one way, and what belongs to one process stays there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tools import rooms
from tools.rooms import ORDER, ROOT

# What each top folder must not import, at any place in a file.
FORBIDDEN = {
    "core": {"bot", "cogs", "run", "tests", "tools", "benchmarks", "discord", "aiosqlite"},
    "bot": {"cogs", "run", "tests", "tools", "benchmarks", "torch", "diffusers", "transformers"},
    "cogs": {"run", "tests", "tools", "benchmarks", "torch", "diffusers", "transformers"},
    "tools": {"bot", "cogs", "run", "tests", "benchmarks", "discord"},
    "benchmarks": {"bot", "cogs", "run", "tests", "discord"},
}
# Loose files in bot/, its __init__ among them.
MAX_LOOSE = 8
# No function is longer, tests and tools included, in lines.
MAX_FUNCTION = 60
# What one option may touch: its row, and what acts on it.
MAX_FILES_OF_AN_OPTION = 6


def topmost(path: Path) -> set[str]:
    """The topmost names of all that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("top", FORBIDDEN)
def test_a_top_folder_knows_only_what_is_below_it(top: str) -> None:
    paths = sorted((ROOT / top).rglob("*.py"))
    assert paths
    for path in paths:
        wrong = FORBIDDEN[top] & topmost(path)
        assert not wrong, (path.relative_to(ROOT), wrong)


def test_every_room_has_its_place_in_the_order() -> None:
    found = {rooms.room_of(module) for module in rooms.files()}
    # The package files of the tops themselves are no rooms.
    assert found - {"core", "bot"} == set(ORDER)


def test_a_room_knows_only_those_before_it_by_type_too() -> None:
    place = {room: number for number, room in enumerate(ORDER)}
    wrong = [
        f"{module} imports {other}"
        for module, others in rooms.imports().items()
        for other in others
        if place.get(rooms.room_of(module), -1) < place.get(rooms.room_of(other), -1)
    ]
    assert not wrong


def test_no_files_import_each_other_in_a_circle() -> None:
    assert rooms.circles(rooms.imports()) == []


def test_a_circle_would_be_found() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert rooms.circles(graph) == [["a", "b", "c"]]


def test_a_cog_knows_no_other_cog() -> None:
    for module, others in rooms.imports().items():
        if module == "cogs.every":
            continue
        own = module.split(".")[:2]
        strangers = {
            other
            for other in others
            if other.startswith("cogs.") and other.split(".")[:2] not in (own, ["cogs", "options"])
        }
        assert not strangers, (module, strangers)


def test_the_bot_process_imports_no_torch() -> None:
    """Every module of the bot's process, really imported."""
    modules = [
        name for name in rooms.files() if name.startswith(("bot", "cogs")) or name == "run"
    ] + ["core.serving.client", "core.serving.queue", "core.serving.worker", "core.work"]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
    kept_out = ("torch", "diffusers", "transformers", "ray")
    code += f"print([name for name in {kept_out} if name in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_few_files_stand_loose_in_bot() -> None:
    assert len(list((ROOT / "bot").glob("*.py"))) <= MAX_LOOSE


def types_in(path: Path) -> set[str]:
    """The public classes of a file, and the other names of types: ``Channel = A | B``."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for each in targets if isinstance(each, ast.Name)}
    return {name for name in names if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)}


def test_no_two_public_classes_share_a_name() -> None:
    names = Counter(name for path in rooms.files().values() for name in types_in(path))
    # A type variable is its file's own; so is the client's own kind of interaction.
    shared = {name for name, count in names.items() if count > 1} - {"Interaction"}
    assert shared == set()


def test_nothing_is_imported_by_its_name() -> None:
    """It would hide an import from these tests. discord.py loads one file so: the cogs' list."""
    by_name = ("import_module", "__import__", "load_extension")
    found = {
        f"{module} {name}"
        for module, path in rooms.files().items()
        for name in by_name
        if name in path.read_text("utf-8")
    }
    assert found == {"bot.client load_extension"}


def test_nobody_reaches_through_the_client() -> None:
    """Parts are given what they use; only what discord.py makes itself has nothing else."""
    reaching = {
        module
        for module, path in rooms.files().items()
        if "interaction.client." in (text := path.read_text("utf-8")) or "each.client." in text
    }
    assert reaching == {"bot.posts.controls", "cogs.options"}


def words() -> list[list[str]]:
    """The rows of the glossary: word, meaning, class, words that are not used for it."""
    text = (ROOT / "docs" / "contributing.md").read_text("utf-8").partition("## Words")[2]
    rows = re.findall(r"^\| (.*?) \|$", text.partition("## Tests")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[1:]]


def test_a_word_of_the_glossary_is_one_class() -> None:
    defined = Counter(
        node.name
        for path in rooms.files().values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    named = [row[2].strip("`") for row in words() if row[2]]
    assert len(named) > 10
    assert {name: defined[name] for name in named if defined[name] != 1} == {}


def test_a_word_that_the_glossary_rules_out_is_in_no_name() -> None:
    ruled_out = {word for row in words() for word in row[3].split(", ") if word}
    assert ruled_out
    wrong = [
        f"{module}: {name}"
        for module, path in rooms.files().items()
        for name in [module, *names_in(path)]
        if ruled_out & set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r" \1", name).lower()))
    ]
    assert wrong == []


def names_in(path: Path) -> list[str]:
    """What a file defines: classes, functions, parameters, fields, variables."""
    names = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.arg):
            names.append(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.append(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def test_no_two_modules_of_a_room_share_a_name() -> None:
    found = Counter(
        (rooms.room_of(module), module.rpartition(".")[2])
        for module, path in rooms.files().items()
        if path.name != "__init__.py" and not module.startswith("cogs")
    )
    assert [place for place, count in found.items() if count > 1] == []


def test_no_function_is_too_long() -> None:
    paths = [
        *rooms.files().values(),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "tools").rglob("*.py"),
    ]
    long = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION
    ]
    assert long == []


def test_an_option_is_named_in_few_files() -> None:
    naming = [
        path.relative_to(ROOT).as_posix()
        for path in rooms.files().values()
        # Other programs have names of their own.
        if "cfg_scale" in path.read_text("utf-8") and "foreign" not in path.parts
    ]
    assert len(naming) <= MAX_FILES_OF_AN_OPTION, naming


def test_the_picture_of_the_rooms_shows_the_code() -> None:
    assert rooms.PICTURE.read_text("utf-8") == rooms.draw(), "run: python -m tools.rooms"
