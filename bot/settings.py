"""The owner's settings, read from the environment and ``.env`` and validated once.

All problems are reported together, each in a sentence that says what to change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Any, Final, get_type_hints

from dotenv import dotenv_values

from core.config import EngineConfig
from core.models.catalogue import Catalogue
from core.options import RANGES
from core.pictures.nsfw import counting, labels_in
from core.serving.cluster.protocol import ClusterConfig
from core.sheets.cells import MAX_CELLS
from core.typed import closest

ROOT: Final = Path(__file__).resolve().parent.parent
DOTENV: Final = ROOT / ".env"
# Read-only data in the repository: migrations, locales, the demo model.
SHIPPED_DATA: Final = ROOT / "data"

# The start does not wait longer for add-ons; the rest are read while the bot runs.
SECONDS_TO_READ: Final = 1.5
# The owner's folders of files, each with a setting of its own.
FOLDERS: Final = ("models", "vaes", "loras", "embeddings", "upscalers")
DTYPES: Final = ("auto", "float16", "bfloat16", "float32")
# Each is a process with torch in it, and has its lines in /admin status.
MAX_DEVICES: Final = 8
LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def _token(text: str) -> str:
    token = text.removeprefix("Bot ").strip()
    # The sentence leaves the text out: it may be the real token with one character wrong.
    if token.count(".") != 2 or any(character.isspace() for character in token):
        raise ValueError("does not look like a bot token; copy it again from the Bot page")
    return token


def _key(text: str) -> str:
    # Left out of the sentence as well.
    if not text.isascii() or any(character.isspace() for character in text):
        raise ValueError("does not look like a key; copy it again from the site")
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _timeout(text: str) -> int:
    seconds = _whole(0, 86_400)(text)
    # Loading a model may take as long.
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


def _devices(text: str) -> tuple[str, ...]:
    devices = tuple(part.strip().casefold() for part in text.split(","))
    for device in devices:
        name, colon, index = device.partition(":")
        if name not in ("auto", "cpu", "cuda", "mps", "xpu") or (colon and not index.isdecimal()):
            allowed = (
                "auto, cpu, cuda, cuda:1, mps or xpu, or several such with commas between them"
            )
            raise ValueError(f"must be {allowed}, not {text!r}")
    if "auto" in devices and len(devices) > 1:
        raise ValueError(f"must name each device where there are several, not auto: {text!r}")
    if len(devices) > MAX_DEVICES:
        raise ValueError(f"must name at most {MAX_DEVICES} devices, not {len(devices)}")
    # Several engines may share a CPU, but none a card's memory.
    cards = [_with_index(device) for device in devices if device != "cpu"]
    for card in cards:
        if cards.count(card) > 1:
            raise ValueError(f"must name each card once, and {text!r} names {card} twice")
    return devices


def _with_index(device: str) -> str:
    name, _, index = device.partition(":")
    return f"{name}:{int(index or 0)}"


def _cluster(text: str) -> str:
    address = text.removeprefix("ray://")
    host, _, port = address.rpartition(":")
    if text.casefold() != "auto" and not (host and port.isdecimal() and "/" not in address):
        raise ValueError(f"must be auto or an address like ray://host:10001, not {text!r}")
    if find_spec("ray") is None:
        raise ValueError('needs Ray, which is not installed: python -m pip install -e ".[cluster]"')
    if text.startswith("ray://") and find_spec("grpc") is None:
        raise ValueError('needs Ray\'s client: python -m pip install -e ".[cluster]"')
    return "auto" if text.casefold() == "auto" else text


def _secret(text: str) -> str:
    # The sentence leaves the text out.
    if any(character.isspace() for character in text):
        raise ValueError("must have no spaces; it is what ray get-auth-token prints")
    return text


def _folder(text: str) -> Path:
    # A relative path is relative to the project, wherever the bot is started from.
    try:
        path = (ROOT / Path(text).expanduser()).resolve()
        is_folder = S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        # Who needs it makes it, or says that it is not there.
        return path
    except (OSError, RuntimeError) as error:
        # One on the way to it may not be searched, or "~name" is nobody's.
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ValueError(f"must be a folder that the bot can read, not {text!r}: {why}") from None
    if not is_folder:
        raise ValueError(f"must be a folder; {path} is a file")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ValueError(f"must be a folder that the bot can read, not {text!r}: Permission denied")
    return path


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535 or (":" in host and host[:1] != "["):
        raise ValueError(f"must be a port, or an address and one (127.0.0.1:9464), not {text!r}")
    # Without an address, for this machine alone.
    return host.strip("[]") or "127.0.0.1", int(port)


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


class SettingsError(Exception):
    """Settings that cannot be used; ``problems`` has one sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a job: pixels a side, steps, images a job and cells of a sheet."""

    max_size: int = 1536
    max_steps: int = 150
    max_count: int = 4
    max_cells: int = 36


@dataclass(frozen=True, slots=True)
class Settings:
    """The owner's settings. Paths are absolute; secrets are left out of the ``repr``.

    Each field is annotated with what reads its text, or raises :class:`ValueError` with the end of
    a sentence; the variable's name is the field's in capitals.
    """

    discord_token: Annotated[str | None, _token] = field(default=None, repr=False)
    guild_id: Annotated[int | None, _whole(1, 2**63 - 1)] = None
    data_dir: Annotated[Path, _folder] = ROOT / "data"
    models_dir: Annotated[Path, _folder] = ROOT / "data" / "models"
    vaes_dir: Annotated[Path, _folder] = ROOT / "data" / "vaes"
    loras_dir: Annotated[Path, _folder] = ROOT / "data" / "loras"
    embeddings_dir: Annotated[Path, _folder] = ROOT / "data" / "embeddings"
    upscalers_dir: Annotated[Path, _folder] = ROOT / "data" / "upscalers"
    device: Annotated[tuple[str, ...], _devices] = ("auto",)
    dtype: Annotated[str, _one_of(DTYPES)] = "auto"
    strict: Annotated[bool, _yes_or_no] = False
    max_rows: Annotated[int, _whole(1, 256)] = 32
    warm_models: Annotated[int, _whole(1, 16)] = 2
    parking_gb: Annotated[int, _whole(0, 4096)] = 32
    cuda_graphs: Annotated[bool, _yes_or_no] = True
    compile: Annotated[bool, _yes_or_no] = False
    threads: Annotated[int, _whole(0, 512)] = 0
    engine_timeout: Annotated[int, _timeout] = 600
    cluster: Annotated[str | None, _cluster] = None
    cluster_token: Annotated[str | None, _secret] = field(default=None, repr=False)
    queue_per_member: Annotated[int, _whole(1, 100)] = 5
    queue_total: Annotated[int, _whole(1, 10_000)] = 100
    max_size: Annotated[int, _whole(64, int(RANGES["width"].high))] = Limits().max_size
    max_steps: Annotated[int, _whole(1, int(RANGES["steps"].high))] = Limits().max_steps
    max_count: Annotated[int, _whole(1, int(RANGES["count"].high))] = Limits().max_count
    max_cells: Annotated[int, _whole(12, MAX_CELLS)] = Limits().max_cells
    keep_days: Annotated[int, _whole(0, 36_500)] = 730
    keep_gb: Annotated[int, _whole(0, 1_000_000)] = 100
    nsfw_model: Annotated[Path | None, _folder] = None
    nsfw_labels: Annotated[tuple[str, ...], _list] = ()
    nsfw_threshold: Annotated[int, _whole(1, 99)] = 50
    hf_token: Annotated[str | None, _key] = field(default=None, repr=False)
    civitai_token: Annotated[str | None, _key] = field(default=None, repr=False)
    metrics: Annotated[tuple[str, int] | None, _address] = None
    log_level: Annotated[str, _one_of(LOG_LEVELS)] = "INFO"
    log_format: Annotated[str, _one_of(LOG_FORMATS)] = "text"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "penultimate.sqlite3"

    @property
    def images_dir(self) -> Path:
        """The folder of the finished pictures."""
        return self.data_dir / "images"

    @property
    def cache_dir(self) -> Path:
        """The folder of files that may be deleted at any time."""
        return self.data_dir / "cache"

    @property
    def limits(self) -> Limits:
        """The limits of every server, which may have narrower ones of its own."""
        return Limits(self.max_size, self.max_steps, self.max_count, self.max_cells)

    def engine_configs(self) -> tuple[EngineConfig, ...]:
        """The settings of each device's engine process, without the token."""
        config = EngineConfig(
            dtype=self.dtype,
            strict=self.strict,
            max_rows=self.max_rows,
            warm_models=self.warm_models,
            # Main memory is everybody's.
            parking_gb=self.parking_gb // len(self.device),
            graphs=self.cuda_graphs,
            compile=self.compile,
            threads=self.threads,
            timeout=self.engine_timeout,
            cache_dir=self.cache_dir,
        )
        return tuple(replace(config, device=device) for device in self.device)

    @property
    def local(self) -> bool:
        """Whether this computer has engines: with a cluster, only where its devices are named."""
        return self.cluster is None or self.device != ("auto",)

    def cluster_config(self) -> tuple[ClusterConfig, EngineConfig] | None:
        """The cluster and the settings of each engine there; None where there is none."""
        if self.cluster is None:
            return None
        engine = replace(self.engine_configs()[0], device="cuda", parking_gb=self.parking_gb)
        return ClusterConfig(self.cluster, self.cluster_token or "", self.cache_dir), engine

    @property
    def addons(self) -> dict[str, Path]:
        """The owner's folders of networks, embeddings and upscalers."""
        return {name: getattr(self, f"{name}_dir") for name in FOLDERS[2:]}

    def catalogue(self, seconds: float = SECONDS_TO_READ) -> Catalogue:
        """What is in the folders now. Reads the disk: call it in a thread.

        Headers of add-ons that were never read before are read for ``seconds`` at most.
        """
        return Catalogue.scan(
            self.models_dir, self.vaes_dir, SHIPPED_DATA, self.cache_dir, self.addons, seconds
        )

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        dotenv_path: Path | None = DOTENV,
        *,
        token: bool = True,
    ) -> Settings:
        """Settings from ``environ``, else from the file at ``dotenv_path``, else the defaults.

        Without ``token`` the bot's token is left out: it is not needed, so it may be wrong. Raises
        :class:`SettingsError` naming every value that cannot be used.
        """
        from_file, problems = _of_file(dotenv_path) if dotenv_path else ({}, [])
        values: dict[str, Any] = {}
        for name, parse in READERS.items():
            variable = name.upper()
            text = (environ.get(variable) or from_file.get(variable) or "").strip()
            try:
                if text and (token or name != "discord_token"):
                    values[name] = parse(text)
            except ValueError as problem:
                problems.append(f"{variable} {problem}")
        if "nsfw_model" in values:
            problems += _of_classifier(values["nsfw_model"], values.get("nsfw_labels", ()))
        # The defaults of the folders are inside the data folder, wherever that is.
        data_dir = values.get("data_dir", cls().data_dir)
        values = {f"{name}_dir": data_dir / name for name in FOLDERS} | values
        if problems:
            raise SettingsError(tuple(problems))
        return cls(**values)


def _of_file(path: Path) -> tuple[dict[str, str | None], list[str]]:
    """The variables of a ``.env``, and the problems with it. PowerShell 5 writes UTF-16."""
    try:
        data = path.read_bytes()
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return {}, [f"{path} is not written in UTF-8; save it as UTF-8 in your editor"]
    # Without interpolation: a token or a path may contain "${".
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    known = [name.upper() for name in READERS]
    problems = []
    for name in values.keys() - set(known):
        close = closest(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"remove it from {path.name}"
        problems.append(f"{name} in {path.name} is not a setting; {hint}")
    return values, sorted(problems)


def _of_classifier(folder: Path, asked: tuple[str, ...]) -> list[str]:
    """The problems of the classifier and of the labels asked for."""
    variable = "NSFW_MODEL"
    try:
        labels = labels_in(folder)
        variable = "NSFW_LABELS"
        counting(labels, asked)
    except OSError as error:
        return [f"{variable} cannot be read: {error}"]
    except ValueError as problem:
        return [f"{variable} {problem}"]
    return []


READERS: Final[dict[str, Callable[[str], Any]]] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
}
