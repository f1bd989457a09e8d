"""What stands before the one door: whether this member may make this here, now.

Asked for every job however it is made, answered from memory; only the day's account is in the
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord

from bot.answers import Interaction
from bot.exceptions import NotAllowed
from bot.gate.classifier import Classifier
from bot.ordering.resolve import Layers
from bot.rules import policy
from bot.rules.policy import Asker, Server
from bot.rules.words import QUICK
from bot.settings import Limits
from bot.store import Job
from bot.translate import speaks
from core.events import Image
from core.request import AUTOMATIC, NONE, GenerationRequest
from core.work import Work

if TYPE_CHECKING:
    from bot.client import Penultimate


class Gate:
    """Asks the server's rules, and the bot's owner's.

    ``classifier`` tells NSFW pictures; while ``draining`` nothing new is taken.
    """

    def __init__(self, bot: Penultimate, classifier: Classifier) -> None:
        self._bot = bot
        self.classifier = classifier
        self.draining = False

    def server(self, guild_id: int | None) -> Server:
        """A server's settings; in direct messages the defaults."""
        return self._bot.store.servers.get(guild_id)

    def limits(self, guild_id: int | None) -> Limits:
        """The bot's limits, with the server's where those are narrower."""
        return policy.tightened(self._bot.settings.limits, self.server(guild_id))

    def layered(self, asker: Asker, guild_id: int | None, layers: Layers) -> Layers:
        """``layers`` with the channel's and the server's values below."""
        catalogue = self._bot.catalogue
        vaes = (AUTOMATIC, NONE, *(vae.name for vae in catalogue.vaes))
        channel, server = policy.values_below(self.server(guild_id), asker, catalogue.models, vaes)
        return replace(layers, channel=channel, server=server)

    def locale(self, guild_id: int | None, member: str) -> str:
        """The member's language if the bot speaks it, else the server's."""
        return member if speaks(member) else self.server(guild_id).language or member

    async def check(
        self,
        asker: Asker,
        guild_id: int | None,
        requests: Iterable[GenerationRequest],
        *,
        drawn: bool = False,
    ) -> None:
        """Raise :class:`~bot.exceptions.NotAllowed` when this may not be made here.

        What is ``drawn`` already is only brought here."""
        if self.draining and not drawn:
            raise NotAllowed("draining")
        server = self.server(guild_id)
        policy.check_member(server, asker)
        # The cells of a sheet say mostly the same.
        requests = tuple(requests)
        for model in dict.fromkeys(request.model for request in requests):
            policy.check_model(server, asker, model)
        # Not the negative prompt: what stands there is kept out of the picture.
        await self._check_words(server, dict.fromkeys(request.prompt for request in requests))
        if server.nsfw == "block" and not self.classifier.available:
            raise NotAllowed("unchecked")

    async def _check_words(self, server: Server, prompts: Collection[str]) -> None:
        changes = any("[" in prompt for prompt in prompts)
        if server.words and (changes or sum(map(len, prompts)) > QUICK):
            await asyncio.to_thread(policy.check_words, server, prompts)
        else:
            policy.check_words(server, prompts)

    async def charge(self, asker: Asker, job: Job, work: Work) -> None:
        """Put a job that is written and not yet queued on its member's account.

        Raises :class:`~bot.exceptions.QuotaUsed` or :class:`~core.errors.QueueFull`.
        """
        if job.guild_id is None:
            return
        quota = policy.quota_of(self.server(job.guild_id), asker)
        pictures = work.cost / policy.ONE_PICTURE
        servers = self._bot.store.servers
        await servers.charge(job.id, job.guild_id, job.user_id, pictures, quota)

    async def hidden(self, job: Job, images: Sequence[Image]) -> bool:
        """Whether a drawn job is shown behind a spoiler; raises when it is not shown at all.

        A picture that cannot be looked at counts as NSFW. Raises
        :class:`~bot.exceptions.NotAllowed`.
        """
        server = self.server(job.guild_id)
        if server.nsfw not in ("spoiler", "block"):
            return server.spoiler
        if server.nsfw == "spoiler" and (server.spoiler or not self.classifier.available):
            return True
        nsfw = await self.classifier.any_nsfw([image.png for image in images])
        if nsfw is None and server.nsfw == "block":
            raise NotAllowed("unchecked")
        if nsfw and server.nsfw == "block":
            raise NotAllowed("nsfw")
        return server.spoiler or nsfw is not False


def asker_of(interaction: Interaction) -> Asker:
    """Who used a command or a control, and where."""
    return asker(interaction.user, interaction.channel)


def asker(user: discord.abc.Snowflake, channel: Any) -> Asker:
    """``user`` in ``channel``: a member with roles, where there is a server."""
    # Not Member.roles: it leaves out the roles of a server that the bot itself is no member of.
    roles = (user.guild.id, *user._roles) if isinstance(user, discord.Member) else ()
    return Asker(
        user.id,
        frozenset(roles),
        places_of(channel),
        bool(getattr(channel, "is_nsfw", bool)()),
    )


def places_of(channel: Any) -> tuple[int, ...]:
    """The channel, what a thread belongs to, and the category: wherever a rule may name it."""
    if getattr(channel, "guild", None) is None:
        return ()
    parent = channel.parent if isinstance(channel, discord.Thread) else channel
    above = (getattr(channel, "parent_id", None), getattr(parent, "category_id", None))
    return (channel.id, *(place for place in above if place is not None))
