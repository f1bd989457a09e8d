"""A server's settings in words: what each is set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from discord import Locale

from bot.answers import excerpt
from bot.rules import policy
from bot.rules.policy import DEFAULTS, Server
from bot.translate import t

# One post holds 4,000 characters; some twenty settings, some of them lists, must fit.
LIST_LENGTH: Final = 170
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 80

# Each language by its own name, which is the same in every language.
LANGUAGES: Final = {"en": "English", "ja": "日本語", "zh-CN": "简体中文"}


def value_text(server: Server, name: str, locale: Locale) -> str:
    """One setting's value in words; its default says what that means."""
    value = getattr(server, name)
    if name == "nsfw":
        return t(f"config.nsfw.{value}", locale)
    if isinstance(value, bool):
        return t("word.yes" if value else "word.no", locale)
    if value in (None, (), {}):
        return t(f"config.default.{name}", locale)
    if name == "language":
        return LANGUAGES.get(value) or str(value)
    if name in ("channels", "log_channel"):
        ids = value if isinstance(value, tuple) else (value,)
        return joined((f"<#{id}>" for id in ids), locale)
    if name == "roles":
        return joined(policy.mentions(value), locale)
    if name == "banned":
        return joined((f"<@{id}>" for id in value), locale)
    if isinstance(value, tuple):
        return joined((excerpt(item, NAME_LENGTH) for item in value), locale)
    if isinstance(value, Mapping):
        return joined(_entries(name, value, locale), locale, "list.between_lists")
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def _entries(name: str, value: Mapping[Any, Any], locale: Locale) -> Iterable[str]:
    if name == "defaults":
        return values_said(value, locale)
    if name == "role_quotas":
        return (f"<@&{role}> {count}" for role, count in value.items())
    if name == "model_roles":
        return (
            f"{excerpt(model, NAME_LENGTH)} {joined(policy.mentions(roles), locale, limit=60)}"
            for model, roles in value.items()
        )
    return (
        f"<#{channel}> {joined(values_said(values, locale), locale, limit=60)}"
        for channel, values in value.items()
    )


def values_said(values: Mapping[str, Any], locale: Locale) -> list[str]:
    """``steps 30`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {excerpt(_plain(values[name]), VALUE_LENGTH) or '—'}"
        for name in DEFAULTS
        if name in values
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def joined(
    items: Iterable[str], locale: Locale, key: str = "list.between", limit: int = LIST_LENGTH
) -> str:
    """As many as fit, whole; the rest is a number. The first always fits."""
    items, between = list(items), t(key, locale)
    text = items[0] if items else ""
    for place, item in enumerate(items[1:], 1):
        if len(text) + len(between) + len(item) > limit:
            return f"{text} … +{len(items) - place}"
        text += between + item
    return text


def lines_of(server: Server, names: Iterable[str], locale: Locale) -> str:
    """A line for each of these settings: its name and its value."""
    return "\n".join(_line(server, name, locale) for name in names)


def _line(server: Server, name: str, locale: Locale) -> str:
    label, value = t(f"config.setting.{name}", locale), value_text(server, name, locale)
    return t("config.line", locale, name=label, value=value)
