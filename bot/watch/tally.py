"""Counts since the start of what leaves no trace anywhere else: deliveries, Discord's answers."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Final

import aiohttp

# In the place of a status where there was no answer at all.
NO_ANSWER: Final = "none"


class Tally:
    """``deliveries`` by way, ``answers`` of Discord's HTTP interface by status."""

    def __init__(self) -> None:
        self.deliveries: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()

    def delivered(self, way: str) -> None:
        """Count a post that was sent, by the name of its route, or ``none``."""
        self.deliveries[way.removeprefix("_")] += 1

    def trace(self) -> aiohttp.TraceConfig:
        """Make what counts the answers, for discord.py's HTTP session."""
        config = aiohttp.TraceConfig()

        async def answered(
            _: aiohttp.ClientSession,
            __: SimpleNamespace,
            params: aiohttp.TraceRequestEndParams,
        ) -> None:
            self.answers[str(params.response.status)] += 1

        async def failed(
            _: aiohttp.ClientSession,
            __: SimpleNamespace,
            params: aiohttp.TraceRequestExceptionParams,
        ) -> None:
            self.answers[NO_ANSWER] += 1

        config.on_request_end.append(answered)
        config.on_request_exception.append(failed)
        return config
