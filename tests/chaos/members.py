"""What members do: they draw, press whatever they see, fill in forms, react, and use every command.

What there is to use is learnt from the bot: the commands that it registered and their options, the
controls of the messages that it sent, the forms that it opened.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from simcord.components import walk_components

from bot.posts.controls import PATTERN
from tests.chaos.gateway import Gateway, channel, member, user
from tests.chaos.stand_in import DIRECT
from tests.chaos.state import (
    APPLICATION_ID,
    CHANNELS,
    GUILD_ID,
    MEMBER_IDS,
    TO_ANSWER,
    Interaction,
    Message,
    State,
)

COMMAND, COMPONENT, TYPING, FORM = 2, 3, 4, 5
WORDS: Final = (
    "a cat",
    "{red|blue} sky",
    "(ink:1.2)",
    "<lora:ink:1>",
    "日本",
    "step",
    "[a:b:3]",
    "x",
)
# What the engine does at these: die, fail, come upon a bug.
RARE: Final = ("die once", "fail", "raise", "die")
TEXTS: Final = ("", "x", "plain", "anime", "Clip skip", "1-12", "5, 7", "cat", "1", "20", "Euler a")
NUMBERS: Final = ("", "1", "2", "7", "20", "999", "-1", "x", "20 7 512x512")
REACTIONS: Final = ("🎲", "⬆️", "⬇️", "✉️", "❌", "👍")
# Commands that would leave the others nothing to do.
LEFT_ALONE: Final = ("admin", "config")
# What deletes jobs, which are then missing without being lost.
DELETES: Final = ("delete_now", "remove")


@dataclass
class Member:
    """One of them, with a plan of his own that the seed decides."""

    user_id: int
    random: random.Random
    state: State
    gateway: Gateway
    address: str
    # Seconds between two things that he does, on average.
    seconds: float = 1.0
    done: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Go on until cancelled."""
        actions = {self.draw: 5, self.press: 6, self.react: 1, self.command: 3, self.type: 1}
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.seconds))
            if self.gateway.connected.is_set() and self.state.commands:
                await self.random.choices([*actions], [*actions.values()])[0]()

    # What he does.

    async def draw(self) -> None:
        rare = self.random.random() < 0.08
        words = self.random.choices(WORDS, k=self.random.randint(1, 40))
        words += [self.random.choice(RARE)] if rare else []
        options: dict[str, Any] = {"prompt": ", ".join(words)}
        for name, value in (("private", True), ("count", 2), ("clip_skip", 2), ("steps", 9)):
            if self.random.random() < 0.2:
                options[name] = value
        leaf = next(each for path, each in self._leaves() if path == ["imagine"])
        types = {each["name"]: each["type"] for each in leaf["options"]}
        given = [{"name": k, "type": types[k], "value": v} for k, v in options.items()]
        await self._command(["imagine"], given, {})

    async def command(self) -> None:
        leaves = [(path, leaf) for path, leaf in self._leaves() if path[0] not in LEFT_ALONE]
        path, leaf = self.random.choice(leaves)
        resolved: dict[str, Any] = {}
        given = [
            {"name": each["name"], "type": each["type"], "value": self._value(each, resolved)}
            for each in leaf.get("options") or []
            if each.get("required") or self.random.random() < 0.2
        ]
        await self._command(path, given, resolved)

    async def type(self) -> None:
        """Type into an option that completes, without sending it."""
        found = [
            (path, each)
            for path, leaf in self._leaves()
            for each in leaf.get("options") or []
            if each.get("autocomplete")
        ]
        path, option = self.random.choice(found)
        value = self.random.choice(TEXTS)
        typed = {"name": option["name"], "type": option["type"], "value": value, "focused": True}
        await self._use(TYPING, " ".join(path), _nested(path, [typed], self._root(path)))

    async def press(self) -> None:
        seen = [each for each in self.state.visible_to(self.user_id) if each.controls]
        if not seen:
            return
        message = self.random.choice(seen)
        control = self.random.choice(message.controls)
        if control["custom_id"].startswith("s:forget_me") and self.random.random() < 0.95:
            return  # Else there would be hardly a job left to look after.
        data = {"custom_id": control["custom_id"], "component_type": control["type"]}
        if control["type"] != 2:
            data["values"] = self._values(control)
        interaction = await self._use(
            COMPONENT, control["custom_id"], data, message=message, channel_id=message.channel_id
        )
        if await self._answered(interaction) and interaction.modal is not None:
            await self._send(interaction.modal, message)

    async def react(self) -> None:
        seen = [each for each in self.state.visible_to(self.user_id) if not each.ephemeral]
        seen = [each for each in seen if CHANNELS.get(each.channel_id) == GUILD_ID]
        if not seen:
            return
        message, emoji = self.random.choice(seen), self.random.choice(REACTIONS)
        if emoji.startswith("❌"):
            self.state.deleted_jobs |= {job for _, job in message.actions}
        self.done["reactions"] += 1
        await self.gateway.dispatch(
            "MESSAGE_REACTION_ADD",
            {
                "user_id": str(self.user_id),
                "channel_id": str(message.channel_id),
                "message_id": str(message.id),
                "guild_id": str(GUILD_ID),
                "emoji": {"id": None, "name": emoji},
                "member": member(self.user_id),
                "message_author_id": message.wire["author"]["id"],
                "burst": False,
                "type": 0,
            },
        )

    async def _send(self, form: dict[str, Any], message: Message) -> None:
        """Fill a form in, mostly with what stands in it, and send it."""
        fields = []
        for item in walk_components(form["components"]):
            if "custom_id" not in item or item["type"] == 18:
                continue
            filled: dict[str, Any] = {"type": item["type"], "custom_id": item["custom_id"]}
            if item["type"] == 4:
                kept = self.random.random() < 0.7
                filled["value"] = item.get("value", "") if kept else self.random.choice(NUMBERS)
            else:
                filled["values"] = self._values(item)
            fields.append({"type": 18, "component": filled})
        data = {"custom_id": form["custom_id"], "components": fields}
        await self._use(
            FORM, form["custom_id"], data, message=message, channel_id=message.channel_id
        )

    async def _answered(self, interaction: Interaction) -> bool:
        try:
            await asyncio.wait_for(interaction.answered.wait(), TO_ANSWER)
        except TimeoutError:
            return False
        return True

    # How Discord tells of it.

    async def command_once(self, path: list[str]) -> Interaction:
        """Use a command that needs no options."""
        return await self._command(path, [], {})

    async def _command(
        self, path: list[str], given: list[dict[str, Any]], resolved: dict[str, Any]
    ) -> Interaction:
        data = _nested(path, given, self._root(path)) | {"resolved": resolved}
        return await self._use(COMMAND, " ".join(path), data)

    async def _use(
        self,
        kind: int,
        name: str,
        data: dict[str, Any],
        message: Message | None = None,
        channel_id: int | None = None,
    ) -> Interaction:
        if channel_id is None:
            channel_id = self.random.choice([*CHANNELS, 501, 502, DIRECT + self.user_id])
        number = self.state.new_id()
        # Of the seed's: two runs differ in numbers alone.
        token = f"secret{number}{self.random.getrandbits(64):x}"
        interaction = Interaction(number, token, self.user_id, channel_id, kind, name, monotonic())
        interaction.original = message
        self._note_deletion(name)
        self.state.interactions[token] = interaction
        self.done[{2: "commands", 3: "presses", 4: "completions", 5: "forms"}[kind]] += 1
        await self.gateway.dispatch("INTERACTION_CREATE", _told(interaction, data, message))
        return interaction

    def _note_deletion(self, name: str) -> None:
        match = PATTERN.fullmatch(name)
        if match and match["action"] in DELETES:
            self.state.deleted_jobs.add(int(match["job"]))
        if name.startswith("s:forget_me"):
            self.state.forgotten[self.user_id] = monotonic()

    # What there is to choose from.

    def _root(self, path: list[str]) -> dict[str, Any]:
        return next(
            each for each in self.state.commands if each["name"] == path[0] and each["type"] == 1
        )

    def _leaves(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        def below(path: list[str], node: dict[str, Any]) -> Iterator[Any]:
            inner = [each for each in node.get("options") or [] if each["type"] in (1, 2)]
            for each in inner:
                yield from below([*path, each["name"]], each)
            if not inner:
                yield path, node

        for command in self.state.commands:
            if command["type"] == 1:
                yield from below([command["name"]], command)

    def _values(self, control: dict[str, Any]) -> list[str]:
        if control.get("options"):
            return [self.random.choice(control["options"])["value"]]
        return [] if control.get("min_values") == 0 else ["501"]

    def _value(self, option: dict[str, Any], resolved: dict[str, Any]) -> Any:
        if option.get("choices"):
            return self.random.choice(option["choices"])["value"]
        match option["type"]:
            case 4:
                low, high = option.get("min_value", 1), option.get("max_value", 100)
                return self.random.randint(int(low), min(int(high), int(low) + 30))
            case 5:
                return self.random.random() < 0.5
            case 10:
                return round(self.random.uniform(option.get("min_value", 0), 10), 2)
            case 6:
                number = self.random.choice(MEMBER_IDS)
                resolved["users"] = {str(number): user(number)}
                return str(number)
            case 11:
                resolved["attachments"] = {"77": _attachment(self.address)}
                return "77"
            case _:
                return self.random.choice(TEXTS)[: option.get("max_length", 100)] or "x"


def _nested(path: list[str], given: list[dict[str, Any]], root: dict[str, Any]) -> dict[str, Any]:
    """A command's data; a subcommand is an option of the one above it."""
    options = given
    for depth in range(len(path) - 1, 0, -1):
        kind = 1 if depth == len(path) - 1 else 2
        options = [{"name": path[depth], "type": kind, "options": options}]
    return {"id": root["id"], "name": path[0], "type": 1, "options": options}


def _attachment(address: str) -> dict[str, Any]:
    url = f"{address}/files/start.png"
    return {
        "id": "77",
        "filename": "start.png",
        "size": 100,
        "url": url,
        "proxy_url": url,
        "content_type": "image/png",
        "width": 16,
        "height": 16,
        "ephemeral": True,
    }


def _told(
    interaction: Interaction, data: dict[str, Any], message: Message | None
) -> dict[str, Any]:
    """An interaction as Discord tells of it: on the bot's server, on another, or in messages."""
    channel_id, who = interaction.channel_id, str(interaction.user_id)
    told: dict[str, Any] = {
        "id": str(interaction.id),
        "application_id": str(APPLICATION_ID),
        "type": interaction.kind,
        "token": interaction.token,
        "version": 1,
        "channel_id": str(channel_id),
        "locale": "en-US",
        "entitlements": [],
        "app_permissions": "2251799813685247",
        "attachment_size_limit": 10_485_760,
        "data": data,
    }
    if message is not None:
        told["message"] = message.wire
    if channel_id > DIRECT:
        place = {"id": str(channel_id), "type": 1, "recipients": [user(interaction.user_id)]}
        alone = {"user": user(interaction.user_id), "channel": place, "context": 1}
        return told | alone | {"authorizing_integration_owners": {"1": who}}
    guild_id = CHANNELS[channel_id]
    return told | {
        "guild_id": str(guild_id),
        "guild": {"id": str(guild_id), "locale": "en-US", "features": []},
        "guild_locale": "en-US",
        "channel": channel(channel_id),
        "member": member(interaction.user_id),
        "context": 0,
        "authorizing_integration_owners": {"0": str(guild_id)}
        if guild_id == GUILD_ID
        else {"1": who},
    }
