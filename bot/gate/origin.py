"""The origin of a job: who asks and where, from an interaction or from a reaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import discord

from bot.answers import Interaction
from bot.rules.policy import Asker


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks, where, in what language, and with what token the answer can be sent.

    ``token`` is the interaction's, valid for 15 minutes; ``filesize_limit`` is the largest file in
    bytes that can be sent with it. A reaction has neither.
    """

    who: Asker
    guild_id: int | None
    channel_id: int | None
    application_id: int
    locale: str
    token: str | None = field(default=None, repr=False)
    filesize_limit: int | None = None


def of_interaction(interaction: Interaction) -> Origin:
    """The origin of a job that a command, a control or a form asks for."""
    return Origin(
        asker(interaction.user, interaction.channel),
        interaction.guild_id,
        interaction.channel_id,
        interaction.application_id,
        interaction.locale.value,
        interaction.token,
        interaction.filesize_limit,
    )


def of_reaction(
    event: discord.RawReactionActionEvent, channel: Any, application_id: int, locale: str
) -> Origin:
    """The origin of a job that a reaction asks for; it carries no language of its own."""
    who = asker(event.member or discord.Object(event.user_id), channel)
    return Origin(who, event.guild_id, event.channel_id, application_id, locale)


def asker(user: discord.abc.Snowflake, channel: Any) -> Asker:
    """``user`` in ``channel``, with the roles of a server's member."""
    # Not Member.roles, which lacks the roles on a server that the bot is no member of.
    roles = (user.guild.id, *user._roles) if isinstance(user, discord.Member) else ()
    return Asker(
        user.id,
        frozenset(roles),
        places_of(channel),
        bool(getattr(channel, "is_nsfw", bool)()),
    )


def places_of(channel: Any) -> tuple[int, ...]:
    """The ids that a rule may name for a channel: its own, its parent's, its category's."""
    if getattr(channel, "guild", None) is None:
        return ()
    parent = channel.parent if isinstance(channel, discord.Thread) else channel
    above = (getattr(channel, "parent_id", None), getattr(parent, "category_id", None))
    return (channel.id, *(place for place in above if place is not None))
