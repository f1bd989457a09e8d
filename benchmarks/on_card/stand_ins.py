"""Stand-ins for packages that the engine imports and no measurement uses.

A machine with a card often has torch, diffusers and transformers, and no way to get more.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

# Reading others' parameters from pictures, repairing broken text, dynamic prompts.
PACKAGES: Final = {
    "sd_parsers": ("sd_parsers.data", "sd_parsers.exceptions", "sd_parsers.parsers"),
    "ftfy": (),
    "dynamicprompts": (
        "dynamicprompts.commands",
        "dynamicprompts.enums",
        "dynamicprompts.sampling_context",
        "dynamicprompts.wildcards",
    ),
}


class _Missing(ModuleType):
    """A module in which every name is a class of no behaviour."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Libraries ask importlib for it, which wants one.
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def install() -> list[str]:
    """Put stand-ins where a package is missing; return the packages' names."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    for name in missing:
        sys.modules |= {each: _Missing(each) for each in (name, *PACKAGES[name])}
    return missing
