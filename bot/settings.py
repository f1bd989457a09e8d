"""One frozen ``Settings``, read from the environment and ``.env`` and validated once.

Every problem is reported together, each as a sentence an owner can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from core.config import EngineConfig
from core.models.catalogue import Catalogue
from core.options import RANGES
from core.pictures.nsfw import counting, labels_in
from core.sheets.cells import MAX_CELLS

ROOT: Final = Path(__file__).resolve().parent.parent
# What ships with the code: migrations, locales, the demo model. Never written to.
SHIPPED_DATA: Final = ROOT / "data"

DTYPES: Final = ("auto", "float16", "bfloat16", "float32")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """Some settings cannot be used; ``problems`` has one sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a job may be: pixels a side, steps, images a job and cells of a sheet."""

    max_size: int = 1536
    max_steps: int = 150
    max_count: int = 4
    max_cells: int = 36


@dataclass(frozen=True, slots=True)
class Settings:
    """What the owner decides. Paths are absolute; the token never shows in a ``repr``."""

    discord_token: str | None = field(default=None, repr=False)
    guild_id: int | None = None
    data_dir: Path = ROOT / "data"
    models_dir: Path = ROOT / "data" / "models"
    vaes_dir: Path = ROOT / "data" / "vaes"
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = False
    max_rows: int = 32
    warm_models: int = 2
    threads: int = 0
    engine_timeout: int = 600
    queue_per_member: int = 5
    queue_total: int = 100
    max_size: int = 1536
    max_steps: int = 150
    max_count: int = 4
    max_cells: int = 36
    nsfw_model: Path | None = None
    nsfw_labels: tuple[str, ...] = ()
    nsfw_threshold: int = 50
    log_level: str = "INFO"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "penultimate.sqlite3"

    @property
    def images_dir(self) -> Path:
        """Where the finished pictures are kept."""
        return self.data_dir / "images"

    @property
    def cache_dir(self) -> Path:
        """What may be deleted any time."""
        return self.data_dir / "cache"

    @property
    def limits(self) -> Limits:
        """The limits of every server; one may narrow them for itself."""
        return Limits(self.max_size, self.max_steps, self.max_count, self.max_cells)

    def engine_config(self) -> EngineConfig:
        """The part of the settings the engine process gets; the token is not among it."""
        return EngineConfig(
            device=self.device,
            dtype=self.dtype,
            strict=self.strict,
            max_rows=self.max_rows,
            warm_models=self.warm_models,
            threads=self.threads,
            timeout=self.engine_timeout,
            cache_dir=self.cache_dir,
        )

    def catalogue(self) -> Catalogue:
        """What models and VAEs there are now. Blocks on the disk: call it in a thread."""
        return Catalogue.scan(self.models_dir, self.vaes_dir, SHIPPED_DATA, self.cache_dir)

    @classmethod
    def load(cls, environ: Mapping[str, str], dotenv_path: Path | None = ROOT / ".env") -> Settings:
        """Settings from ``environ``, else from the file at ``dotenv_path``, else the defaults.

        Raises :class:`SettingsError` naming every value that cannot be used.
        """
        problems: list[str] = []
        values = _read(environ, dotenv_path, problems)
        if "nsfw_model" in values:
            problems += _of_classifier(values["nsfw_model"], values.get("nsfw_labels", ()))
        # A data folder that was moved takes its models and VAEs with it.
        data_dir = values.get("data_dir", cls().data_dir)
        values = {"models_dir": data_dir / "models", "vaes_dir": data_dir / "vaes"} | values
        if problems:
            raise SettingsError(tuple(problems))
        return cls(**values)


def _read(
    environ: Mapping[str, str], dotenv_path: Path | None, problems: list[str]
) -> dict[str, Any]:
    """The settings that are given and right, by field; sentences go to ``problems``."""
    # Without interpolation: a token or a path may contain "${".
    from_file = dotenv_values(dotenv_path, interpolate=False) if dotenv_path else {}
    values: dict[str, Any] = {}
    for name, parse in READERS.items():
        variable = name.upper()
        text = (environ.get(variable) or from_file.get(variable) or "").strip()
        if not text:
            continue
        try:
            values[name] = parse(text)
        except ValueError as problem:
            problems.append(f"{variable} {problem}")
    return values


def _token(text: str) -> str:
    token = text.removeprefix("Bot ").strip()
    # Never repeat the text in the sentence: it may be the real token with one character wrong.
    if token.count(".") != 2 or any(character.isspace() for character in token):
        raise ValueError("does not look like a bot token; copy it again from the Bot page")
    return token


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _timeout(text: str) -> int:
    seconds = _whole(0, 86_400)(text)
    # Loading a model alone may take so long.
    if 0 < seconds < 60:
        raise ValueError(f"must be 0 (never) or from 60 to 86400 seconds, not {text!r}")
    return seconds


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for word in allowed:
            if word.casefold() == text.casefold():
                return word
        raise ValueError(f"must be one of {', '.join(allowed)}, not {text!r}")

    return parse


def _yes_or_no(text: str) -> bool:
    if text.casefold() in ("1", "true", "yes", "on"):
        return True
    if text.casefold() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"must be yes or no, not {text!r}")


def _device(text: str) -> str:
    name, colon, index = text.casefold().partition(":")
    if name not in ("auto", "cpu", "cuda", "mps", "xpu") or (colon and not index.isdecimal()):
        raise ValueError(f"must be auto, cpu, cuda, cuda:1, mps or xpu, not {text!r}")
    return text.casefold()


def _folder(text: str) -> Path:
    # A relative path is relative to the project, wherever the bot is started from.
    path = (ROOT / Path(text).expanduser()).resolve()
    if path.exists() and not path.is_dir():
        raise ValueError(f"must be a folder; {path} is a file")
    return path


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _of_classifier(folder: Path, asked: tuple[str, ...]) -> list[str]:
    """What is wrong with the classifier, and with the labels that were asked of it."""
    variable = "NSFW_MODEL"
    try:
        labels = labels_in(folder)
        variable = "NSFW_LABELS"
        counting(labels, asked)
    except ValueError as problem:
        return [f"{variable} {problem}"]
    return []


READERS: Final[dict[str, Callable[[str], Any]]] = {
    "discord_token": _token,
    "guild_id": _whole(1, 2**63 - 1),
    "data_dir": _folder,
    "models_dir": _folder,
    "vaes_dir": _folder,
    "device": _device,
    "dtype": _one_of(DTYPES),
    "strict": _yes_or_no,
    "max_rows": _whole(1, 256),
    "warm_models": _whole(1, 16),
    "threads": _whole(0, 512),
    "engine_timeout": _timeout,
    "queue_per_member": _whole(1, 100),
    "queue_total": _whole(1, 10_000),
    "max_size": _whole(64, int(RANGES["width"].high)),
    "max_steps": _whole(1, int(RANGES["steps"].high)),
    "max_count": _whole(1, int(RANGES["count"].high)),
    "max_cells": _whole(12, MAX_CELLS),
    "nsfw_model": _folder,
    "nsfw_labels": _list,
    "nsfw_threshold": _whole(1, 99),
    "log_level": _one_of(LOG_LEVELS),
}
