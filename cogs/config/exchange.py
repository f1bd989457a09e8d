"""A server's settings as a file: what of one can be used on this server and in this bot."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import discord
from discord import Locale

from bot.answers import MAX_CONTENT
from bot.exceptions import UnreadableSettings
from bot.ordering.resolve import checked
from bot.rules.policy_json import MAX_BYTES, Remark, read
from bot.rules.server import SETTINGS, Kind, changed
from bot.settings import Limits
from bot.translate import t
from cogs.config.missing import ids_text, missing, without
from core.errors import PenultimateError, UnknownName
from core.models.catalogue import Catalogue

MAX_REMARKS: Final = 12


def settings_file(text: str, name: str) -> discord.File:
    """A file to be sent along."""
    return discord.File(io.BytesIO(text.encode()), name)


@dataclass(frozen=True, slots=True)
class Importer:
    """Reads files of settings for one server."""

    guild: discord.Guild | None
    locale: Locale
    catalogue: Catalogue
    limits: Limits
    classifier: bool

    async def read(self, file: discord.Attachment) -> tuple[dict[str, Any], list[Remark]]:
        """The settings that can be used, by field, and remarks on what was left out.

        Raises :class:`~bot.exceptions.UnreadableSettings` for what is no such file.
        """
        try:
            changes, remarks = read((await file.read()).decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise UnreadableSettings("not_json") from None
        remarks += self._without_missing(changes)
        if changes.get("nsfw") == "block" and not self.classifier:
            del changes["nsfw"]
            remarks.append(("no_classifier", {"name": "nsfw"}))
        for name, value in list(changes.items()):
            try:
                changes[name] = changed(SETTINGS[name].kind, value, self._spelt)
            except PenultimateError:
                del changes[name]
                remarks.append(("unusable", {"name": name}))
        return changes, remarks

    def said(self, count: int, remarks: list[Remark]) -> str:
        """How many settings were imported, and the remarks, as far as a message holds them."""
        lines = [t("config.import.done", self.locale, count=count)]
        lines += [_said(remark, self.locale) for remark in remarks[:MAX_REMARKS]]
        if len(remarks) > MAX_REMARKS:
            lines.append(t("config.import.more", self.locale, count=len(remarks) - MAX_REMARKS))
        return "\n".join(lines)[:MAX_CONTENT]

    def _without_missing(self, changes: dict[str, Any]) -> list[Remark]:
        """Take out channels and roles that this server does not have.

        A list that would become empty, and so allow everybody, stays as it was on this server.
        """
        remarks: list[Remark] = []
        for name in [name for name in SETTINGS if name in changes]:
            if not (found := missing(name, changes[name], self.guild)):
                continue
            changes[name] = without(name, changes[name], found)
            if not changes[name] or missing(name, changes[name], self.guild):
                del changes[name]
                remarks.append(("all_gone", {"name": name}))
            else:
                ids = ids_text((id for _, id in found), self.locale)
                remarks.append(("gone", {"name": name, "ids": ids}))
        return remarks

    def _spelt(self, kind: Kind, part: Any) -> Any:
        """Names as the catalogue spells them; models that are not here stay.

        Raises what :func:`~bot.ordering.resolve.checked` raises.
        """
        if kind == "values":
            return checked(part, self.catalogue, self.limits)
        try:
            return self.catalogue.model(part).name if kind == "model" else part
        except UnknownName:
            return part


def check_size(file: discord.Attachment) -> None:
    """Raise :class:`~bot.exceptions.UnreadableSettings` for a file that nobody need fetch."""
    if file.size > MAX_BYTES:
        raise UnreadableSettings("too_large")


def _said(remark: Remark, locale: Locale) -> str:
    key, values = remark
    if key != "unknown":
        values = values | {"name": t(f"config.setting.{values['name']}", locale)}
    else:
        values = {"name": " ".join(values["name"].replace("`", "'").split())}
    return t(f"config.import.{key}", locale, **values)
