"""The log's format, without tokens.

Whoever reads a token can act as the bot: with an interaction's for 15 minutes, with the bot's own
until it is reset.
"""

from __future__ import annotations

import logging
import re
from typing import Final

import discord

# Only these log at DEBUG; the libraries would log whole requests and SQL, with tokens.
ROOMS: Final = ("bot", "cogs", "core")

# URLs that contain an interaction's token, as aiohttp's errors do.
ADDRESS: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s'\"]+")


class WithoutTokens(logging.Formatter):
    """Removes ``token`` and interaction tokens from what ``formatter`` formats."""

    def __init__(self, formatter: logging.Formatter, token: str) -> None:
        super().__init__()
        self._formatter = formatter
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """Format a record with its traceback, without tokens."""
        return ADDRESS.sub(r"\1…", self._formatter.format(record)).replace(self._token, "…")


def set_up(level: str, token: str) -> None:
    """Log to the terminal: the bot from ``level`` on, libraries from INFO on at most."""
    number = logging.getLevelNamesMapping()[level]
    discord.utils.setup_logging(level=max(number, logging.INFO))
    for room in ROOMS:
        logging.getLogger(room).setLevel(number)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(WithoutTokens(handler.formatter or logging.Formatter(), token))
