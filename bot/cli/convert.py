"""``python run.py convert FILE…``: ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` to ``.safetensors``.

Each file is read in a process of its own, without this one's environment, and thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bot.settings import ROOT
from core.models.weights.safetensors_header import PICKLE_SUFFIXES

MAX_BYTES: Final = 8 * 2**30
SECONDS: Final = 900
# All of the environment that the reading process gets: no token is among it.
KEPT: Final = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")


class NotConverted(Exception):
    """A file that was not converted; ``str()`` is the reason."""


def main(files: Iterable[str]) -> int:
    """Convert each file and print the new paths; returns the exit code, 2 if any was not."""
    code = 0
    for name in files:
        try:
            print(convert(Path(name)))
        except (NotConverted, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            print(f"{name}: {reason}.", file=sys.stderr)
            code = 2
    return code


def convert(source: Path) -> Path:
    """Write ``NAME.safetensors`` beside ``source``, which stays; nothing is overwritten.

    Raises :class:`NotConverted` and :class:`OSError`.
    """
    if source.suffix.lower() not in PICKLE_SUFFIXES:
        if source.suffix.lower() == ".safetensors" and source.is_file():
            raise NotConverted("it is named .safetensors already; if it is a pickle, name it .pt")
        kinds = ", ".join(sorted(PICKLE_SUFFIXES))
        raise NotConverted(f"only {kinds} can be converted")
    if not source.is_file():
        raise NotConverted("there is no such file")
    if source.stat().st_size > MAX_BYTES:
        raise NotConverted(f"it is larger than {MAX_BYTES // 2**30} GB")
    target = source.with_suffix(".safetensors")
    if target.exists():
        raise NotConverted(f"{target.name} is there already")
    with TemporaryDirectory(prefix=".convert-", dir=source.parent) as folder:
        written = Path(folder, target.name)
        _read(source, written)
        # Taken first, so that a file that came meanwhile is not replaced.
        target.touch(exist_ok=False)
        os.replace(written, target)
    return target


def _read(source: Path, target: Path) -> None:
    program = [sys.executable, "-W", "ignore", "-m", "core.models.weights.pickled"]
    try:
        ended = subprocess.run(
            [*program, str(source.resolve()), str(target.resolve())],
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotConverted(f"reading it took over {SECONDS // 60} minutes") from error
    if ended.returncode == 1 and ended.stdout.strip():
        raise NotConverted(ended.stdout.strip())
    if ended.returncode:
        detail = (ended.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise NotConverted(f"reading it failed ({detail[:200]})")
