"""/admin, for the bot's owner: its state, a search for new models, and stopping new jobs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.errors import sentence
from bot.posts.controls import layout, row, standing_button
from bot.posts.panel import text_view
from bot.store.activity import Hour
from bot.translate import listed, t, text
from bot.watch.chart import draw, duration
from core.models.catalogue import Catalogue
from core.serving.client import EngineStatus
from core.serving.cluster.fleet import FleetStatus

# A post holds 4,000 characters.
MAX_LINES: Final = 12
# So many engines have all their lines; of more, MAX_ENGINES have one each.
DETAILED: Final = 8
MAX_ENGINES: Final = 16
NAME_LENGTH: Final = 60
LINE_LENGTH: Final = 250
CHART: Final = "day.png"


# In direct messages and user installs Discord hides a command from nobody.
@app_commands.default_permissions(administrator=True)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class AdminCog(
    commands.GroupCog, group_name="admin", group_description=text("command.admin.about")
):
    """Refuses everybody but the application's owner or team: a server's admins are shown it too."""

    def __init__(self, bot: Penultimate) -> None:
        self.client: commands.AutoShardedBot = bot
        self.gate = bot.gate
        self.queue = bot.queue
        self.engines = bot.engines
        self.fleet = bot.fleet
        self.registration = bot.registration
        self.catalogue = bot.catalogue
        self.activity = bot.store.activity
        self.reload_catalogue = bot.reload_catalogue

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Let the application's owner and its team pass."""
        if not await self.client.is_owner(interaction.user):
            raise app_commands.CheckFailure
        return True

    @app_commands.command(name="status", description=text("command.admin.status"))
    async def status(self, interaction: Interaction) -> None:
        """Show the state of the queue and the engine."""
        await answers.show(interaction, *await self._state(interaction.locale))

    @app_commands.command(name="drain", description=text("command.admin.drain"))
    async def drain(self, interaction: Interaction) -> None:
        """Take no new jobs; those queued and running are finished."""
        self.gate.draining = True
        await answers.show(interaction, *await self._state(interaction.locale))

    @app_commands.command(name="restart", description=text("command.admin.restart"))
    async def restart(self, interaction: Interaction) -> None:
        """Start the engines anew; their jobs begin again."""
        for engine in self.engines:
            engine.restart()
        await answers.say(interaction, t("admin.restarting", interaction.locale))

    @app_commands.command(name="reload", description=text("command.admin.reload"))
    async def reload(self, interaction: Interaction) -> None:
        """Read the folders of models and VAEs again, and say what changed."""
        await answers.defer(interaction, ephemeral=True)
        before = replace(self.catalogue)
        await self.reload_catalogue()
        view = text_view(_changes(before, self.catalogue, interaction.locale))
        await interaction.edit_original_response(view=view)

    @standing("admin_status")
    async def _refresh(self, interaction: Interaction, _: int | None) -> None:
        view, files = await self._state(interaction.locale)
        await answers.change(interaction, view, files)

    @standing("admin_drain")
    async def _drain(self, interaction: Interaction, drain: int | None) -> None:
        self.gate.draining = bool(drain)
        view, files = await self._state(interaction.locale)
        await answers.change(interaction, view, files)

    async def _state(self, locale: Locale) -> tuple[ui.LayoutView, list[discord.File]]:
        """The state as text, the last day as a chart, and the buttons."""
        hours = await self.activity.day()
        chart = discord.File(io.BytesIO(await asyncio.to_thread(draw, hours)), CHART)
        said = _day(hours, locale)
        item = discord.MediaGalleryItem(f"attachment://{CHART}", description=said)
        gallery = ui.MediaGallery[ui.LayoutView](item)
        lines = [*self._status(locale), said]
        draining = self.gate.draining
        label = t("admin.take_again" if draining else "admin.drain", locale)
        style = discord.ButtonStyle.primary if draining else discord.ButtonStyle.danger
        drain = standing_button(label, "admin_drain", int(not draining), style=style)
        refresh = standing_button(t("admin.refresh", locale), "admin_status")
        view = layout(ui.TextDisplay("\n".join(lines)), gallery, row(refresh, drain))
        return view, [chart]

    def _status(self, locale: Locale) -> Iterable[str]:
        """A line for each fact that is known of the queue and the engine."""
        places = self.queue.snapshot()
        waiting = sum(place.position is not None for place in places)
        yield t("admin.title", locale)
        if self.gate.draining:
            yield t("admin.draining", locale, count=len(places))
        yield t("admin.queue", locale, running=len(places) - waiting, waiting=waiting)
        if self.fleet is not None:
            yield from _cluster(self.fleet.status, locale)
        for engine in self.engines[:MAX_ENGINES]:
            lines = _engine(engine.status, len(self.engines), locale)
            yield from lines if len(self.engines) <= DETAILED else islice(lines, 1)
        if (more := len(self.engines) - MAX_ENGINES) > 0:
            yield t("admin.more", locale, count=more)
        if self.registration.error:
            why = excerpt(self.registration.error, LINE_LENGTH)
            yield t("admin.unregistered", locale, reason=why)
        yield t("admin.servers", locale, count=len(self.client.guilds))


def _cluster(cluster: FleetStatus, locale: Locale) -> Iterable[str]:
    state = t(f"admin.state.{cluster.state}", locale)
    yield t("admin.cluster", locale, state=state, address=excerpt(cluster.address, NAME_LENGTH))
    if cluster.reason:
        yield t("admin.reason", locale, reason=excerpt(cluster.reason, LINE_LENGTH))


def _day(hours: Sequence[Hour], locale: Locale) -> str:
    """What the chart shows, in words."""
    counts = {
        name: sum(getattr(hour, name) for hour in hours)
        for name in ("delivered", "failed", "cancelled")
    }
    started = sum(hour.started for hour in hours)
    waited = sum(hour.waited for hour in hours)
    wait = duration(waited / started) if started else "—"
    return t("admin.day", locale, wait=wait, **counts)


def _engine(engine: EngineStatus, engines: int, locale: Locale) -> Iterable[str]:
    """A line for each fact that is known of one of so many engines."""
    state = t(f"admin.state.{engine.state}", locale)
    device = excerpt(engine.device_name, NAME_LENGTH) or "—"
    if engines > 1:
        device = f"{excerpt(engine.device, NAME_LENGTH)} ({device})"
    yield t("admin.engine", locale, state=state, device=device)
    if engine.memory is not None:
        used, total = (f"{size / 2**30:.1f}" for size in engine.memory)
        yield t("admin.memory", locale, used=used, total=total)
    if engine.speed is not None:
        yield t("admin.speed", locale, speed=f"{engine.speed:.3g}")
    yield t("admin.restarts", locale, count=engine.restarts)
    if engine.reason:
        yield t("admin.reason", locale, reason=excerpt(engine.reason, LINE_LENGTH // engines))
    if engine.warm:
        most = max(1, MAX_LINES // engines)
        warm = (excerpt(name, NAME_LENGTH) for name in engine.warm[:most])
        yield t("admin.warm", locale, models=listed(warm, locale))


def _changes(before: Catalogue, now: Catalogue, locale: Locale) -> str:
    """A line each for what is new and gone, and for each file that was refused."""
    lines = [t("admin.found", locale, models=len(now.models), vaes=len(now.vaes))]
    old, new = _names(before), _names(now)
    for key, names in (("new", new - old), ("gone", old - new)):
        if names:
            shown = listed(
                (excerpt(each, NAME_LENGTH) for each in sorted(names)), locale, MAX_LINES
            )
            lines.append(t(f"admin.{key}", locale, names=shown))
    if new == old:
        lines.append(t("admin.nothing_new", locale))
    # Details in English, as the doctor prints them: they are for the bot's owner.
    troubles = [
        sentence(error, locale)
        + (f" ({excerpt(error.detail, NAME_LENGTH)})" if error.detail else "")
        for error in now.refused
    ]
    troubles += [excerpt(warning, LINE_LENGTH) for warning in now.warnings]
    lines += [f"- {trouble[:LINE_LENGTH]}" for trouble in troubles[:MAX_LINES]]
    if len(troubles) > MAX_LINES:
        lines.append(t("admin.more", locale, count=len(troubles) - MAX_LINES))
    return "\n".join(lines)


def _names(catalogue: Catalogue) -> set[str]:
    return {model.name for model in catalogue.models} | {vae.name for vae in catalogue.vaes}
