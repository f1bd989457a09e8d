"""Deletes the messages that the farewells table lists: old posts, and those of deleted jobs.

In the background, until each is gone: also what Discord refuses once, and after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import Final

import discord

from bot.answers import DISCORD_ERRORS
from bot.posts.sender import Sender, is_gone
from bot.store import MessagePlace, Store

log = logging.getLogger(__name__)

# Seconds until what Discord refused, or could not take, is tried again.
PAUSE: Final = 1_800.0
# Refusals after which a message stays: the bot may delete nothing there.
REFUSALS: Final = 5


@dataclass(eq=False)
class Farewells:
    """The task that deletes; :meth:`wake` it when a message was listed."""

    _store: Store
    _sender: Sender
    _listed: bool = field(default=False, init=False)
    # When Discord refused each, by the loop's clock: it is not asked again at every wake.
    _refused: dict[MessagePlace, float] = field(default_factory=dict, init=False)
    _pause: asyncio.Future[None] | None = field(default=None, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    def wake(self) -> None:
        """Start the task, or let it look at once."""
        self._listed = True
        if self._pause is not None:
            self._pause.cancel()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="posts to delete")

    async def close(self) -> None:
        """Stop; the next start goes on with what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while await self._tried():
            if self._listed:
                continue
            self._pause = asyncio.ensure_future(asyncio.sleep(PAUSE))
            try:
                await asyncio.wait({self._pause})
            finally:
                self._pause.cancel()

    async def _tried(self) -> bool:
        try:
            return await self._pass()
        except sqlite3.Error as error:
            log.error("messages to be deleted remain for now: %s", error)
            return True

    async def _pass(self) -> bool:
        """Try to delete each message once; False when none is left."""
        self._listed = False
        now = asyncio.get_running_loop().time()
        self._refused = {each: at for each, at in self._refused.items() if now - at < PAUSE}
        tried = set(self._refused)
        while places := set(await self._store.posts.to_delete(50 + len(tried))) - tried:
            for place in places:
                tried.add(place)
                if not await self._delete(place):
                    return True
        return bool(await self._store.posts.to_delete(1))

    async def _delete(self, place: MessagePlace) -> bool:
        """Delete one message; False while Discord or the network fails."""
        try:
            await self._sender.delete_now(place)
        except DISCORD_ERRORS as error:
            if not isinstance(error, discord.HTTPException) or error.status >= 500:
                log.warning("messages to be deleted remain for now: %s", error)
                return False
            if not is_gone(error):
                log.info("message %d could not be deleted: %s", place.message_id, error)
                self._refused[place] = asyncio.get_running_loop().time()
                await self._store.posts.refused(place, REFUSALS)
                return True
        await self._store.posts.gone(place)
        return True
