"""The one map from an exception's class and fields to the sentence a member reads.

An error nobody foresaw gets a short incident number that is also in the log.
"""

from __future__ import annotations

import logging
import math
import secrets
import sqlite3
from functools import singledispatch
from typing import Final, get_args

import discord
from discord import Locale, app_commands

from bot.exceptions import (
    BadPreset,
    CannotExplore,
    Gone,
    NoModels,
    NotAllowed,
    NotYours,
    QuotaUsed,
    TooLarge,
    TooMany,
    Unexpected,
    Unreachable,
    UnreadableSettings,
)
from bot.translate import listed, t
from core import errors as core_errors
from core.errors import PenultimateError
from core.families import Family

log = logging.getLogger(__name__)

# Of what is allowed, so many are named.
MAX_NAMED: Final = 12


def sentence(error: BaseException, locale: Locale | str | None = None) -> str:
    """What a member reads about ``error``: what happened and what to do next.

    An error that is not foreseen is logged with its traceback under the number in the sentence.
    """
    return _say(_unwrap(error), locale)


def foreseen(error: BaseException) -> PenultimateError:
    """``error`` itself if it is of the tree, else logged and stood for by :class:`Unexpected`."""
    error = _unwrap(error)
    if isinstance(error, PenultimateError):
        return error
    incident = secrets.token_hex(3)
    log.error("incident %s", incident, exc_info=error)
    return Unexpected(incident)


def _unwrap(error: BaseException) -> BaseException:
    """What a command raised, out of the wrappers discord.py puts around it."""
    while isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.TransformerError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _shown(value: str) -> str:
    """A member's own words, safe to put into a sentence: short, on one line, no markdown."""
    line = " ".join(value.split())
    return discord.utils.escape_markdown(line if len(line) <= 80 else line[:79] + "…")


def _family(latent_space: str, locale: Locale | str | None) -> str:
    """A latent space as a name of models; a card may have named one of its own."""
    if latent_space in get_args(Family):
        return t(f"family.{latent_space}", locale)
    return _shown(latent_space)


@singledispatch
def _say(error: BaseException, locale: Locale | str | None) -> str:
    return _say(foreseen(error), locale)


@_say.register
def _(error: PenultimateError, locale: Locale | str | None) -> str:
    # A class nobody has given a sentence yet: its plain English is better than nothing.
    return _shown(str(error))


@_say.register
def _(error: Unexpected, locale: Locale | str | None) -> str:
    return t("error.unexpected", locale, incident=error.incident)


@_say.register
def _(error: Gone, locale: Locale | str | None) -> str:
    return t(f"error.gone.{error.what}", locale)


@_say.register
def _(error: NotYours, locale: Locale | str | None) -> str:
    return t(f"error.not_yours.{error.what}", locale)


@_say.register
def _(error: TooMany, locale: Locale | str | None) -> str:
    return t(f"error.too_many.{error.what}", locale, limit=error.limit)


@_say.register
def _(error: BadPreset, locale: Locale | str | None) -> str:
    return t(f"error.bad_preset.{error.reason}", locale)


@_say.register
def _(error: NoModels, locale: Locale | str | None) -> str:
    return t("error.no_models", locale)


@_say.register
def _(error: NotAllowed, locale: Locale | str | None) -> str:
    # Mentions stand as they are: Discord shows the channel or the role.
    shown = [item if item.startswith("<") else _shown(item) for item in error.allowed]
    allowed = listed(shown[:MAX_NAMED], locale) + (" …" if len(shown) > MAX_NAMED else "")
    return t(f"error.rule.{error.rule}", locale, name=_shown(error.name), allowed=allowed)


@_say.register
def _(error: QuotaUsed, locale: Locale | str | None) -> str:
    return t(
        "error.quota_used",
        locale,
        quota=error.quota,
        used=f"{error.used:.3g}",
        cost=f"{error.cost:.3g}",
        when=f"<t:{error.resets_at}:R>",
    )


@_say.register
def _(error: UnreadableSettings, locale: Locale | str | None) -> str:
    return t(f"error.unreadable_settings.{error.reason}", locale)


@_say.register
def _(error: CannotExplore, locale: Locale | str | None) -> str:
    return t(f"error.cannot_explore.{error.reason}", locale)


@_say.register
def _(error: TooLarge, locale: Locale | str | None) -> str:
    width, height = error.width, error.height
    return t("error.too_large", locale, width=width, height=height, limit=error.limit)


@_say.register
def _(error: Unreachable, locale: Locale | str | None) -> str:
    return t("error.unreachable", locale)


@_say.register
def _(error: core_errors.InvalidRequest, locale: Locale | str | None) -> str:
    # Before its bounds were figures, an error was kept with them in English.
    kind = error.allowed if error.allowed in core_errors.ALLOWED else "other"
    field = t(f"option.{error.field}", locale)
    return t(
        f"error.invalid.{kind}", locale, field=field, value=_shown(error.value), **error.bounds
    )


@_say.register
def _(error: core_errors.UnknownName, locale: Locale | str | None) -> str:
    kind = t(f"kind.{error.kind.replace(' ', '_')}", locale)
    name = _shown(error.name)
    if not error.close:
        return t("error.unknown_name.none", locale, kind=kind, name=name)
    names = listed((f"**{_shown(name)}**" for name in error.close), locale)
    return t("error.unknown_name.close", locale, kind=kind, name=name, names=names)


@_say.register
def _(error: core_errors.Refused, locale: Locale | str | None) -> str:
    return t(
        f"error.refused.{error.reason}",
        locale,
        kind=t(f"kind.{error.kind.replace(' ', '_')}", locale),
        name=_shown(error.name),
    )


@_say.register
def _(error: core_errors.VaeMismatch, locale: Locale | str | None) -> str:
    return t(
        "error.vae_mismatch",
        locale,
        vae=_shown(error.vae),
        fits=_family(error.fits, locale),
        model=_shown(error.model),
        needs=_family(error.needs, locale),
    )


@_say.register
def _(error: core_errors.UnreadablePicture, locale: Locale | str | None) -> str:
    detail = _shown(error.detail)
    return t(f"error.unreadable_picture.{error.reason}", locale, detail=detail)


@_say.register
def _(error: core_errors.SheetTooLarge, locale: Locale | str | None) -> str:
    limit, count = error.limit, error.count
    return t(f"error.sheet_too_large.{error.what}", locale, limit=limit, count=count)


@_say.register
def _(error: core_errors.QueueFull, locale: Locale | str | None) -> str:
    return t(f"error.queue_full.{error.scope}", locale, limit=error.limit)


@_say.register
def _(error: core_errors.OutOfMemory, locale: Locale | str | None) -> str:
    return t("error.out_of_memory", locale, width=error.width, height=error.height)


@_say.register
def _(error: core_errors.EngineCrashed, locale: Locale | str | None) -> str:
    return t("error.engine_crashed", locale, job_id=error.job_id)


@_say.register
def _(error: core_errors.EngineStopped, locale: Locale | str | None) -> str:
    return t("error.engine_stopped", locale)


@_say.register
def _(error: app_commands.CommandOnCooldown, locale: Locale | str | None) -> str:
    return t("error.cooldown", locale, seconds=math.ceil(error.retry_after))


@_say.register
def _(error: app_commands.MissingPermissions, locale: Locale | str | None) -> str:
    return t("error.missing_permissions", locale, names=_permissions(error, locale))


@_say.register
def _(error: app_commands.BotMissingPermissions, locale: Locale | str | None) -> str:
    return t("error.bot_missing_permissions", locale, names=_permissions(error, locale))


@_say.register
def _(error: app_commands.NoPrivateMessage, locale: Locale | str | None) -> str:
    return t("error.server_only", locale)


@_say.register
def _(error: app_commands.CheckFailure, locale: Locale | str | None) -> str:
    # Its subclasses stand above; the class itself is what /admin raises.
    return t("error.owner_only", locale)


@_say.register
def _(error: app_commands.TransformerError, locale: Locale | str | None) -> str:
    return t("error.bad_option", locale, value=_shown(str(error.value)))


@_say.register(app_commands.CommandNotFound)
@_say.register(app_commands.CommandSignatureMismatch)
def _(error: app_commands.AppCommandError, locale: Locale | str | None) -> str:
    return t("error.old_command", locale)


@_say.register
def _(error: discord.Forbidden, locale: Locale | str | None) -> str:
    return t("error.forbidden", locale)


@_say.register
def _(error: discord.DiscordServerError, locale: Locale | str | None) -> str:
    return t("error.discord_down", locale)


@_say.register
def _(error: sqlite3.Error, locale: Locale | str | None) -> str:
    unexpected = foreseen(error)
    assert isinstance(unexpected, Unexpected)
    return t("error.not_written", locale, incident=unexpected.incident)


def _permissions(
    error: app_commands.MissingPermissions | app_commands.BotMissingPermissions,
    locale: Locale | str | None,
) -> str:
    """By the names in Discord's own settings, as far as this bot ever asks for them."""
    return listed((t(f"permission.{name}", locale) for name in error.missing_permissions), locale)
