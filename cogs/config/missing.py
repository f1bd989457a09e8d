"""The channels and roles in a server's settings that no longer exist on Discord.

They are shown and ignored until a manager removes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import discord
from discord import Locale

from bot.rules.server import SETTINGS, Kind, Server, changed
from bot.translate import listed, t

MAX_NAMED: Final = 8

LOOKED_UP: Final = ("channel", "role")
# A kind and an id.
Missing = set[tuple[Kind, int]]


def existing(name: str, value: Any, guild: discord.Guild | None) -> tuple[Any, Missing]:
    """Return one setting's value without the channels and roles that the server does not have, and
    those. A list keeps its last entries, since an empty one would allow everybody."""
    found: Missing = set()
    look = {"channel": guild.get_channel_or_thread, "role": guild.get_role} if guild else {}

    def left(kind: Kind, part: Any) -> Any:
        if kind not in look or look[kind](part) is not None:
            return part
        found.add((kind, part))
        return None

    return changed(SETTINGS[name].kind, value, left), found


def forgotten(server: Server, guild: discord.Guild | None) -> Server:
    """Return the settings without the channels and roles that were deleted."""
    values = {name: existing(name, getattr(server, name), guild)[0] for name in SETTINGS}
    return replace(server, **values)


def ids_text(ids: Iterable[int], locale: Locale) -> str:
    """List the ids, since what was deleted has no name."""
    return listed((f"`{id}`" for id in sorted(ids)), locale, MAX_NAMED)


def missing_text(server: Server, guild: discord.Guild | None, locale: Locale) -> str:
    """Say what was deleted, and what that means; empty where nothing was."""
    found = {each for name in SETTINGS for each in existing(name, getattr(server, name), guild)[1]}
    lines = []
    for kind in LOOKED_UP:
        if ids := [id for other, id in found if other == kind]:
            lines.append(t(f"config.gone.{kind}s", locale, ids=ids_text(ids, locale)))
    for kind in LOOKED_UP:
        allowed = getattr(server, f"{kind}s")
        if allowed and all((kind, id) in found for id in allowed):
            lines.append(t(f"config.gone.no_{kind}s", locale))
    return "".join(f"\n⚠️ {line}" for line in lines)
