"""What of a server's settings was deleted on Discord since: said, ignored, forgotten when asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import discord
from discord import Locale

from bot.rules.policy import Server
from bot.translate import listed, t

MAX_GONE: Final = 8


def gone(server: Server, guild: discord.Guild) -> tuple[list[int], list[int]]:
    """The channels and the roles in the settings that were deleted since."""
    places = {*server.channels, *server.channel_defaults}
    places |= {server.log_channel} if server.log_channel else set()
    named = {*server.roles, *server.role_quotas}
    named |= {role for roles in server.model_roles.values() for role in roles}
    channels = [id for id in sorted(places) if guild.get_channel_or_thread(id) is None]
    return channels, [id for id in sorted(named) if guild.get_role(id) is None]


def forgotten(server: Server, guild: discord.Guild) -> Server:
    """The settings without what is gone.

    A list that would become empty, and so allow everybody, stays as it is.
    """
    channels, roles = (set(ids) for ids in gone(server, guild))
    return replace(
        server,
        channels=_left(server.channels, channels),
        roles=_left(server.roles, roles),
        model_roles={name: _left(ids, roles) for name, ids in server.model_roles.items()},
        role_quotas={id: count for id, count in server.role_quotas.items() if id not in roles},
        channel_defaults={
            id: values for id, values in server.channel_defaults.items() if id not in channels
        },
        log_channel=None if server.log_channel in channels else server.log_channel,
    )


def _left(ids: tuple[int, ...], missing: Iterable[int]) -> tuple[int, ...]:
    return tuple(id for id in ids if id not in missing) or ids


def ids_text(ids: Sequence[int], locale: Locale) -> str:
    """What is gone has no name any more; a long list ends with how many are left."""
    more = f" +{len(ids) - MAX_GONE}" if len(ids) > MAX_GONE else ""
    return listed((f"`{id}`" for id in ids[:MAX_GONE]), locale) + more


def gone_text(server: Server, guild: discord.Guild, locale: Locale) -> str:
    """What is ignored because it is gone, and what that means; empty where nothing is."""
    channels, roles = gone(server, guild)
    lines = []
    for key, ids in (("channels", channels), ("roles", roles)):
        if ids:
            lines.append(t(f"config.gone.{key}", locale, ids=ids_text(ids, locale)))
    for key, allowed, missing in (
        ("no_channels", server.channels, channels),
        ("no_roles", server.roles, roles),
    ):
        if allowed and set(allowed) <= set(missing):
            lines.append(t(f"config.gone.{key}", locale))
    return "".join(f"\n⚠️ {line}" for line in lines)
