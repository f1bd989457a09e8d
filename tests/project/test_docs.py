"""What is written down is what there is: commands, options, dependencies, links."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from discord import app_commands

from bot.settings import ROOT, Settings
from bot.translate import catalogues
from core.models.cards import Card
from core.options import Place, names
from tests.simulation import simulate
from tools import site

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def first_cells(text: str) -> list[str]:
    """What stands in backticks at the beginning of each table row."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def needed() -> dict[str, str]:
    """Every requirement of every kind in pyproject.toml, by name."""
    project = tomllib.loads(page("pyproject.toml"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = {}
    for requirement in (requirement for one in lists for requirement in one):
        name = re.split(r"[\[<>=]", requirement, maxsplit=1)[0]
        if name != project["name"]:
            found[name] = requirement
    return found


def test_every_dependency_has_a_line_that_says_why() -> None:
    assert sorted(first_cells(page("docs/dependencies.md"))) == sorted(needed())


def test_every_dependency_is_bounded_above() -> None:
    for requirement in needed().values():
        assert "<" in requirement or "==" in requirement, requirement


async def test_every_command_is_documented_and_nothing_else(settings: Settings) -> None:
    async with simulate(settings) as world:
        commands = {
            f"/{command.qualified_name}": command
            for command in world.bot.tree.walk_commands()
            if isinstance(command, app_commands.Command)
        }
    text = page("docs/commands.md")
    documented = first_cells(text)
    assert sorted(cell for cell in documented if cell.startswith("/")) == sorted(commands)
    imagine = commands["/imagine"]
    options = [cell for cell in documented if not cell.startswith("/")]
    both = {p.name for name in ("/imagine", "/explore") for p in commands[name].parameters}
    assert sorted(options) == sorted(both)
    for parameter in imagine.parameters:
        if parameter.min_value is not None and parameter.type.name != "string":
            row = next(line for line in text.splitlines() if f"| `{parameter.name}` |" in line)
            bounds = f"{parameter.min_value:g} to {parameter.max_value:.10g}"
            assert f"| {bounds} |" in row


def test_the_readme_has_the_two_commands() -> None:
    lines = page("README.md").splitlines()
    assert 'python -m pip install -e ".[sandbox]" && python run.py sandbox' in lines
    assert 'python -m pip install -e ".[test]" && python -m pytest' in lines


def test_the_card_in_the_docs_names_every_field() -> None:
    text = page("docs/owners.md")
    for name in {*Card.__dataclass_fields__, *names(Place.CARD)} - {"values"}:
        assert re.search(rf"^{name} = |`{name}`", text, re.MULTILINE), name


def test_torch_is_the_same_version_everywhere() -> None:
    assert needed()["torch"] in page("README.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_every_page_is_in_the_site() -> None:
    inside = re.findall(r": ([\w-]+\.md)$", page("mkdocs.yml"), re.MULTILINE)
    own = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert sorted(inside) == sorted([*own, *site.BESIDE.values()])
    beside = {path.name for path in ROOT.glob("*.md")}
    assert set(site.BESIDE) == beside


def test_links_of_the_site_lead_into_it() -> None:
    text = "[a](../PRIVACY.md) [b](owners.md#cards) [c](https://x.y) ![d](img/e.png)"
    turned = "[a](privacy.md) [b](owners.md#cards) [c](https://x.y) ![d](img/e.png)"
    assert site.on_page_markdown(text, None, None, None) == turned


# What looks like a path and is none of the checkout: what owners and the bot make, a library.
NO_PATHS = {
    *("data/models", "data/vaes", "data/loras", "data/embeddings", "data/upscalers"),
    *("data/penultimate.sqlite3", "discord.py"),
}
FOLDERS = ("benchmarks", "bot", "cogs", "core", "data", "docs", "tests", "tools")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
INSIDE = tuple(f"{folder}/" for folder in FOLDERS)


def paths_named(text: str) -> set[str]:
    """What stands in backticks and looks like a file or a folder of this repository."""
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set()
    for code in re.findall(r"`([^`]+)`", without_blocks):
        modules = re.findall(r"-m ((?:benchmarks|tools)[\w.]+)", code)
        named |= {f"{module.replace('.', '/')}.py" for module in modules}
        words = re.findall(r"\w[\w./-]+", code)
        named |= {word for word in words if word.endswith(".py") or word.startswith(INSIDE)}
    return named - NO_PATHS


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_path_that_is_named_exists(path: Path) -> None:
    for name in paths_named(path.read_text("utf-8")):
        # A file may be named without its folder.
        anywhere = "/" not in name and any(
            found for folder in FOLDERS for found in (ROOT / folder).rglob(name)
        )
        assert anywhere or (ROOT / name).exists(), name


def test_a_path_that_does_not_exist_would_be_found() -> None:
    text = "`bot/ask/`, `python x.py bot/y.py`, `docs`, `python -m tools.gone`, `p:clip:12`, `a/b`"
    assert paths_named(text) == {"bot/ask/", "x.py", "bot/y.py", "tools/gone.py"}


def defined() -> set[str]:
    """Every class of the code, and every method as ``Class.method``."""
    names = set()
    for folder in ("bot", "cogs", "core"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    inside = (each for each in node.body if isinstance(each, FUNCTIONS))
                    names |= {node.name, *(f"{node.name}.{each.name}" for each in inside)}
    return names


def test_the_life_of_an_imagine_names_what_there_is() -> None:
    text = page("docs/life-of-an-imagine.md")
    named = set(re.findall(r"`([A-Z][a-z]\w+(?:\.\w+)?)`", text)) - {"LayoutView"}
    assert len(named) > 20
    assert named - defined() == set()


# What a page has in bold that is no button: emphasis, and buttons of Discord's.
EMPHASIS = {
    *("Add App", "Not in the negative prompt.", "However it is written."),
    *("1", "4"),
    *("All of A1111's samplers and schedule types", "The noise.", "The samplers' settings"),
    *("Hires fix", "A size"),
}


@pytest.mark.parametrize("name", ["docs/members.md", "docs/servers.md", "docs/commands.md"])
def test_every_button_is_named_as_it_is_called(name: str) -> None:
    labels = set(catalogues()["en"].values())
    bold = {" ".join(words.split()) for words in re.findall(r"\*\*([^*]+)\*\*", page(name))}
    assert len(bold) >= 5
    assert bold - labels - EMPHASIS == set()
