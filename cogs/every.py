"""Every cog, in the order in which they are loaded."""

from __future__ import annotations

from bot.client import Penultimate
from cogs.admin import AdminCog
from cogs.config.cog import ConfigCog
from cogs.explore import ExploreCog
from cogs.help import HelpCog
from cogs.history import HistoryCog
from cogs.imagine import ImagineCog
from cogs.message_menus import MessageMenusCog
from cogs.models import ModelsCog
from cogs.preset.cog import PresetCog
from cogs.privacy import PrivacyCog
from cogs.queue import QueueCog
from cogs.reactions import ReactionsCog
from cogs.retention import RetentionCog
from cogs.settings.cog import SettingsCog
from cogs.style import StyleCog
from cogs.watch import WatchCog


async def setup(bot: Penultimate) -> None:
    """Add the cogs and what their controls do; discord.py calls this when it loads the file."""
    for make in (
        ImagineCog,
        ExploreCog,
        QueueCog,
        PresetCog,
        SettingsCog,
        HelpCog,
        ModelsCog,
        StyleCog,
        ReactionsCog,
        HistoryCog,
        MessageMenusCog,
        PrivacyCog,
        ConfigCog,
        AdminCog,
        RetentionCog,
        WatchCog,
    ):
        cog = make(bot)
        bot.actions.add(cog)
        await bot.add_cog(cog)
