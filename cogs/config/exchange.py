"""The import of a file of settings: what of it a server and this bot can use, and what not."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import discord
from discord import Locale

from bot.answers import MAX_CONTENT
from bot.exceptions import UnreadableSettings
from bot.ordering.resolve import checked
from bot.rules.policy_json import Remark, read
from bot.rules.server import SETTINGS, Kind, changed
from bot.settings import Limits
from bot.translate import t
from cogs.config.missing import existing, ids_text
from core.errors import AmbiguousName, PenultimateError, UnknownName
from core.models.catalogue import Catalogue

MAX_REMARKS: Final = 12


def imported(
    data: bytes,
    guild: discord.Guild | None,
    locale: Locale,
    catalogue: Catalogue,
    limits: Limits,
    *,
    classifier: bool,
) -> tuple[dict[str, Any], list[Remark]]:
    """Return the settings of a file that can be used, by field, and remarks on the others.

    Raises :class:`~bot.exceptions.UnreadableSettings` for what is no such file.
    """
    try:
        changes, remarks = read(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableSettings("not_json") from None
    remarks += _without_missing(changes, guild, locale)
    if changes.get("nsfw") == "block" and not classifier:
        del changes["nsfw"]
        remarks.append(("no_classifier", {"name": "nsfw"}))
    for name, value in tuple(changes.items()):
        try:
            changes[name] = changed(SETTINGS[name].kind, value, partial(_spelt, catalogue, limits))
        except PenultimateError:
            del changes[name]
            remarks.append(("unusable", {"name": name}))
    return changes, remarks


def _without_missing(
    changes: dict[str, Any], guild: discord.Guild | None, locale: Locale
) -> list[Remark]:
    """Remove channels and roles that this server does not have.

    A list that would become empty, and so allow everybody, is not imported.
    """
    remarks: list[Remark] = []
    for name in [name for name in SETTINGS if name in changes]:
        changes[name], found = existing(name, changes[name], guild)
        if not found:
            continue
        if not changes[name] or existing(name, changes[name], guild)[1]:
            del changes[name]
            remarks.append(("all_gone", {"name": name}))
        else:
            ids = ids_text((id for _, id in found), locale)
            remarks.append(("gone", {"name": name, "ids": ids}))
    return remarks


def _spelt(catalogue: Catalogue, limits: Limits, kind: Kind, part: Any) -> Any:
    """Return names as the catalogue spells them; files that are not here stay.

    Raises what :func:`~bot.ordering.resolve.checked` raises.
    """
    if kind == "values":
        return checked(part, catalogue, limits)
    try:
        match kind:
            case "model":
                return catalogue.model(part).name
            case "lora":
                return catalogue.networks.find(part).name
            case "embedding":
                return catalogue.embeddings.find(part).name
    except (UnknownName, AmbiguousName):
        pass
    return part


def report(count: int, remarks: list[Remark], locale: Locale) -> str:
    """Say how many settings were imported, and the remarks, as far as a message holds them."""
    lines = [t("config.import.done", locale, count=count)]
    lines += [_said(remark, locale) for remark in remarks[:MAX_REMARKS]]
    if len(remarks) > MAX_REMARKS:
        lines.append(t("config.import.more", locale, count=len(remarks) - MAX_REMARKS))
    return "\n".join(lines)[:MAX_CONTENT]


def _said(remark: Remark, locale: Locale) -> str:
    key, values = remark
    if key == "unknown":
        name = " ".join(values["name"].replace("`", "'").split())
    else:
        name = t(f"config.setting.{values['name']}", locale)
    return t(f"config.import.{key}", locale, **values | {"name": name})
