"""What is written to the log: readable lines, and never a token.

A token in a log speaks for the bot to whoever reads it: an interaction's for 15 minutes, the
bot's own until it is reset.
"""

from __future__ import annotations

import logging
import re
from typing import Final

import discord

# Ours; the libraries log whole requests and SQL at DEBUG, tokens among them.
ROOMS: Final = ("bot", "cogs", "core")

# The addresses that hold an interaction's token. aiohttp writes them into its errors.
ADDRESS: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s'\"]+")


class WithoutTokens(logging.Formatter):
    """What ``formatter`` writes, traceback and all, without ``token`` and interaction tokens."""

    def __init__(self, formatter: logging.Formatter, token: str) -> None:
        super().__init__()
        self._formatter = formatter
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback under it."""
        return ADDRESS.sub(r"\1…", self._formatter.format(record)).replace(self._token, "…")


def set_up(level: str, token: str) -> None:
    """Log to the terminal: ours from ``level`` on, the libraries from INFO on at most."""
    number = logging.getLevelNamesMapping()[level]
    discord.utils.setup_logging(level=max(number, logging.INFO))
    for room in ROOMS:
        logging.getLogger(room).setLevel(number)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(WithoutTokens(handler.formatter or logging.Formatter(), token))
