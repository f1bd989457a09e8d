"""Dispatch of controls and forms: from a ``custom_id`` to the method decorated with its action.

Posts keep the names of actions for ever: add names, never rename one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import discord

from bot.answers import Interaction, in_time, payload, refuse
from bot.exceptions import Gone
from bot.gate.gate import Gate
from bot.gate.visibility import Visibility
from bot.posts.controls import PATTERN, STANDING
from bot.store import Job, Store

# SQLite's largest integer.
MAX_NUMBER: Final = 2**63 - 1

# The action of a job's control or form, which gets the argument of the ``custom_id``; and of one of
# no job, which gets its number.
OfJob = Callable[[Interaction, Job, int | None], Awaitable[None]]
OfNoJob = Callable[[Interaction, int | None], Awaitable[None]]

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


def _decorator(table: str) -> Callable[..., Callable[[Method], Method]]:
    """A decorator of methods: the names of actions, or by keyword with a first argument each."""

    def decorator(*actions: str, **first: Any) -> Callable[[Method], Method]:
        marks: list[tuple[str, str, tuple[Any, ...]]] = [(table, name, ()) for name in actions]
        marks += [(table, name, (value,)) for name, value in first.items()]

        def mark(method: Method) -> Method:
            setattr(method, _MARKS, marks)
            return method

        return mark

    return decorator


_MARKS: Final = "__actions__"
# Of a job's controls; of the submit of a job's forms; of controls and forms that belong to no job.
control, form, standing = map(_decorator, ("controls", "forms", "standing"))


@dataclass(eq=False)
class Dispatch:
    """Finds the job and the action, checks that the member may see the job, and runs the action."""

    _store: Store
    _gate: Gate
    _visibility: Visibility
    controls: dict[str, OfJob] = field(default_factory=dict, init=False)
    forms: dict[str, OfJob] = field(default_factory=dict, init=False)
    standing: dict[str, OfNoJob] = field(default_factory=dict, init=False)

    def add(self, *parts: object) -> None:
        """Register the decorated methods of ``parts``.

        A cog's ``interaction_check`` is for its controls too: a panel may stay open longer than a
        right lasts.
        """
        for part in parts:
            check = getattr(part, "interaction_check", None)
            for attribute in dir(type(part)):
                method = getattr(type(part), attribute, None)
                for table, action, first in getattr(method, _MARKS, ()):
                    assert action not in getattr(self, table), action
                    act = partial(getattr(part, attribute), *first)
                    getattr(self, table)[action] = partial(_checked, check, act) if check else act

    async def press(self, interaction: Interaction) -> None:
        """Run the action of a control or a form, and answer its errors."""
        self._gate.address(interaction)
        try:
            await in_time(interaction, self._act(interaction))
        except Exception as error:
            await refuse(interaction, error)

    async def _act(self, interaction: Interaction) -> None:
        """Run the action; a ``custom_id`` of another kind, such as a view's own, is ignored."""
        pressed = str(payload(interaction).get("custom_id"))
        if match := STANDING.fullmatch(pressed):
            number = int(match["number"]) if match["number"] else None
            act = self.standing.get(match["action"] or match["models"])
            # A larger number is made up, and the database would raise.
            if act is None or (number or 0) > MAX_NUMBER:
                raise Gone("control")
            await act(interaction, number)
        elif match := PATTERN.fullmatch(pressed):
            submitted = interaction.type is discord.InteractionType.modal_submit
            action = (self.forms if submitted else self.controls).get(match["action"])
            if action is None:
                raise Gone("control")
            job = await self._store.jobs.get(int(match["job"]))
            if job is None or not (
                # A log channel's moderators may delete what they cannot see.
                await self._visibility.may_see(interaction, job)
                or self._visibility.may_remove(interaction, job)
            ):
                raise Gone("job")
            await action(interaction, job, int(match["argument"]) if match["argument"] else None)


async def _checked(
    check: Callable[[Interaction], Any], act: Callable[..., Awaitable[None]], *arguments: Any
) -> None:
    # A cog that has no check of its own has discord.py's, which is no coroutine.
    await discord.utils.maybe_coroutine(check, arguments[0])
    await act(*arguments)
