"""The map from an exception's class and fields to the sentence that a member reads.

An unexpected error gets a short incident number, under which the log has its traceback.
"""

from __future__ import annotations

import logging
import math
import secrets
import sqlite3
from collections.abc import Iterable
from typing import Final, get_args

import aiohttp
import discord
from discord import Locale, app_commands

from bot import exceptions as bot_errors
from bot.exceptions import NotAllowed, QuotaUsed, Several, Unexpected
from bot.markdown import escape_markdown
from bot.translate import listed, option_names, t
from core import errors as core_errors
from core.errors import (
    AmbiguousName,
    InvalidRequest,
    NetworkMismatch,
    PenultimateError,
    Refused,
    UnknownName,
    VaeMismatch,
)
from core.families import Family
from core.options import OPTIONS, Place, names, shown
from core.pictures.infotext import line

log = logging.getLogger(__name__)

# The most allowed values that a sentence lists.
MAX_NAMED: Final = 12

# SQLite's codes, without their details, of a disk that is full, gone or locked.
DISK: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)

# What the last field of the edit form takes, first what A1111 always writes, and an example of it,
# from the defaults.
EDITED: Final = tuple(sorted(names(Place.EDIT), key=lambda name: OPTIONS[name].rank == 0))
_EXAMPLE: Final = {name: OPTIONS[name].default for name in EDITED if OPTIONS[name].default} | {
    "size": (OPTIONS["width"].default, OPTIONS["height"].default)
}
EDIT_EXAMPLE: Final = line(
    {
        OPTIONS[name].infotext: shown(_EXAMPLE[name]) if name != "size" else _EXAMPLE[name]
        for name in EDITED
        if name in _EXAMPLE and name != "vae"
    }
)

# The key of a class's sentence, with placeholders for the error's fields. The fields are also the
# sentence's values; those that need a translation are converted by _places. A class without a key
# has that of its nearest base class.
KEYS: Final[dict[type[BaseException], str]] = {
    bot_errors.Unexpected: "error.unexpected",
    bot_errors.Gone: "error.gone.{what}",
    bot_errors.NotYours: "error.not_yours.{what}",
    bot_errors.TooMany: "error.too_many.{what}",
    bot_errors.TooManyWords: "config.words_many",
    bot_errors.BadPreset: "error.bad_preset.{reason}",
    bot_errors.NoModels: "error.no_models",
    bot_errors.NotAllowed: "error.rule.{rule}",
    bot_errors.QuotaUsed: "error.quota_used",
    bot_errors.UnreadableSettings: "error.unreadable_settings.{reason}",
    bot_errors.CannotExplore: "error.cannot_explore.{reason}",
    bot_errors.Several: "error.several",
    core_errors.TooLarge: "error.too_large",
    bot_errors.Unreachable: "error.unreachable",
    bot_errors.NotSaved: "error.not_saved",
    core_errors.InvalidRequest: "error.invalid.{allowed}",
    core_errors.UnknownName: "error.unknown_name.none",
    core_errors.Refused: "error.refused.{reason}",
    core_errors.VaeMismatch: "error.vae_mismatch",
    core_errors.AmbiguousName: "error.ambiguous_name",
    core_errors.NetworkMismatch: "error.network_mismatch",
    core_errors.NetworkLimit: "error.network_limit.{what}",
    core_errors.UnreadablePicture: "error.unreadable_picture.{reason}",
    core_errors.SheetTooLarge: "error.sheet_too_large.{what}",
    core_errors.QueueFull: "error.queue_full.{scope}",
    core_errors.OutOfMemory: "error.out_of_memory",
    core_errors.NotFinite: "error.not_finite.{part}",
    core_errors.EngineCrashed: "error.engine_crashed",
    core_errors.EngineStopped: "error.engine_stopped",
    app_commands.CommandOnCooldown: "error.cooldown",
    app_commands.MissingPermissions: "error.missing_permissions",
    app_commands.BotMissingPermissions: "error.bot_missing_permissions",
    app_commands.NoPrivateMessage: "error.server_only",
    # The class itself is what /admin raises.
    app_commands.CheckFailure: "error.owner_only",
    app_commands.TransformerError: "error.bad_option",
    app_commands.CommandNotFound: "error.old_command",
    app_commands.CommandSignatureMismatch: "error.old_command",
    discord.Forbidden: "error.forbidden",
    discord.DiscordServerError: "error.discord_down",
    aiohttp.ClientError: "error.discord_down",
    bot_errors.TooFast: "error.too_fast",
    # The bot had to acknowledge a use before it knew what to show.
    discord.InteractionResponded: "error.too_slow",
    sqlite3.Error: "error.not_written",
}


def sentence(error: BaseException, locale: Locale | str | None = None) -> str:
    """The sentence for an error: what happened and what to do next.

    An unexpected error is logged with its traceback under the number in the sentence.
    """
    error = unwrapped(error)
    key = _key(error)
    if key is not None:
        return t(key, locale, **_places(error, locale))
    if isinstance(error, PenultimateError):
        # A class without a sentence: its English message.
        return _shown(str(error))
    return sentence(expected(error), locale)


def expected(error: BaseException) -> PenultimateError:
    """``error`` if it is a :class:`PenultimateError`, else log it and return its incident."""
    error = unwrapped(error)
    if isinstance(error, PenultimateError):
        return error
    incident = secrets.token_hex(3)
    if _of_the_disk(error):
        log.error("incident %s: %s", incident, error)
    else:
        log.error("incident %s", incident, exc_info=error)
    return Unexpected(incident)


def _of_the_disk(error: BaseException) -> bool:
    """Whether the disk or another program failed the database: where in the code says nothing."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error.__cause__, OSError) or (code is not None and code & 0xFF in DISK)


def unwrapped(error: BaseException) -> BaseException:
    """The error inside discord.py's wrappers."""
    while isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.TransformerError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _key(error: BaseException) -> str | None:
    match error:
        case InvalidRequest() if error.allowed not in core_errors.ALLOWED:
            # Older versions stored the bounds in English, as one text.
            return "error.invalid.other"
        case UnknownName() if error.close:
            return "error.unknown_name.close"
        case QuotaUsed(cost=0):
            # Nothing is left, whatever was asked for.
            return "error.quota_empty"
    found = next((KEYS[cls] for cls in type(error).__mro__ if cls in KEYS), None)
    return None if found is None else found.format_map(vars(error))


def _places(error: BaseException, locale: Locale | str | None) -> dict[str, object]:
    places = {
        name: _shown(value) if isinstance(value, str) else value
        for name, value in vars(error).items()
    }
    match error:
        case Several():
            places |= {
                "sentences": "\n".join(f"- {sentence(each, locale)}" for each in error.errors)
            }
        case InvalidRequest():
            places |= error.bounds | {"field": t(f"option.{error.field}", locale)}
            places |= {"options": option_names(EDITED, locale), "example": EDIT_EXAMPLE}
        case UnknownName():
            names = _names(error.close, locale)
            places |= {"kind": _kind(error.kind, locale), "names": names}
        case Refused():
            places |= {"kind": _kind(error.kind, locale)}
        case AmbiguousName():
            places |= {"names": _names(error.names, locale)}
        case NetworkMismatch():
            fits, needs = _family(error.fits, locale), _family(error.needs, locale)
            places |= {"kind": _kind(error.kind, locale), "fits": fits, "needs": needs}
        case VaeMismatch():
            fits, needs = _family(error.fits, locale), _family(error.needs, locale)
            places |= {"fits": fits, "needs": needs}
        case NotAllowed():
            places |= {"allowed": _allowed(error.allowed, locale)}
        case QuotaUsed():
            used, cost = f"{error.used:.3g}", f"{error.cost:.3g}"
            places |= {"used": used, "cost": cost, "when": f"<t:{error.resets_at}:R>"}
        case app_commands.CommandOnCooldown():
            places |= {"seconds": math.ceil(error.retry_after)}
        case app_commands.MissingPermissions() | app_commands.BotMissingPermissions():
            # Named as in Discord's settings; these are the only permissions the bot requires.
            wanted = (t(f"permission.{name}", locale) for name in error.missing_permissions)
            places |= {"names": listed(wanted, locale)}
        case app_commands.TransformerError():
            places |= {"value": _shown(str(error.value))}
        case sqlite3.Error():
            places |= vars(expected(error))
    return places


def _names(names: Iterable[str], locale: Locale | str | None) -> str:
    shown = [f"**{_shown(name)}**" for name in names]
    return listed(shown[:MAX_NAMED], locale) + (" …" if len(shown) > MAX_NAMED else "")


def _shown(value: str) -> str:
    """A member's text for use in a sentence: short, on one line, its markdown escaped."""
    line = " ".join(value.split())
    return escape_markdown(line if len(line) <= 80 else line[:79] + "…")


def _kind(kind: str, locale: Locale | str | None) -> str:
    return t(f"kind.{kind.replace(' ', '_')}", locale)


def _family(latent_space: str, locale: Locale | str | None) -> str:
    """The name of a latent space's models; a card may define a latent space of its own."""
    known = latent_space in get_args(Family)
    return t(f"family.{latent_space}", locale) if known else _shown(latent_space)


def _allowed(items: Iterable[str], locale: Locale | str | None) -> str:
    # Mentions are not escaped, so that Discord shows the channel or the role.
    shown = [item if item.startswith("<") else _shown(item) for item in items]
    return listed(shown[:MAX_NAMED], locale) + (" …" if len(shown) > MAX_NAMED else "")
