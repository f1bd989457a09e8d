"""The Discord client: opens the store and the engine, builds the parts, loads the cogs.

It answers before the engine is warm, for nothing here waits for torch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

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
from bot.answers import Interaction, in_time, refuse
from bot.exceptions import TooFast
from bot.gate.classifier import Classifier
from bot.gate.gate import Gate
from bot.gate.visibility import Visibility
from bot.jobs.accepting import Accepting
from bot.jobs.following import Following
from bot.jobs.jobs import Jobs
from bot.posts.controls import Control, Standing
from bot.posts.delivery import Delivery
from bot.posts.farewells import Farewells
from bot.posts.live import EngineState
from bot.posts.log_channel import LogChannel
from bot.posts.sender import Sender
from bot.settings import Settings
from bot.store import Store
from bot.translate import CatalogueTranslator
from bot.upkeep.alarm import Alarm
from bot.upkeep.pace import MemberPace
from bot.upkeep.registration import Registration
from bot.upkeep.upkeep import Upkeep
from bot.watch.tally import Tally
from core.config import EngineConfig
from core.models.catalogue import Catalogue
from core.serving.client import EngineClient
from core.serving.cluster.fleet import Fleet
from core.serving.queue import GpuQueue

log = logging.getLogger(__name__)

# The bot uses no voice, so discord.py need not warn that its libraries are missing.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False

# Without privileged intents: the bot reads no messages and no member lists.
INTENTS: Final = discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True)

# The default of every command: installed on a server or an account, used anywhere.
INSTALLS: Final = app_commands.AppInstallationType(guild=True, user=True)
CONTEXTS: Final = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)

# The permissions that the invite link asks for.
PERMISSIONS: Final = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    read_message_history=True,
)


# How discord.py names the tasks of commands, controls, forms and reactions, and the seconds that
# they have when the bot stops.
ACTING: Final = ("CommandTree-invoker", "discord-ui-", "discord.py: on_")
SECONDS_TO_END: Final = 2.0


class Commands(app_commands.CommandTree["Penultimate"]):
    """The command tree, which answers errors in the member's language."""

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Set the language before every command, menu and autocompletion."""
        self.client.gate.address(interaction)
        return True

    async def _call(self, interaction: Interaction) -> None:
        """Run a command, acknowledged in time. discord.py has no public place around it."""
        await in_time(interaction, super()._call(interaction))

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        """Answer with the error's sentence."""
        await refuse(interaction, error)


class Penultimate(commands.AutoShardedBot):
    """The bot, which builds its parts in the order in which they need each other.

    ``engine`` (an :class:`EngineClient` for a device, or its substitute in tests), ``fleet``,
    ``queue`` and ``catalogue`` make what it draws with. ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Callable[[EngineConfig, GpuQueue], Any] = EngineClient,
        fleet: Callable[..., Fleet] = Fleet,
        queue: Callable[[int, int], GpuQueue] = GpuQueue,
        catalogue: Callable[[Settings], Catalogue] = Settings.catalogue,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        self.tally = Tally()
        super().__init__(
            http_trace=self.tally.trace(),
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
        self._make_fleet = fleet
        self._make_queue = queue
        self._make_catalogue = catalogue
        self.registration = Registration(self._sync_commands)
        self._pace = MemberPace()
        # Members who are being refused, with how many further uses got no answer meanwhile.
        self._refused: dict[int, int] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        parsers = self._connection.parsers
        parsers["INTERACTION_CREATE"] = partial(self._in_turn, parsers["INTERACTION_CREATE"])

    async def setup_hook(self) -> None:
        """Prepare what the first command needs, after the login and before the gateway."""
        settings = self.settings
        self.store = await Store.open(settings.database_path, settings.images_dir, self.clock)
        self.catalogue = await asyncio.to_thread(self._make_catalogue, settings)
        self.queue = self._make_queue(settings.queue_per_member, settings.queue_total)
        # Until an engine is there, jobs wait: where none comes, the next start resumes them.
        self.queue.hold()
        self.engines: list[EngineClient] = [
            self._make_engine(config, self.queue)
            for config in settings.engine_configs()
            if settings.local
        ]
        for engine in self.engines:
            await engine.start()
        self.fleet: Fleet | None = None
        if (cluster := settings.cluster_config()) is not None:
            self.fleet = self._make_fleet(*cluster, self.queue, self.engines)
            self.fleet.start()
        self._build()
        self.add_dynamic_items(Control, Standing)
        await self.load_extension("cogs.every")
        await self.tree.set_translator(CatalogueTranslator())
        await self.registration.begin()
        await self.jobs.resume()
        self.farewells.wake()
        self.upkeep.start()
        self.alarm.start()
        self._reading = asyncio.create_task(self._read_addons())

    async def _read_addons(self) -> None:
        """Read the headers that a scan had no time for; each turn keeps what it has read."""
        while self.catalogue.unread:
            await self._scan()

    def _build(self) -> None:
        store, catalogue, limits = self.store, self.catalogue, self.settings.limits
        threshold = self.settings.nsfw_threshold / 100
        classifier = Classifier(self.settings.nsfw_model, threshold, self.settings.nsfw_labels)
        self.gate = gate = Gate(store, catalogue, limits, classifier)
        self.visibility = visibility = Visibility(store, self)
        sender = Sender(self, self.clock, self.tally.delivered)
        self.farewells = Farewells(store, sender)
        self.delivery = delivery = Delivery(sender, store, catalogue, self.farewells)
        self.upkeep = Upkeep(store)
        self.alarm = Alarm(self, lambda: [engine.status for engine in self.engines])
        following = Following(
            store,
            gate,
            delivery,
            LogChannel(self, store),
            self._engine_state,
            self.clock,
        )
        accepting = Accepting(store, self.queue, gate, delivery, following)
        self.jobs = jobs = Jobs(
            store, self.queue, catalogue, limits, gate, delivery, following, accepting
        )
        self.retry = retry = Retry(catalogue, gate)
        self.derive = Derive(jobs, gate, retry, catalogue)
        self.more = More(store, catalogue, visibility, delivery, retry)
        self.actions = Dispatch(store, gate, visibility)
        self.actions.add(
            retry,
            Knobs(jobs, self.catalogue, gate, visibility, retry),
            Vaes(jobs, catalogue, retry),
            Cells(jobs),
            self.more,
            self.derive,
            Delete(jobs, visibility),
        )

    def _engine_state(self) -> EngineState:
        """Return the state of the engine that is furthest."""
        states: list[EngineState] = [engine.status.state for engine in self.engines]
        if self.fleet is not None and self.fleet.status.state != "ready":
            states.append(self.fleet.status.state)
        # A cluster without a graphics card may have one later.
        return min(
            states, key=("ready", "starting", "restarting", "stopped").index, default="starting"
        )

    async def close(self) -> None:
        """Take nothing new, let what runs end, stop following jobs, which the next start resumes,
        disconnect, then stop the engine."""
        self._connection.parsers.clear()
        await let_end()
        # Only what setup_hook got to, in reverse order.
        if hasattr(self, "_reading"):
            self._reading.cancel()
        if hasattr(self, "jobs"):
            await self.registration.close()
            await self.alarm.close()
            await self.upkeep.close()
            await self.farewells.close()
            await self.jobs.close()
            self.gate.classifier.close()
        await super().close()
        fleet: Fleet | None = getattr(self, "fleet", None)
        if fleet is not None:
            await fleet.close()
        if hasattr(self, "engines"):
            await asyncio.gather(*(engine.close() for engine in self.engines))
        if hasattr(self, "store"):
            await self.store.close()

    async def reload_catalogue(self) -> None:
        """Scan the folders of models, VAEs and add-ons again, and use what is found at once."""
        await self._scan()
        if self._reading.done():
            self._reading = asyncio.create_task(self._read_addons())

    async def _scan(self) -> None:
        self.catalogue.update(await asyncio.to_thread(self._make_catalogue, self.settings))

    async def on_interaction(self, interaction: Interaction) -> None:
        """Dispatch modals by ``custom_id``: discord.py drops those from before a restart."""
        if interaction.type is discord.InteractionType.modal_submit:
            await self.actions.press(interaction)

    async def on_ready(self) -> None:
        """Send what waits for Discord: a session began anew."""
        self.jobs.reconnected()

    async def on_resumed(self) -> None:
        """Send what waits for Discord: the session goes on."""
        self.jobs.reconnected()

    @property
    def invite_url(self) -> str:
        """The link that adds the bot to a server, with the permissions it needs."""
        assert self.application_id is not None
        return discord.utils.oauth_url(
            self.application_id,
            permissions=PERMISSIONS,
            scopes=("bot", "applications.commands"),
        )

    async def _sync_commands(self) -> None:
        """Register the commands with Discord: on one server at once, or everywhere."""
        guild = discord.Object(self.settings.guild_id) if self.settings.guild_id else None
        if guild is not None:
            self.tree.copy_global_to(guild=guild)
        await self.tree.sync(guild=guild)

    def _in_turn(self, parse: Callable[[Any], None], data: Any) -> None:
        """Hand an interaction on, unless its member uses the bot faster than anybody can by hand.

        Before discord.py makes anything of it: of a flood, one refusal at a time is answered.
        """
        user_id = int((data.get("member") or data)["user"]["id"])
        if self._pace.allows(user_id):
            parse(data)
        elif data["type"] != discord.InteractionType.autocomplete.value:
            if user_id in self._refused:
                self._refused[user_id] += 1
            else:
                self._refused[user_id] = 0
                refusing = asyncio.create_task(self._refuse(user_id, data))
                self._refusing.add(refusing)
                refusing.add_done_callback(self._refusing.discard)

    async def _refuse(self, user_id: int, data: Any) -> None:
        interaction: Interaction = discord.Interaction(data=data, state=self._connection)
        self.gate.address(interaction)
        try:
            await refuse(interaction, TooFast())
        finally:
            if unanswered := self._refused.pop(user_id):
                log.warning("member %d: %d uses too fast to be answered", user_id, unanswered)


async def let_end() -> None:
    """Let the uses of the bot that run end, and cancel those that take long."""
    acting = [
        task
        for task in asyncio.all_tasks()
        if task.get_name().startswith(ACTING) and task is not asyncio.current_task()
    ]
    if acting:
        _, late = await asyncio.wait(acting, timeout=SECONDS_TO_END)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
