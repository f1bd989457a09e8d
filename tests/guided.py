"""The properties of :mod:`tests.fuzz`, led by coverage: ``python -m tests.guided infotext``.

Needs ``pip install atheris``, which is not among the project's own packages: it runs on few
machines. It looks for bytes that reach new lines, and hypothesis makes a property's arguments of
them. It stops at the first that fails, and leaves the bytes in a file ``crash-…``. Properties that
need a fixture are left to :mod:`tests.fuzz`.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz import ROOT, SUBJECTS

Property = Callable[[bytes], Any]


def modules(subject: str) -> list[str]:
    """The names of the modules with a subject's properties."""
    found: list[Path] = []
    for name in SUBJECTS[subject]:
        path = ROOT / name
        found += sorted(path.glob("test_*.py")) if path.is_dir() else [path]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]


def properties(module: Any) -> list[Property]:
    """The properties of a module that need no fixture, each taking bytes."""
    return [
        test.hypothesis.fuzz_one_input
        for name, test in vars(module).items()
        if name.startswith("test_")
        and hasattr(test, "hypothesis")
        and not inspect.signature(test).parameters
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.guided", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("subject", choices=SUBJECTS)
    arguments = parser.parse_args()
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["core", "bot"]):
        known = [
            each for name in modules(arguments.subject) for each in properties(import_module(name))
        ]
    if not known:
        sys.exit(f"{arguments.subject}: every property needs a fixture; use tests.fuzz")

    def one(data: bytes) -> None:
        if data:
            known[data[0] % len(known)](data[1:])

    limits = [f"-max_total_time={arguments.minutes * 60:.0f}", "-max_len=4096", "-timeout=60"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", "-verbosity=0"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
