"""The rules of a server's settings, as pure functions.

A refusal is an exception that names what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final

from bot.exceptions import NotAllowed, TooMany
from bot.rules.server import CLOSED, MOST, FileKind, Server
from bot.rules.words import find_blocked
from bot.settings import Limits
from core.models.catalogue import Model

# The cost of one picture of the quota: 512x512 at 20 steps, in megapixel-steps.
ONE_PICTURE: Final = 512 * 512 * 20 / 1e6


@dataclass(frozen=True, slots=True)
class Asker:
    """The user who asks, and where.

    ``channels`` are the ids of the channel, of its parent if it is a thread, and of its category;
    none in direct messages.
    """

    user_id: int
    roles: frozenset[int] = frozenset()
    channels: tuple[int, ...] = ()
    age_restricted: bool = False


def check_member(server: Server, asker: Asker) -> None:
    """Raise :class:`~bot.exceptions.NotAllowed` when this member may make no pictures here."""
    if server is CLOSED:
        raise NotAllowed("unreadable")
    if asker.user_id in server.banned:
        raise NotAllowed("banned")
    if server.channels and not set(server.channels) & set(asker.channels):
        raise NotAllowed("channel", allowed=tuple(f"<#{id}>" for id in server.channels))
    if server.roles and not asker.roles & set(server.roles):
        raise NotAllowed("role", allowed=mentions(server.roles))
    if server.nsfw == "restricted" and not asker.age_restricted:
        raise NotAllowed("restricted")


def check_file(server: Server, asker: Asker, kind: FileKind, name: str) -> None:
    """Raise :class:`~bot.exceptions.NotAllowed` when ``asker`` may not use this file."""
    listed = names_of(server, kind)
    if listed and not named(name, listed):
        raise NotAllowed(kind, name, listed)
    if not may_use(server, asker, kind, name):
        raise NotAllowed(f"{kind}_role", name, mentions(roles_for(server, kind, name)))


def check_words(server: Server, prompts: Iterable[str]) -> None:
    """Raise :class:`~bot.exceptions.NotAllowed` when one of the prompts has a blocked word."""
    for prompt in prompts:
        word = find_blocked(prompt, server.words)
        if word is not None:
            raise NotAllowed("word", word)


def may_use(server: Server, asker: Asker, kind: FileKind, name: str) -> bool:
    """Whether ``asker`` may use the file of this name."""
    return bool(usable(server, asker, kind, (name,)))


def usable(server: Server, asker: Asker, kind: FileKind, names: Iterable[str]) -> list[str]:
    """Those of the files' names that ``asker`` may use; there may be thousands."""
    listed, lists = _folded(names_of(server, kind)), role_lists(server, kind)
    # A name may stand there in several spellings, and one of the roles is enough.
    ruled = {name.casefold() for name, roles in lists.items() if roles}
    theirs = {name.casefold() for name, roles in lists.items() if asker.roles & set(roles)}
    barred = ruled - theirs
    if not listed and not barred:
        return list(names)
    return [
        name
        for name in names
        if (folded := name.casefold()) not in barred and (not listed or folded in listed)
    ]


def names_of(server: Server, kind: FileKind) -> tuple[str, ...]:
    """The files of this kind that are used here; none where all are."""
    found: tuple[str, ...] = getattr(server, f"{kind}s")
    return found


def role_lists(server: Server, kind: FileKind) -> Mapping[str, tuple[int, ...]]:
    """The roles for the files of this kind, by name."""
    found: Mapping[str, tuple[int, ...]] = getattr(server, f"{kind}_roles")
    return found


def rules_on(server: Server, kind: FileKind) -> bool:
    """Whether there is any rule on files of this kind."""
    return bool(names_of(server, kind) or role_lists(server, kind))


def roles_for(server: Server, kind: FileKind, name: str) -> tuple[int, ...]:
    """The roles that may use the file of this name, in any case; none where everybody may."""
    wanted = name.casefold()
    lists = (roles for each, roles in role_lists(server, kind).items() if each.casefold() == wanted)
    return tuple(dict.fromkeys(role for roles in lists for role in roles))


def named(name: str, names: tuple[str, ...]) -> bool:
    """Whether the name is one of these, in any case, as in the catalogue."""
    return name.casefold() in _folded(names)


@lru_cache(maxsize=256)
def _folded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def check_room(before: Server, after: Server) -> None:
    """Raise :class:`~bot.exceptions.TooMany` when a change makes a list too long.

    A list that was too long before, from a version that allowed more, may keep its length.
    """
    for name, most in MOST.items():
        count = len(getattr(after, name))
        if count > max(most, len(getattr(before, name))):
            raise TooMany(name, most)


def tightened(limits: Limits, server: Server) -> Limits:
    """The bot's limits, with the server's where those are narrower."""
    narrower = {
        field.name: min(getattr(limits, field.name), asked)
        for field in fields(limits)
        if (asked := getattr(server, field.name)) is not None
    }
    return replace(limits, **narrower) if narrower else limits


def quota_of(server: Server, asker: Asker) -> int | None:
    """The quota in pictures a day: the largest of the member's roles, else the server's; None is
    unlimited."""
    of_roles = [count for role, count in server.role_quotas.items() if role in asker.roles]
    return max(of_roles, default=server.quota)


def values_below(
    server: Server, asker: Asker, models: Iterable[Model], vaes: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The channel's and the server's values: two layers of :class:`~bot.ordering.layers.Layers`.

    Models and VAEs that are missing, or not allowed to this member, are left out. Where the bot's
    first model is not allowed, the first allowed one is the server's default.
    """
    every = [model.name for model in models]
    allowed = usable(server, asker, "model", every)
    known = {"model": _folded(tuple(allowed)), "vae": _folded(tuple(vaes))}

    def available(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in values.items()
            if name not in known or value.casefold() in known[name]
        }

    channel: dict[str, Any] = {}
    # Category, channel, thread: the nearest one overrides the others.
    for place in reversed(asker.channels):
        channel |= available(server.channel_defaults.get(place, {}))
    below = available(server.defaults)
    if allowed and "model" not in below and allowed != every:
        below["model"] = allowed[0]
    return channel, below


def mentions(roles: Iterable[int]) -> tuple[str, ...]:
    """Mentions of the roles, which Discord shows as their names."""
    return tuple(f"<@&{id}>" for id in roles)
