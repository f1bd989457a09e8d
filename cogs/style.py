"""/style: a server's prompt templates, made by its managers for everybody."""

from __future__ import annotations

from typing import Final

from discord import app_commands
from discord.ext import commands

from bot import answers
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.posts.panel import text_view
from bot.store import Style
from bot.store.names import MAX_NAME
from bot.store.styles import MAX_PER_SERVER, MAX_TEMPLATE
from bot.translate import t, text
from cogs import options

# Escaping can double a name.
NAME_LENGTH: Final = 2 * MAX_NAME
TEMPLATE_LENGTH: Final = 1800

Name = app_commands.Range[str, 1, MAX_NAME]
Template = app_commands.Range[str, 1, MAX_TEMPLATE]
Negative = app_commands.Range[str, 0, MAX_TEMPLATE]


@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class StyleCog(
    commands.GroupCog, group_name="style", group_description=text("command.style.about")
):
    """Commands that are answered to the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.styles = bot.store.styles

    @app_commands.command(name="save", description=text("command.style.save"))
    @app_commands.checks.has_permissions(manage_guild=True)
    @options.shared("style", "template", "negative_prompt")
    async def save(
        self,
        interaction: Interaction,
        style: Name,
        template: Template,
        negative_prompt: Negative = "",
    ) -> None:
        """Save a template, replacing one of the same name."""
        guild_id = _guild(interaction)
        saved = await self.styles.save(guild_id, style, template, negative_prompt)
        name = excerpt(saved.name, NAME_LENGTH)
        await _show(interaction, t("style.saved", interaction.locale, name=name), saved)

    @app_commands.command(name="list", description=text("command.style.list"))
    async def list(self, interaction: Interaction) -> None:
        """Show every style of the server, a line each."""
        styles = await self.styles.list(_guild(interaction))
        locale = interaction.locale
        if not styles:
            await answers.say(interaction, t("style.none", locale))
            return
        title = t("style.count", locale, count=len(styles), limit=MAX_PER_SERVER)
        texts = ((style.name, excerpt(style.template, TEMPLATE_LENGTH)) for style in styles)
        await answers.show(interaction, text_view(answers.named_list(title, texts)))

    @app_commands.command(name="show", description=text("command.style.show"))
    @options.shared("style")
    async def show(self, interaction: Interaction, style: str) -> None:
        """Show one style's template and negative prompt."""
        found = await self.styles.get(_guild(interaction), style)
        await _show(interaction, f"**{excerpt(found.name, NAME_LENGTH)}**", found)

    @app_commands.command(name="delete", description=text("command.style.delete"))
    @app_commands.checks.has_permissions(manage_guild=True)
    @options.shared("style")
    async def delete(self, interaction: Interaction, style: str) -> None:
        """Delete one style. Pictures made with it keep their prompts."""
        found = await self.styles.get(_guild(interaction), style)
        await self.styles.delete(_guild(interaction), found.name)
        name = excerpt(found.name, NAME_LENGTH)
        await answers.say(interaction, t("style.deleted", interaction.locale, name=name))


def _guild(interaction: Interaction) -> int:
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    return interaction.guild_id


async def _show(interaction: Interaction, title: str, style: Style) -> None:
    lines = [title, excerpt(style.template, TEMPLATE_LENGTH)]
    if style.negative_prompt:
        negative = excerpt(style.negative_prompt, TEMPLATE_LENGTH)
        lines.append(t("style.negative", interaction.locale, text=negative))
    await answers.show(interaction, text_view("\n".join(lines)))
