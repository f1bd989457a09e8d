"""Following an accepted job to its end: its live post, its pictures, its delivery.

Each job has its own task, and one more for its delivery: it may take a week of attempts, and must
hold neither the images nor the start image meanwhile. They end with exactly one post.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

import discord

from bot.answers import DISCORD_ERRORS
from bot.errors import expected
from bot.exceptions import Gone, NotAllowed, NotSaved
from bot.gate.gate import Gate
from bot.posts.delivery import Delivery
from bot.posts.live import EngineState, LivePost
from bot.posts.log_channel import LogChannel
from bot.store import Job, Store
from bot.store.written import until_written
from core.errors import PenultimateError
from core.events import Cancelled, Failed, Finished, Image, Started
from core.notes import Note
from core.serving.ticket import Ticket
from core.sheets.sheet import pictures_of

log = logging.getLogger(__name__)

# In seconds; Discord allows edits through an interaction for 15 minutes.
LATE_AFTER: Final = 12 * 60.0
# Seconds before each retry of a delivery that failed at Discord, and before all after those.
RETRIES: Final = (5.0, 30.0, 120.0, 600.0)
SLOWLY: Final = 1_800.0
# Seconds after which an undelivered picture is of no interest to its member.
GIVE_UP_AFTER: Final = 7 * 86_400.0


@dataclass(eq=False)
class Following:
    """The tasks that follow jobs, by the job's id. ``clock`` gives Unix seconds."""

    _store: Store
    _gate: Gate
    _delivery: Delivery
    _log_channel: LogChannel
    engine_state: Callable[[], EngineState]
    _clock: Callable[[], float]
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _pauses: set[asyncio.Future[None]] = field(default_factory=set, init=False)

    def begin(self, job_id: int, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run one of the coroutines below in a task, which is the job's from now on."""

        def done(task: asyncio.Task[None]) -> None:
            if self._tasks.get(job_id) is task:
                del self._tasks[job_id]

        task = asyncio.create_task(coroutine, name=f"job {job_id}")
        self._tasks[job_id] = task
        task.add_done_callback(done)

    async def stop(self, job_ids: Iterable[int] | None = None) -> None:
        """Stop following these jobs, or all; after this returns nothing more is sent of them."""
        ids = list(self._tasks) if job_ids is None else job_ids
        tasks = [self._tasks[job_id] for job_id in ids if job_id in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def live_post(self, job: Job, before: Sequence[discord.MediaGalleryItem] = ()) -> LivePost:
        """The job's post while it waits and runs, with what it shows ``before`` the result."""
        edit = partial(self._delivery.edit, job.id)
        late_at = job.created_at + LATE_AFTER
        return LivePost(
            job, edit, self.engine_state, late=lambda: self._clock() > late_at, before=before
        )

    async def follow(
        self,
        job: Job,
        ticket: Ticket,
        post: LivePost,
        notes: tuple[Note, ...],
        limit: int | None = None,
    ) -> None:
        """Show the job's events, then begin to deliver its result, with files of at most ``limit``
        bytes."""
        try:
            async for event in ticket:
                match event:
                    case Finished(images=images):
                        await self.finished(job, images, notes + event.notes, limit)
                    case Failed(error=error):
                        await self.ended(job, error)
                    case Cancelled():
                        await self.ended(job, None)
                    case _:
                        if isinstance(event, Started):
                            await self._store.jobs.set_state(job.id, "running")
                        await post.show(event)
        except (sqlite3.Error, OSError) as error:
            log.error("job %d could not be saved: %s", job.id, error)
            await self.ended(job, NotSaved())
        except Exception as error:
            # A bug: the member needs an answer.
            await self.ended(job, expected(error))

    async def follow_again(self, job: Job, ticket: Ticket) -> None:
        """Follow a job that a restart interrupted, with its post if that was sent and not noted."""
        try:
            job = await self._delivery.found(job)
        except (sqlite3.Error, *DISCORD_ERRORS) as error:
            # The result is delivered without it, and looks for it again.
            log.info("job %d: its post was not found: %s", job.id, error)
        await self.follow(job, ticket, self.live_post(job), ())

    async def finished(
        self, job: Job, images: Sequence[Image], notes: tuple[Note, ...], limit: int | None
    ) -> None:
        """Write the pictures of a job, then begin to deliver them."""
        if job.sheet is not None:
            images = await asyncio.to_thread(pictures_of, job.sheet, job.request, images)
        try:
            spoiler = await self._gate.hidden(job.guild_id, images)
        except NotAllowed as error:
            await self.ended(job, error)
            return
        await self._store.jobs.finish(job.id, images, notes, spoiler=spoiler)
        # It may have been cancelled as its picture came.
        await self._begin_sending(job.id, limit)

    async def ended(self, job: Job, error: PenultimateError | None) -> None:
        """End a job without a picture: write it, then begin to tell the member, who may hear it
        twice but never of what is not so after a crash."""
        if error is not None:
            # With the details for the owner that the member's sentence leaves out.
            log.info("job %d failed: %s", job.id, error)
        try:
            await self._store.jobs.end(job.id, error)
            await self._begin_sending(job.id)
        except (sqlite3.Error, OSError) as failure:
            log.error("the end of job %d is not written yet: %s", job.id, failure)
            self.begin(job.id, self._tell_unwritten(job.id, error))

    async def _begin_sending(self, job_id: int, limit: int | None = None) -> None:
        written = await self._store.jobs.get(job_id)
        if written is not None:
            self.begin_sending(written, limit)

    def begin_sending(self, job: Job, limit: int | None = None, *, again: bool = False) -> None:
        """Begin to deliver or tell what became of a job, as its row says; ``again`` where the
        bot's last run may have sent it: then no picture that is too old."""
        since = job.finished_at or job.created_at
        if job.untold:
            self.begin(job.id, self.tell(job.id, since, again=again))
        elif job.state == "finished" and again and self._too_old(since):
            self.begin(job.id, self._give_up(job.id))
        elif job.state == "finished":
            self.begin(job.id, self.deliver(job.id, since, limit, again=again))

    async def _tell_unwritten(self, job_id: int, error: PenultimateError | None) -> None:
        await self._retry(job_id, self._clock(), partial(self._tell, error))
        await until_written(lambda: self._store.jobs.end(job_id, error))
        await until_written(lambda: self._store.jobs.told(job_id))

    async def tell(self, job_id: int, since: float, *, again: bool = False) -> None:
        """Tell the member that a job ended without a picture, until that arrives; ``since`` and
        ``again`` as for :meth:`deliver`."""

        async def send(job: Job, again: bool) -> bool:
            return await self._tell(job.error, job, again)

        await self._retry(job_id, since, send, again)
        await until_written(lambda: self._store.jobs.told(job_id))

    async def _tell(self, error: PenultimateError | None, job: Job, again: bool) -> bool:
        return await self._delivery.tell_ended(job, error, again=again)

    async def deliver(
        self, job_id: int, since: float, limit: int | None = None, *, again: bool = False
    ) -> None:
        """Send the stored pictures, or an error if they cannot be read.

        The job ended at ``since``, in Unix seconds; ``again`` where it may have been sent before.
        """
        failure: PenultimateError | None = None
        sent = False

        async def send(job: Job, again: bool) -> bool:
            return await self._delivery.deliver(job, limit, again=again)

        try:
            sent = await self._retry(job_id, since, send, again)
        except FileNotFoundError:
            failure = Gone("picture")
        except Exception as error:
            # A bug: the member needs an answer, and only once.
            failure = expected(error)
        if failure is not None:
            await self._retry(job_id, since, partial(self._tell, failure), again)
        if sent:
            await self._log_channel.note(job_id)
        else:
            await self._give_up(job_id)

    async def _give_up(self, job_id: int) -> None:
        """Write that it is tried no more: it is kept no longer than what was delivered."""
        await until_written(lambda: self._store.jobs.set_state(job_id, "delivered"))

    def reconnected(self) -> None:
        """Send at once what waits for Discord to be back."""
        for pause in self._pauses:
            pause.cancel()

    async def _retry(
        self,
        job_id: int,
        since: float,
        send: Callable[[Job, bool], Awaitable[bool]],
        again: bool = False,
    ) -> bool:
        """Send until it arrives; False when the job is too old. ``send(job, again)`` is given the
        job as it is then, and told whether it may have been sent already."""
        for wait in chain(RETRIES, repeat(SLOWLY)):
            try:
                if await self._attempt(job_id, send, again):
                    return True
                # No route took it: a channel that is closed today, or a member's messages.
                wait = SLOWLY
            except FileNotFoundError:
                raise
            except (sqlite3.Error, *DISCORD_ERRORS) as error:
                log.warning("job %d could not be delivered: %s", job_id, error)
            if self._too_old(since):
                break
            again = True
            await self._pause(wait)
        log.warning("job %d is not sent any more: Discord did not take it for a week", job_id)
        return False

    async def _attempt(
        self, job_id: int, send: Callable[[Job, bool], Awaitable[bool]], again: bool
    ) -> bool:
        job = await self._store.jobs.get(job_id)
        # One that is deleted has nothing to send.
        return job is None or await send(job, again)

    async def _pause(self, seconds: float) -> None:
        """Wait, at most until Discord is back."""
        pause = asyncio.ensure_future(asyncio.sleep(seconds))
        self._pauses.add(pause)
        try:
            await asyncio.wait({pause})
        finally:
            self._pauses.discard(pause)
            pause.cancel()

    def _too_old(self, since: float) -> bool:
        return self._clock() - since >= GIVE_UP_AFTER
