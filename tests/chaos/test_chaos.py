"""Some seconds of chaos; and the verdict finds what it is there for."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.process import Life
from tests.chaos.state import LOADING, TOKEN, Interaction, Message, State
from tests.chaos.verdict import Row, verdict

if sys.platform != "linux":
    pytest.skip("it reads /proc and limits processes", allow_module_level=True)

from tests.chaos.run import run


async def test_nothing_is_lost_twice_or_left(tmp_path: Path) -> None:
    result = await run(tmp_path, 12.0, seed=5)
    assert result.faults == []


def message(state: State, *custom_ids: str, picture: bool = True, **values: Any) -> Message:
    controls = [{"type": 2, "custom_id": each} for each in custom_ids]
    wire = {"flags": 0, "attachments": ["x"] if picture else [], "components": controls}
    made = Message(state.new_id(), 501, wire, nonce="1-a", **values)
    state.messages[made.id] = made
    state.show(made)
    return made


def test_what_the_verdict_finds() -> None:
    state = State(random.Random(1))
    twice = [message(state, "p:more:1") for _ in range(2)]
    waiting = message(state, "p:cancel:2", picture=False)
    empty = message(state, "p:retry:4", picture=False)
    message(state, "p:more:5")
    forgotten = Interaction(2, "secret2", 22, 501, 2, "imagine", 0.0)
    message(state, "p:more:7", asked=forgotten)
    state.forgotten[22] = state.jobs[7][1] + 1
    message(state, "p:more:8", asked=forgotten)
    state.jobs[8] = (22, state.forgotten[22] + 60)
    asked = Interaction(1, "secret1", 21, 501, 2, "queue", 0.0)
    state.interactions["secret1"] = asked
    message(state, picture=False, asked=asked).wire["flags"] = LOADING
    found = [
        Row(1, "delivered", False, twice[0].id),
        Row(2, "running", False, waiting.id),
        Row(3, "failed", True, None),
        Row(4, "delivered", False, empty.id),
        Row(6, "failed", False, empty.id),
    ]
    log = f"{TOKEN}\nsecret1\nTraceback (most recent call last):\n  File x\nKeyError: 1\n"
    lives = [Life(1, 0.0, code=1), Life(2, 0.0, code=-9, ended_by=signal.SIGTERM)]
    lives.append(Life(3, 0.0, [50.0] * 90 + [150.0] * 40, -9, signal.SIGKILL))
    said = "\n".join(verdict(state, found, log, lives, []))
    for fault in (
        "job 1 was delivered 2 times",
        "job 2 is left running",
        "goes on showing job 2 as waiting",
        "job 3 is failed, and nobody was told",
        "job 4 is delivered, and its message has no picture",
        "jobs 4 and 6 are in one message",
        "job 5 was accepted and is lost",
        "job 8 was accepted and is lost",
        "goes on thinking about queue",
        "the bot's token is in the log",
        "1 tokens of interactions are in the log",
        "1 tracebacks: Traceback (most recent call last): / File x / KeyError: 1",
        "bot 0 ended by itself with 1",
        "bot 1 was asked to stop and ended with -9",
        "bot 2 grew from 50 to 150 MiB",
    ):
        assert fault in said
    assert "job 7" not in said, "its member asked to be forgotten"
