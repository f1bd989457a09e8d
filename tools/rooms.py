"""The rooms of the project and who may know whom, read from the imports and drawn as a picture.

``python -m tools.rooms`` writes ``docs/img/rooms.svg``; a test holds it against the code.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "img" / "rooms.svg"

# Each room may import only those above it in this list. A room is a folder, or a loose file.
ORDER: Final = (
    "core/errors",
    "core/notes",
    "core/families",
    "core/fairness",
    "core/heartbeat",
    "core/config",
    "core/threads",
    "core/typed",
    "core/options",
    "core/hires",
    "core/request",
    "core/effects",
    "core/variations",
    "core/events",
    "core/prompt",
    "core/pictures",
    "core/sampling",
    "core/text",
    "core/models",
    "core/work",
    "core/sheets",
    "core/engine",
    "core/serving",
    "bot/settings",
    "bot/fetching",
    "bot/translate",
    "bot/exceptions",
    "bot/markdown",
    "bot/errors",
    "bot/answers",
    "bot/rules",
    "bot/store",
    "bot/ordering",
    "bot/gate",
    "bot/posts",
    "bot/jobs",
    "bot/actions",
    "bot/watch",
    "bot/upkeep",
    "bot/client",
    "bot/cli",
    "cogs/options",
    "cogs",
    "cogs/every",
    "run",
)

Imports = Mapping[str, frozenset[str]]


def files() -> dict[str, Path]:
    """Every module of the project by its dotted name, tests and tools aside."""
    paths = [ROOT / "run.py", *(p for top in ("core", "bot", "cogs") for p in _below(ROOT / top))]
    return {_module(path): path for path in paths}


def _below(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.rglob("*.py")))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> Imports:
    """The modules of the project that each module imports, wherever in the file, types included."""
    known = files()
    return {name: frozenset(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                # It would hide which room is meant.
                raise ValueError(f"{path}:{node.lineno} imports relatively")
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known or node.module in known:
                    yield full if full in known else node.module


def room_of(module: str) -> str:
    """``core.text.encoder`` → ``core/text``; a cog is a room of its own below ``cogs``."""
    name = "/".join(module.split(".")[:2])
    return name if name in ORDER or not name.startswith("cogs") else "cogs"


def circles(graph: Imports) -> list[list[str]]:
    """Every set of modules that import each other in a circle (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            start = stack.index(node)
            circle, stack[start:] = stack[start:], []
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def room_imports(graph: Imports) -> dict[str, set[str]]:
    """The same between rooms."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, others in graph.items():
        rooms[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return dict(rooms)


def direct(rooms: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The arrows that no longer way says already: where a → b → c, a → c goes without saying."""
    below: dict[str, set[str]] = {}
    for room in ORDER:
        known = {other for other in rooms.get(room, ()) if other in below}
        below[room] = known.union(*(below[other] for other in known))
        for other in known:
            if not any(other in below[between] for between in known):
                yield room, other


# The picture: a box for each room, the lowest at the bottom, arcs to what each one knows.

_BOX: Final = 560
_LINE: Final = 30
_SIDE: Final = 250
_COLOURS: Final = {"core": "#dbe9f6", "bot": "#e3f1dd", "cogs": "#f8ecd0", "run": "#f3dde0"}


def draw() -> str:
    """The picture as SVG."""
    graph = imports()
    order = [room for room in reversed(ORDER) if any(room_of(each) == room for each in graph)]
    top = {room: 10 + place * (_LINE + 6) for place, room in enumerate(order)}
    height = 20 + len(order) * (_LINE + 6)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BOX + _SIDE}" height="{height}"'
        f' viewBox="0 0 {_BOX + _SIDE} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#666"/></marker></defs>',
    ]
    for room, other in sorted(direct(room_imports(graph))):
        start, end = top[room] + _LINE / 2 + 4, top[other] + _LINE / 2 - 4
        reach = _BOX + 20 + min(_SIDE - 40, (end - start) * 0.22)
        parts.append(
            f'<path d="M{_BOX},{start:g} C{reach:.0f},{start:g} {reach:.0f},{end:g} {_BOX},{end:g}"'
            ' fill="none" stroke="#666" marker-end="url(#a)"/>'
        )
    parts += [box for room in order for box in _box(room, top[room], graph)]
    return "\n".join([*parts, "</svg>", ""])


def _box(room: str, top: int, graph: Imports) -> Iterator[str]:
    inside = _summary(room, graph)
    shown = inside if len(inside) <= 72 else inside[:70].rpartition(" ")[0] + " …"
    colour = _COLOURS[room.partition("/")[0]]
    yield f'<rect x="10" y="{top}" width="{_BOX - 10}" height="{_LINE}" rx="4" fill="{colour}"/>'
    yield f'<text x="20" y="{top + 19}" font-weight="bold">{escape(room)}</text>'
    yield f'<text x="140" y="{top + 19}" fill="#444">{escape(shown)}</text>'


def _summary(room: str, graph: Imports) -> str:
    """The files of a folder, or what a loose file is for."""
    loose = ROOT / f"{room}.py"
    if loose.exists():
        text = ast.get_docstring(ast.parse(loose.read_text("utf-8"))) or ""
        return text.splitlines()[0].replace("`", "").rstrip(".")
    package = room.replace("/", ".")
    modules = {module for module in graph if room_of(module) == room and module != package}
    return " ".join(sorted({module.rpartition(".")[2] for module in modules}))


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
    print(PICTURE.relative_to(ROOT))
