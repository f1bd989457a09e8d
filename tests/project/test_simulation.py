"""The simulation itself: a bot that does not come up leaves nothing open behind it."""

from __future__ import annotations

import threading

import pytest

from bot.client import Penultimate
from bot.settings import Settings
from tests.simulation import simulate


async def test_a_start_that_fails_leaves_no_connection_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_: Penultimate) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Penultimate, "_sync_commands", lost)
    with pytest.raises(ZeroDivisionError):
        async with simulate(settings):
            raise AssertionError("it must not come up")
    # A database's thread keeps the whole process from ending.
    for thread in threading.enumerate():
        if "_connection_worker" in thread.name:
            thread.join(5)
            assert not thread.is_alive()
    monkeypatch.undo()
    async with simulate(settings) as world:
        await world.ann.slash(world.channel, "imagine", prompt="x")
        assert (await world.job(1)).state == "delivered"
