"""What must be so after all of it: each sentence that :func:`verdict` returns is a fault."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from tests.chaos.process import Life
from tests.chaos.state import CHANNELS, GUILD_ID, LOADING, TOKEN, Message, State

ENDED: Final = ("delivered", "failed", "cancelled")
# MiB by which a process may grow after its first half minute.
GROWTH: Final = 40.0
# Seconds around the end of a bot in which what it had begun may stay undone.
AROUND_AN_END: Final = 30.0
# In tracebacks of the engine's stub: a prompt asked for it, or it could not write its own notes.
MEANT: Final = ("nobody knows this", "tests/stub_engine.py", "tests/chaos/engine.py")


@dataclass(frozen=True)
class Row:
    """What the bot wrote of a job."""

    id: int
    state: str
    untold: bool
    message_id: int | None
    parent_id: int | None = None


def rows(database: Path) -> list[Row]:
    """Every job's. Raises :class:`sqlite3.OperationalError` while there is no database."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT id, state, untold, message_id, parent_id FROM jobs")
        return [Row(*each) for each in found]


def settled(database: Path) -> bool:
    """Whether nothing is left to do."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (left,) = connection.execute("SELECT count(*) FROM farewells").fetchone()
        return not left and all(row.state in ENDED and not row.untold for row in rows(database))
    except sqlite3.OperationalError:
        return False


def verdict(
    state: State, found: list[Row], log: str, lives: list[Life], gaps: list[float]
) -> list[str]:
    """Every fault, in a sentence."""
    return [
        *_of_jobs(state, {row.id: row for row in found}),
        *_of_messages(state, gaps),
        *_of_the_log(state, log),
        *_of_processes(lives),
        *(f"the stand-in for Discord lacks {each}" for each in sorted(state.unknown)),
    ]


def _of_jobs(state: State, found: dict[int, Row]) -> Iterator[str]:
    for job in sorted(state.jobs.keys() - found.keys() - state.deleted_jobs):
        owner, seen = state.jobs[job]
        # What a member had when they asked to be forgotten is gone, and what came beside it.
        if owner not in state.forgotten or seen > state.forgotten[owner] + AROUND_AN_END:
            yield f"job {job} was accepted and is lost"
    taken: dict[int, int] = {}
    parents = {row.parent_id for row in found.values()}
    for row in found.values():
        if row.state not in ENDED:
            yield f"job {row.id} is left {row.state}"
        elif row.untold:
            yield f"job {row.id} is {row.state}, and nobody was told"
        elif row.id not in state.deleted_jobs:
            if row.message_id is None:
                # Its post is another's: one that took its place, or whose place it was to take.
                if row.id not in parents and not (row.state == "cancelled" and row.parent_id):
                    yield f"job {row.id} is {row.state} in no message"
                continue
            if (other := taken.setdefault(row.message_id, row.id)) != row.id:
                yield f"jobs {other} and {row.id} are in one message"
            yield from _of_ending(row, state.messages.get(row.message_id))


def _of_ending(row: Row, message: Message | None) -> Iterator[str]:
    if message is None:
        yield f"job {row.id} is {row.state} in no message"
    elif message.deleted == "bot":
        yield f"job {row.id} is {row.state} in a message that the bot deleted: {message.trail}"
    elif row.state == "delivered" and row.id not in message.shown:
        yield f"job {row.id} is delivered, and its message has no picture"


def _of_messages(state: State, gaps: list[float]) -> Iterator[str]:
    shown: dict[int, list[Message]] = defaultdict(list)
    for message in state.alive():
        if _out_of_reach(message):
            continue
        near = message.asked is not None and any(
            abs(gap - message.asked.sent) < AROUND_AN_END for gap in gaps
        )
        for job in message.live:
            yield f"message {message.id} goes on showing job {job} as waiting: {message.trail}"
        for job in message.shown:
            shown[job].append(message)
        asked = message.asked
        thinking = message.wire["flags"] & LOADING
        if thinking and asked is not None and not asked.hurt and not near:
            yield f"message {message.id} goes on thinking about {asked.name}"
    for job, messages in shown.items():
        if len(messages) > 1:
            routes = [each.asked.name if each.asked else each.nonce for each in messages]
            yield f"job {job} was delivered {len(messages)} times: {routes}"


def _out_of_reach(message: Message) -> bool:
    """Whether only a token that has ended could change the message."""
    elsewhere = CHANNELS.get(message.channel_id, GUILD_ID) != GUILD_ID
    ended = message.asked is not None and message.asked.expired
    return ended and (message.ephemeral or elsewhere)


def _of_the_log(state: State, log: str) -> Iterator[str]:
    if TOKEN in log:
        yield "the bot's token is in the log"
    if leaked := {match for match in re.findall(r"secret\w+", log) if match in state.interactions}:
        yield f"{len(leaked)} tokens of interactions are in the log"
    ends: Counter[str] = Counter()
    for traceback in re.split(r"^(?=Traceback)", log, flags=re.MULTILINE)[1:]:
        lines = traceback.splitlines()
        end = next((i for i, line in enumerate(lines) if i and line[:1].strip()), len(lines) - 1)
        if not any(each in traceback for each in MEANT):
            ends[" / ".join(line.strip() for line in lines[max(0, end - 3) : end + 1])] += 1
    yield from (f"{count} tracebacks: {ended}" for ended, count in ends.items())


def _of_processes(lives: list[Life]) -> Iterator[str]:
    for number, life in enumerate(lives):
        if life.ended_by is None and life.code != 2:
            yield f"bot {number} ended by itself with {life.code}"
        # Before it handles SIGTERM it ends by that.
        if life.ended_by is signal.SIGTERM and life.code not in (0, 2, -signal.SIGTERM):
            yield f"bot {number} was asked to stop and ended with {life.code}"
        early, late = life.memory[30:45], life.memory[-15:]
        if len(life.memory) >= 75 and fmean(late) - fmean(early) > GROWTH:
            yield f"bot {number} grew from {fmean(early):.0f} to {fmean(late):.0f} MiB"
