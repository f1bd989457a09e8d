"""Following an accepted job to its end: its live post, its pictures, its delivery.

Each job has its own task, which ends with exactly one post; a delivery that fails is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from bot.answers import DISCORD_ERRORS
from bot.errors import expected
from bot.exceptions import Gone, NotAllowed
from bot.gate.gate import Gate
from bot.posts.delivery import Delivery
from bot.posts.live import EngineState, LivePost
from bot.posts.log_channel import LogChannel
from bot.store import Job, Store
from core.errors import PenultimateError
from core.events import Cancelled, Failed, Finished, Image, Started
from core.notes import Note
from core.serving.ticket import Ticket
from core.sheets.sheet import pictures_of

log = logging.getLogger(__name__)

# In seconds; Discord allows edits through an interaction for 15 minutes.
LATE_AFTER: Final = 12 * 60.0
# Seconds before each retry of a delivery that failed at Discord; after the last, the next start.
RETRIES: Final = (5.0, 30.0, 120.0, 600.0)
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

    def begin(self, job: Job, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run one of the coroutines below in the job's own task."""
        task = asyncio.create_task(coroutine, name=f"job {job.id}")
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def stop(self, job_ids: Iterable[int] | None = None) -> None:
        """Stop following these jobs, or all; after this returns nothing more is sent of them."""
        ids = list(self._tasks) if job_ids is None else job_ids
        tasks = [self._tasks[job_id] for job_id in ids if job_id in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def live_post(self, job: Job) -> LivePost:
        """The job's post while it waits and runs."""
        edit = partial(self._delivery.edit, job.id)
        late_at = job.created_at + LATE_AFTER
        return LivePost(job, edit, self.engine_state, late=lambda: self._clock() > late_at)

    async def follow(
        self,
        job: Job,
        ticket: Ticket,
        post: LivePost,
        notes: tuple[Note, ...],
        limit: int | None = None,
    ) -> None:
        """Show the job's events and deliver its result, with files of at most ``limit`` bytes."""
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
        except Exception as error:
            # A bug, or a full disk: the member needs an answer.
            await self.ended(job, expected(error))

    async def finished(
        self, job: Job, images: Sequence[Image], notes: tuple[Note, ...], limit: int | None
    ) -> None:
        """Write the pictures of a job, then deliver them."""
        if job.sheet is not None:
            images = await asyncio.to_thread(pictures_of, job.sheet, job.request, images)
        try:
            spoiler = await self._gate.hidden(job.guild_id, images)
        except NotAllowed as error:
            await self.ended(job, error)
            return
        if not await self._store.jobs.finish(job.id, images, notes, spoiler=spoiler):
            return
        finished = await self._store.jobs.get(job.id)
        if finished is not None:
            await self.deliver(finished, limit)

    async def ended(self, job: Job, error: PenultimateError | None) -> None:
        """End a job without a picture: tell the member first, so that a crash repeats it."""
        await self._retry(job, lambda: self._delivery.tell_ended(job, error))
        if error is None:
            await self._store.jobs.set_state(job.id, "cancelled")
        else:
            # With the details for the owner that the member's sentence leaves out.
            log.info("job %d failed: %s", job.id, error)
            await self._store.jobs.fail(job.id, error)

    def resume_delivery(self, job: Job) -> None:
        """Deliver a job that the bot's last run could not, unless it is too old."""
        if self._clock() - (job.finished_at or job.created_at) < GIVE_UP_AFTER:
            self.begin(job, self.deliver(job))

    async def deliver(self, job: Job, limit: int | None = None) -> None:
        """Send the stored pictures, or an error if their files are missing."""
        try:
            await self._retry(job, lambda: self._delivery.deliver(job, limit))
            await self._log_channel.note(job.id)
        except FileNotFoundError:
            await self._retry(job, lambda: self._delivery.tell_ended(job, Gone("picture")))
            await self._store.jobs.set_state(job.id, "delivered")

    async def _retry(self, job: Job, send: Callable[[], Awaitable[object]]) -> None:
        """Send; while Discord or the network fails, wait and send again."""
        for wait in (*RETRIES, None):
            try:
                await send()
                return
            except FileNotFoundError:
                raise
            except DISCORD_ERRORS as error:
                log.warning("job %d could not be delivered: %s", job.id, error)
            if wait is not None:
                await asyncio.sleep(wait)
