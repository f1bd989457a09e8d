"""The log: lines with their job's number, as text or JSON, without tokens and without floods.

Whoever reads a token can act as the bot: with an interaction's for 15 minutes, with the bot's own
until it is reset.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import discord

from bot.answers import DISCORD_ERRORS

# Only these log at DEBUG; the libraries would log whole requests and SQL, with tokens.
ROOMS: Final = ("bot", "cogs", "core")

# URLs that contain an interaction's token, as aiohttp's errors do.
ADDRESS: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s'\"]+")

# Characters of a message, and of a traceback.
MAX_LENGTH: Final = 8_000
# Lines alike in a minute; those after them are only counted.
BURST: Final = 20
WINDOW: Final = 60.0
# Kinds of lines that are remembered.
KINDS: Final = 1_000

_JOB: Final = re.compile(r"\bjob (\d+)\b")


def job_of(record: logging.LogRecord) -> int | None:
    """Return the job that a line is about: the one it names, or whose task writes it."""
    names = [record.getMessage()]
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # Another thread's.
        task = None
    if task is not None:
        names.append(task.get_name())
    found = filter(None, map(_JOB.search, names))
    return next((int(match[1]) for match in found), None)


def message_of(record: logging.LogRecord) -> str:
    """Return a line's message, with what :class:`Bounded` has to say."""
    return record.getMessage() + getattr(record, "remark", "")


def without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    """Make one line of what Discord or the network did to a library: where it happened says
    nothing. Other records stay."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, DISCORD_ERRORS) or not record.name.startswith("discord"):
        return record
    message = f"{record.getMessage()}: {type(error).__name__}: {error}".rstrip(": ")
    plain = {"msg": message, "args": (), "exc_info": None, "exc_text": None}
    return logging.makeLogRecord(record.__dict__ | plain)


class WithoutTokens(logging.Formatter):
    """Removes ``token`` and interaction tokens from what ``formatter`` formats, and its excess."""

    def __init__(self, formatter: logging.Formatter, token: str) -> None:
        super().__init__()
        self._formatter = formatter
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """Format a record with its traceback, without tokens."""
        record = without_traceback(record)
        job, message = job_of(record), message_of(record)
        if job is not None and not _JOB.search(message):
            message = f"job {job}: {message}"
        # Others may write the same record in their own way.
        record = logging.makeLogRecord(record.__dict__ | {"msg": message, "args": ()})
        return self.clean(self._formatter.format(record))

    def clean(self, text: str) -> str:
        """Remove tokens from a text and cut it at :data:`MAX_LENGTH`."""
        text = ADDRESS.sub(r"\1…", text).replace(self._token, "…")
        return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]} …"


class AsJson(WithoutTokens):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, ``job``, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; what it has no job or error for is left out."""
        record = without_traceback(record)
        fields: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.clean(message_of(record)),
        }
        if (job := job_of(record)) is not None:
            fields["job"] = job
        if record.exc_info:
            fields["error"] = self.clean(self._formatter.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


@dataclass(slots=True)
class _Kind:
    since: float
    lines: int = 0


class Bounded(logging.Filter):
    """Lets :data:`BURST` lines of a kind pass in each :data:`WINDOW`, and counts the others.

    A kind is a logger with a message before its values are filled in. ``clock`` is in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written; the last of a burst says that more are counted."""
        now, name = self._clock(), (record.name, str(record.msg))
        kind, over = self._kinds.get(name), 0
        if kind is None or now - kind.since >= WINDOW:
            over = max(0, kind.lines - BURST) if kind else 0
            # A library may write its values into the message: such kinds come without end.
            if len(self._kinds) >= KINDS:
                self._kinds.clear()
            kind = self._kinds[name] = _Kind(now)
        kind.lines += 1
        if kind.lines > BURST:
            return False
        if over:
            record.remark = f" (and {over} more like it since)"
        elif kind.lines == BURST:
            record.remark = f" (more like it are only counted for {WINDOW:.0f} s)"
        return True


def set_up(level: str, token: str, log_format: str = "text") -> None:
    """Log to the terminal: the bot from ``level`` on, libraries from INFO on at most."""
    number = logging.getLevelNamesMapping()[level]
    handler = logging.StreamHandler()
    discord.utils.setup_logging(handler=handler, level=max(number, logging.INFO))
    for room in ROOMS:
        logging.getLogger(room).setLevel(number)
    formats = AsJson if log_format == "json" else WithoutTokens
    handler.setFormatter(formats(handler.formatter or logging.Formatter(), token))
    handler.addFilter(Bounded())
