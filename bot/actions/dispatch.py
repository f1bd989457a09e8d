"""The one way from a ``custom_id`` to what it means: to the method marked with its action.

An action's name stands in posts for ever: add, never rename.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import discord

from bot.answers import Interaction, payload, refuse
from bot.exceptions import Gone
from bot.gate.gate import Gate
from bot.gate.visibility import Visibility
from bot.posts.controls import PATTERN, STANDING
from bot.store import Job, Store

# The largest number of SQLite's.
MAX_NUMBER: Final = 2**63 - 1

# What the press on a control or the submit of a form does: of a job, with the number at the end of
# the custom_id; and of no job.
OfJob = Callable[[Interaction, Job, int | None], Awaitable[None]]
OfNoJob = Callable[[Interaction, int | None], Awaitable[None]]

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])
_MARKS: Final = "__actions__"


def control(*actions: str, **first: Any) -> Callable[[Method], Method]:
    """Mark a method as what these controls of a job do; by keyword, with a first argument each."""
    return _marking("controls", actions, first)


def form(*actions: str, **first: Any) -> Callable[[Method], Method]:
    """The same for the submit of a job's form."""
    return _marking("forms", actions, first)


def standing(*actions: str, **first: Any) -> Callable[[Method], Method]:
    """The same for a control or a form that belongs to no job."""
    return _marking("standing", actions, first)


def _marking(
    table: str, actions: Iterable[str], first: Mapping[str, Any]
) -> Callable[[Method], Method]:
    marks: list[tuple[str, str, tuple[Any, ...]]] = [(table, action, ()) for action in actions]
    marks += [(table, action, (value,)) for action, value in first.items()]

    def mark(method: Method) -> Method:
        setattr(method, _MARKS, marks)
        return method

    return mark


@dataclass(eq=False)
class Dispatch:
    """Finds the job and the action, looks whether the member may see the job, and does it."""

    _store: Store
    _gate: Gate
    _visibility: Visibility
    controls: dict[str, OfJob] = field(default_factory=dict, init=False)
    forms: dict[str, OfJob] = field(default_factory=dict, init=False)
    standing: dict[str, OfNoJob] = field(default_factory=dict, init=False)

    def add(self, *parts: object) -> None:
        """Take over the actions that the methods of ``parts`` are marked with."""
        for part in parts:
            for attribute in dir(type(part)):
                method = getattr(type(part), attribute, None)
                for table, action, first in getattr(method, _MARKS, ()):
                    assert action not in getattr(self, table), action
                    getattr(self, table)[action] = partial(getattr(part, attribute), *first)

    async def press(self, interaction: Interaction) -> None:
        """Do what a control or a form asks for, and answer what goes wrong."""
        self._gate.address(interaction)
        try:
            await self._act(interaction)
        except Exception as error:
            await refuse(interaction, error)

    async def _act(self, interaction: Interaction) -> None:
        """A ``custom_id`` that is not ours is nobody's business here."""
        pressed = str(payload(interaction).get("custom_id"))
        if match := STANDING.fullmatch(pressed):
            number = int(match["number"]) if match["number"] else None
            act = self.standing.get(match["action"] or match["models"])
            # Nothing of ours has a number that the database could not hold.
            if act is None or (number or 0) > MAX_NUMBER:
                raise Gone("control")
            await act(interaction, number)
        elif match := PATTERN.fullmatch(pressed):
            submitted = interaction.type is discord.InteractionType.modal_submit
            action = (self.forms if submitted else self.controls).get(match["action"])
            if action is None:
                raise Gone("control")
            job = await self._store.jobs.get(int(match["job"]))
            if job is None or not await self._reaches(interaction, job):
                raise Gone("job")
            await action(interaction, job, int(match["argument"]) if match["argument"] else None)

    async def _reaches(self, interaction: Interaction, job: Job) -> bool:
        # A log channel's moderators may take away what they have not before them.
        may_see = await self._visibility.may_see(interaction, job)
        return may_see or self._visibility.may_remove(interaction, job)
