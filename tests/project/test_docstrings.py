"""What docstrings refer to exists, under the name that they give it."""

from __future__ import annotations

import builtins
import inspect
import re
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import pytest

from tools import rooms

REFERENCE = re.compile(r":(?:class|func|meth|attr|data|mod|exc):`~?([\w.]+)`")
FILES = rooms.files()


def has(thing: Any, name: str) -> bool:
    """Whether ``thing.name`` is there, a field or an attribute set in a method among them."""
    first, _, rest = name.partition(".")
    if hasattr(thing, first):
        return not rest or has(getattr(thing, first), rest)
    if not inspect.isclass(thing) or rest:
        return False
    return first in thing.__annotations__ or f"self.{first}" in inspect.getsource(thing)


def absolute(name: str) -> bool:
    """Whether a full dotted name, of a module or of what it defines, is there."""
    owner, _, last = name.rpartition(".")
    try:
        thing = resolve_name(name)
    except AttributeError:
        return has(resolve_name(owner), last)
    except ImportError:
        return False
    # What is only imported there may move away.
    ours = inspect.isclass(thing) and thing.__module__.startswith(("core.", "bot.", "cogs."))
    return not ours or thing.__module__ == owner


def resolves(module: ModuleType, name: str) -> bool:
    own = [
        each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__
    ]
    return any(has(each, name) for each in (module, builtins, *own)) or absolute(name)


@pytest.mark.parametrize("module", FILES)
def test_what_docstrings_refer_to_exists(module: str) -> None:
    names = REFERENCE.findall(FILES[module].read_text("utf-8"))
    wrong = [name for name in names if not resolves(import_module(module), name)]
    assert not wrong, wrong
