"""The checks of every job: whether this member may make it here and now, and what is hidden.

They read from memory; only quotas are in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import discord

from bot.answers import Interaction
from bot.exceptions import NotAllowed
from bot.gate.classifier import Classifier
from bot.gate.origin import Origin
from bot.ordering.layers import BOT, Layers, layers_of
from bot.rules import policy
from bot.rules.server import Server
from bot.rules.words import QUICK
from bot.settings import Limits
from bot.store import Job, Store
from bot.translate import ENGLISH, speaks
from core.events import Image
from core.models.catalogue import Catalogue
from core.models.uses import named_embeddings, named_networks, texts_of
from core.request import GenerationRequest
from core.work import Item, Work


@dataclass(eq=False)
class Gate:
    """Applies the server's rules and the bot owner's ``limits``.

    While ``draining`` no job is accepted.
    """

    _store: Store
    _catalogue: Catalogue
    _limits: Limits
    classifier: Classifier
    draining: bool = False

    def server(self, guild_id: int | None) -> Server:
        """A server's settings; in direct messages the defaults."""
        return self._store.servers.get(guild_id)

    def limits(self, guild_id: int | None) -> Limits:
        """The bot's limits, with the server's where those are narrower."""
        return policy.tightened(self._limits, self.server(guild_id))

    async def layers(
        self, origin: Origin, option: Mapping[str, Any], preset: str | None = None
    ) -> Layers:
        """The layers of values for a command with these options: the member's, the channel's and
        the server's.

        Raises :class:`~core.errors.UnknownName` when there is no such preset.
        """
        layers = await layers_of(self._store, origin.who.user_id, option, preset)
        settings, found = self.server(origin.guild_id), self._catalogue
        channel, server = policy.values_below(settings, origin.who, found.models, found.vae_names)
        return replace(layers, channel=channel, server=server)

    async def keeps_private(self, origin: Origin) -> bool:
        """Whether the member's pictures are private by default."""
        layers = replace(await self.layers(origin, {}), bot=BOT)
        return bool(layers.first("private")[0])

    def locale(self, guild_id: int | None, member: str) -> str:
        """The member's language if the bot speaks it, else the server's."""
        return member if speaks(member) else self.server(guild_id).language or member

    def address(self, interaction: Interaction) -> None:
        """Set the interaction to the server's language where the bot lacks the member's."""
        language = self.locale(interaction.guild_id, interaction.locale.value)
        # A locale without a catalogue gets English anyway, and "en" is none of Discord's locales.
        if language not in (interaction.locale.value, ENGLISH):
            interaction.locale = discord.Locale(language)

    async def admit(self, origin: Origin) -> None:
        """Check what needs no request, before anything is fetched for one.

        Raises :class:`~bot.exceptions.NotAllowed`, :class:`~bot.exceptions.QuotaUsed` or
        :class:`~core.errors.QueueFull`.
        """
        if self.draining:
            raise NotAllowed("draining")
        server = self.server(origin.guild_id)
        policy.check_member(server, origin.who)
        if origin.guild_id is not None:
            quota = policy.quota_of(server, origin.who)
            await self._store.servers.check(origin.guild_id, origin.who.user_id, quota)

    async def check(
        self,
        origin: Origin,
        requests: Iterable[GenerationRequest],
        *,
        drawn: bool = False,
    ) -> None:
        """Raise :class:`~bot.exceptions.NotAllowed` when these requests are not allowed here.

        Pictures ``drawn`` already are only posted here, so draining does not refuse them.
        """
        if self.draining and not drawn:
            raise NotAllowed("draining")
        server = self.server(origin.guild_id)
        policy.check_member(server, origin.who)
        # The cells of a sheet mostly have the same model and prompt, which are checked once.
        requests = tuple(requests)
        # What is only enlarged uses neither model nor add-ons.
        generated = [request for request in requests if not request.only_enlarges]
        for model in dict.fromkeys(request.model for request in generated):
            policy.check_file(server, origin.who, "model", model)
        if policy.rules_on(server, "lora") or policy.rules_on(server, "embedding"):
            # There may be thousands of files, and hundreds of prompts.
            await asyncio.to_thread(self._check_addons, server, origin.who, generated)
        # Not the negative prompts: their words are kept out of the picture.
        prompts = dict.fromkeys(
            text
            for request in requests
            for text in (request.prompt, request.hires and request.hires.prompt)
            if text
        )
        changes = any("[" in prompt for prompt in prompts)
        if server.words and (changes or sum(map(len, prompts)) > QUICK):
            await asyncio.to_thread(policy.check_words, server, prompts)
        else:
            policy.check_words(server, prompts)
        if server.nsfw == "block" and not self.classifier.available:
            raise NotAllowed("unchecked")

    def _check_addons(
        self, server: Server, who: policy.Asker, requests: Sequence[GenerationRequest]
    ) -> None:
        # The cells of a sheet mostly have the same texts.
        for request in {(each.model, *texts_of(each)): each for each in requests}.values():
            for name in named_networks(request, self._catalogue):
                policy.check_file(server, who, "lora", name)
            if policy.rules_on(server, "embedding"):
                for name in named_embeddings(request, self._catalogue):
                    policy.check_file(server, who, "embedding", name)

    def with_named(self, guild_id: int | None, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Leave only such embeddings in items as their prompts name by words of their own, where
        the server rules on embeddings: those were checked.

        An embedding is used wherever its tokens are, so that letters of another word could name
        one that is not allowed. The same holds when a job is resumed: what was accepted stays.
        """
        if not policy.rules_on(self.server(guild_id), "embedding"):
            return items

        def left(item: Item) -> Item:
            named = set(named_embeddings(item.request, self._catalogue))
            kept = tuple(each for each in item.addons.embeddings if each.name in named)
            return replace(item, addons=replace(item.addons, embeddings=kept))

        return tuple(map(left, items))

    async def charge(self, origin: Origin, job: Job, work: Work) -> None:
        """Charge a job, written and not yet queued, to its member's quota.

        Raises :class:`~bot.exceptions.QuotaUsed` or :class:`~core.errors.QueueFull`.
        """
        if job.guild_id is None:
            return
        quota = policy.quota_of(self.server(job.guild_id), origin.who)
        pictures = work.cost / policy.ONE_PICTURE
        await self._store.servers.charge(job.id, job.guild_id, job.user_id, pictures, quota)

    async def hidden(self, guild_id: int | None, images: Sequence[Image]) -> bool:
        """Whether the pictures are posted there behind a spoiler.

        One that cannot be classified counts as NSFW. Raises :class:`~bot.exceptions.NotAllowed`
        when they may not be posted.
        """
        server = self.server(guild_id)
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
