"""The Discord client: opens the store and the engine, loads the cogs, hands presses on.

It answers before the engine is warm: nothing here waits for torch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import discord
from discord import app_commands
from discord.ext import commands

from bot.actions.delete import Delete
from bot.actions.derive import Derive
from bot.actions.dispatch import Dispatch
from bot.actions.knobs import Knobs
from bot.actions.more import More
from bot.actions.retry import Retry
from bot.actions.sheet import Cells
from bot.actions.vaes import Vaes
from bot.answers import DISCORD_ERRORS, Interaction, refuse
from bot.gate.classifier import Classifier
from bot.gate.gate import Gate
from bot.gate.visibility import Visibility
from bot.jobs.accepting import Accepting
from bot.jobs.following import Following
from bot.jobs.jobs import Jobs
from bot.posts.controls import Control, Standing
from bot.posts.delivery import Delivery
from bot.posts.log_channel import LogChannel
from bot.posts.sender import Sender
from bot.settings import Settings
from bot.store import Store
from bot.translate import CatalogueTranslator
from core.config import EngineConfig
from core.models.catalogue import Catalogue
from core.serving.client import EngineClient, EngineStatus
from core.serving.queue import GpuQueue

log = logging.getLogger(__name__)

# There is no voice here, so nobody need hear that its libraries lack.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False

# None of them is privileged: the bot reads no messages and no member lists.
INTENTS: Final = discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True)

# Every command, unless it says otherwise: added to a server or to an account, used anywhere.
INSTALLS: Final = app_commands.AppInstallationType(guild=True, user=True)
CONTEXTS: Final = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)

# What the invite link asks for, and nothing more.
PERMISSIONS: Final = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    read_message_history=True,
)


class EngineHandle(Protocol):
    """What the bot needs of an ``EngineClient``. Tests have one in memory."""

    @property
    def status(self) -> EngineStatus:
        """Where the engine stands now."""
        ...

    async def start(self) -> None:
        """Begin serving the queue. Returns before the engine is warm."""
        ...

    async def close(self) -> None:
        """Stop serving; jobs that are left fail."""
        ...


class Commands(app_commands.CommandTree["Penultimate"]):
    """Answers what a command raised, in the member's language."""

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Before every command, menu and autocomplete."""
        self.client.gate.address(interaction)
        return True

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        """One sentence, for who used the command."""
        await refuse(interaction, error)


class Penultimate(commands.AutoShardedBot):
    """The bot: builds the parts, in the order in which they need each other, and holds them.

    ``engine``, ``queue`` and ``catalogue`` make what it draws with. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Callable[[EngineConfig, GpuQueue], EngineHandle] = EngineClient,
        queue: Callable[[int, int], GpuQueue] = GpuQueue,
        catalogue: Callable[[Settings], Catalogue] = Settings.catalogue,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=Commands,
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=INSTALLS,
            allowed_contexts=CONTEXTS,
            **options,
        )
        self.settings = settings
        self.clock = clock
        self._make_engine = engine
        self._make_queue = queue
        self._make_catalogue = catalogue

    async def setup_hook(self) -> None:
        """After the login, before the gateway: everything the first command needs."""
        settings = self.settings
        self.store = await Store.open(settings.database_path, settings.images_dir, self.clock)
        self.catalogue = await asyncio.to_thread(self._make_catalogue, settings)
        self.queue = self._make_queue(settings.queue_per_member, settings.queue_total)
        self.engine = self._make_engine(settings.engine_config(), self.queue)
        await self.engine.start()
        self._build()
        self.add_dynamic_items(Control, Standing)
        await self.load_extension("cogs.every")
        await self.tree.set_translator(CatalogueTranslator())
        await self._sync_commands()
        await self.jobs.resume()

    def _build(self) -> None:
        store, catalogue, limits = self.store, self.catalogue, self.settings.limits
        threshold = self.settings.nsfw_threshold / 100
        classifier = Classifier(self.settings.nsfw_model, threshold, self.settings.nsfw_labels)
        self.gate = gate = Gate(store, catalogue, limits, classifier)
        self.visibility = visibility = Visibility(store, self)
        self.delivery = delivery = Delivery(Sender(self, self.clock), store, catalogue)
        following = Following(
            store,
            gate,
            delivery,
            LogChannel(self, store),
            lambda: self.engine.status.state,
            self.clock,
        )
        accepting = Accepting(store, self.queue, gate, delivery, following)
        self.jobs = jobs = Jobs(
            store, self.queue, catalogue, limits, gate, delivery, following, accepting
        )
        self.retry = retry = Retry(catalogue, gate)
        self.derive = Derive(jobs, gate, retry)
        self.actions = Dispatch(store, gate, visibility)
        self.actions.add(
            retry,
            Knobs(jobs, visibility, retry),
            Vaes(jobs, catalogue, retry),
            Cells(jobs),
            More(store, catalogue, visibility, delivery, retry),
            self.derive,
            Delete(jobs, visibility),
        )

    async def close(self) -> None:
        """Leave Discord, then let go: first of the jobs, which are resumed, then of the engine."""
        await super().close()
        # In the order of setup_hook backwards, as far as that came.
        if hasattr(self, "jobs"):
            await self.jobs.close()
            self.gate.classifier.close()
        if hasattr(self, "engine"):
            await self.engine.close()
        if hasattr(self, "store"):
            await self.store.close()

    async def reload_catalogue(self) -> None:
        """Look through the folders of models and VAEs again; what is found holds at once."""
        self.catalogue.update(await asyncio.to_thread(self._make_catalogue, self.settings))

    async def on_interaction(self, interaction: Interaction) -> None:
        """Submitted modals, by their id: those of before a restart are unknown to discord.py."""
        if interaction.type is discord.InteractionType.modal_submit:
            await self.actions.press(interaction)

    @property
    def invite_url(self) -> str:
        """The link that adds the bot to a server, with the least it needs."""
        assert self.application_id is not None
        return discord.utils.oauth_url(
            self.application_id,
            permissions=PERMISSIONS,
            scopes=("bot", "applications.commands"),
        )

    async def _sync_commands(self) -> None:
        """Tell Discord our commands: to one server at once, or everywhere."""
        guild = discord.Object(self.settings.guild_id) if self.settings.guild_id else None
        if guild is not None:
            self.tree.copy_global_to(guild=guild)
        try:
            await self.tree.sync(guild=guild)
        except DISCORD_ERRORS as error:
            # The commands of the last start are still there, and work.
            log.error("Discord did not take the commands: %s", error)
