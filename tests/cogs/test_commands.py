"""What Discord is told of the commands: names, order, types, bounds, and which sentence says what.

``commands.json`` was written from commands whose parameters stood one by one in their signatures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from discord import Locale, app_commands

from bot.translate import t
from tests.simulation import World

SNAPSHOT = Path(__file__).with_name("commands.json")


class Keys(app_commands.Translator):
    """Gives each sentence's key, so that better words are no difference."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        return str(string.extras["key"]) if locale is Locale.japanese and string.extras else None


def keyed(sent: Any) -> Any:
    """The payload with the keys of its sentences, each of which is the English one of its key."""
    if isinstance(sent, list):
        return [keyed(each) for each in sent]
    if not isinstance(sent, dict):
        return sent
    for name in ("name", "description"):
        found = sent.pop(f"{name}_localizations", None)
        if found:
            assert sent[name] == t(found["ja"])
            sent[name] = found["ja"]
    return {name: keyed(value) for name, value in sent.items()}


async def test_discord_is_told_of_the_same_commands(world: World) -> None:
    tree = world.bot.tree
    sent = [await each.get_translated_payload(tree, Keys()) for each in tree.get_commands()]
    told = {each["name"]: each for each in map(keyed, sent)}
    assert told == json.loads(SNAPSHOT.read_text("utf-8"))
