"""What the stand-in for Discord knows: messages, interactions and what became of each."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from simcord.components import walk_components

TOKEN: Final = "MTE.Gabc.x-yz_123"
BOT_ID, APPLICATION_ID, GUILD_ID, ELSEWHERE_ID = 11, 12, 500, 900
OWNER_ID, MEMBER_IDS = 21, tuple(range(21, 31))
# Two channels of the bot's server, and one of a server that it is not on.
CHANNELS: Final = {501: GUILD_ID, 502: GUILD_ID, 901: ELSEWHERE_ID}
EPHEMERAL, LOADING = 64, 128
# Of an interaction, in seconds.
TO_ANSWER, LIFETIME = 3.0, 15 * 60.0
_EPOCH: Final = 1_420_070_400_000
_JOB: Final = re.compile(r"p:([a-z_]+):(\d+)")
# The bot's own, of a job's post; discord.py gives every other message some number.
_NONCE: Final = re.compile(r"[0-9a-f]+[-+][0-9a-f]+")

By = Literal["bot", "member"]


@dataclass(eq=False)
class Interaction:
    """One use of the bot. ``name`` is the command's, or the control's ``custom_id``.

    ``acknowledged`` is the seconds until Discord took an answer, ``dead`` when its token ended
    before its time, ``hurt`` when a request about it was made to fail.
    """

    id: int
    token: str
    user_id: int
    channel_id: int
    kind: int
    name: str
    sent: float
    acknowledged: float | None = None
    dead: bool = False
    hurt: bool = False
    original: Message | None = None
    modal: dict[str, Any] | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def expired(self) -> bool:
        return self.dead or time.monotonic() - self.sent > LIFETIME


@dataclass(eq=False)
class Message:
    """``sees`` is the only one who does, if it is ephemeral or a direct message; ``asked`` what it
    answers; ``nonce`` what a message that answers nothing was sent with."""

    id: int
    channel_id: int
    wire: dict[str, Any]
    sees: int | None = None
    asked: Interaction | None = None
    nonce: str = ""
    deleted: By | None = None
    sent: float = field(default_factory=time.monotonic)
    # Jobs whose picture it showed at any time.
    shown: set[int] = field(default_factory=set)
    # What the bot did with it.
    trail: list[str] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        return bool(self.wire["flags"] & EPHEMERAL)

    @property
    def controls(self) -> list[dict[str, Any]]:
        """Its buttons and selects that can be used."""
        return [
            item
            for item in walk_components(self.wire["components"])
            if item.get("custom_id") and not item.get("disabled")
        ]

    @property
    def actions(self) -> set[tuple[str, int]]:
        """What its controls do to which jobs."""
        found = (_JOB.match(item["custom_id"]) for item in self.controls)
        return {(match[1], int(match[2])) for match in found if match}

    @property
    def live(self) -> set[int]:
        """The jobs that it shows as waiting or running."""
        return {job for action, job in self.actions if action == "cancel"}

    @property
    def copy(self) -> bool:
        """Whether somebody asked to see an older picture in it."""
        if self.asked is not None:
            return self.asked.name in ("show", "history") or self.asked.name.startswith("s:show")
        return not _NONCE.fullmatch(self.nonce)


@dataclass
class State:
    """Everything that happened. ``random`` is the stand-in's own."""

    random: random.Random
    messages: dict[int, Message] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    commands: list[dict[str, Any]] = field(default_factory=list)
    nonces: dict[tuple[int, str], Message] = field(default_factory=dict)
    # Every job that a message was about: whose use of the bot it answered, and when it was seen.
    jobs: dict[int, tuple[int | None, float]] = field(default_factory=dict)
    # Jobs that a member asked to delete.
    deleted_jobs: set[int] = field(default_factory=set)
    # Members who asked to be forgotten, with all their jobs until then; and when, the last time.
    forgotten: dict[int, float] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def new_id(self) -> int:
        return (int(time.time() * 1000) - _EPOCH) << 22 | (next(self._ids) & 0x3FFFFF)

    def alive(self) -> Iterator[Message]:
        return (message for message in self.messages.values() if message.deleted is None)

    def visible_to(self, user_id: int, newest: int = 60) -> list[Message]:
        """The newest messages that a member sees."""
        recent = itertools.islice(reversed(self.messages.values()), newest)
        return [each for each in recent if not each.deleted and each.sees in (None, user_id)]

    def show(self, message: Message) -> None:
        """Note what a message shows now."""
        seen = (message.asked.user_id if message.asked else None, time.monotonic())
        self.jobs |= {job: self.jobs.get(job, seen) for _, job in message.actions}
        if message.wire["attachments"] and not message.copy:
            message.shown |= {job for action, job in message.actions if action == "more"}
