"""A place where only a member installed the bot: a server, a group, a friend's messages.

simcord knows no such place, so this stands between it and the bot. What the bot is told looks as
Discord tells it: a partial server that is not in its cache, or none. Its answers are taken, with at
most five further ones for an interaction and for 15 minutes; whatever else it asks for is 50001.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import discord
import pytest
from simcord.actors import MemberActor
from simcord.backend import Backend
from simcord.backend.errors import BackendError
from simcord.gateway import FakeGateway
from simcord.http import router

from tests.simulation import World

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
MISSING_ACCESS: Final = (403, 50001, "Missing Access")
INVALID_TOKEN: Final = (401, 50027, "Invalid Webhook Token")
NO_MORE_FOLLOW_UPS: Final = (400, 40094, "Too many follow-up messages for this interaction")

FOLLOW_UPS: Final = 5
LIFETIME: Final = 15 * 60
EPHEMERAL: Final = 1 << 6
GUILD, PRIVATE_CHANNEL = 0, 2
CHANNEL_TYPE: Final = {"friend": 1, "group": 3}
GUILD_ID: Final = 1_400_000_000_000_000_000
Kind = Literal["server", "group", "friend"]
# What a bot may do wherever a member brings it along.
MAY: Final = discord.Permissions(attach_files=True, embed_links=True, mention_everyone=True)


@dataclass
class Token:
    """An interaction's: since when, and how many further messages it was used for."""

    begun: float
    follow_ups: int = 0


class Away:
    """The place and two members of the world in it; ``ann`` is the one who installed the bot.

    ``ephemeral``: the server hides every answer from all but the one who asked. ``lifetime`` is
    a token's, in seconds. What Discord said no to is counted in ``refused``.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
        self._world = world
        self._kind = kind
        self._feed, self._dispatch = FakeGateway.feed, router.dispatch
        self.ephemeral = False
        self.lifetime: float = LIFETIME
        self.tokens: dict[str, Token] = {}
        self.refused: Counter[str] = Counter()

        def feed(gateway: FakeGateway, event: str, payload: Mapping[str, Any]) -> None:
            self._tell(gateway, event, payload)

        monkeypatch.setattr(FakeGateway, "feed", feed)
        monkeypatch.setattr(router, "dispatch", self._asked)
        self.guild = world.env.create_guild("Away", id=GUILD_ID)
        self.channel = self.guild.create_text_channel("elsewhere")
        self.ann = self.guild.add_member(world.ann.user)
        self.bob = self.guild.add_member(world.bob.user)

    def posts(self, viewer: MemberActor | None = None) -> list[discord.Message]:
        """What ``viewer`` sees there, oldest first; all there is without one."""
        return list(self.channel.history(viewer=viewer))

    # What the bot is told.

    def _tell(self, gateway: FakeGateway, event: str, payload: Mapping[str, Any]) -> None:
        guild_id = payload.get("guild_id") or payload.get("id")
        if int(guild_id or 0) != GUILD_ID:
            self._feed(gateway, event, payload)
        elif event == "INTERACTION_CREATE":
            self.tokens[payload["token"]] = Token(self._world.now)
            self._feed(gateway, event, self._as_told(copy.deepcopy(dict(payload))))

    def _as_told(self, payload: dict[str, Any]) -> dict[str, Any]:
        channel = payload["channel"]
        channel.pop("permission_overwrites", None)
        payload |= {
            "authorizing_integration_owners": {"1": str(self._world.ann.id)},
            "app_permissions": str(MAY.value),
            "attachment_size_limit": discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES,
            "context": GUILD,
            "guild": {"id": str(GUILD_ID), "locale": "en-US", "features": []},
        }
        if self._kind != "server":
            del payload["guild"], payload["guild_id"], payload["guild_locale"]
            payload["user"] = payload.pop("member")["user"]
            payload["context"] = PRIVATE_CHANNEL
            payload["channel"] = {
                "id": channel["id"],
                "type": CHANNEL_TYPE[self._kind],
                "recipients": [payload["user"]],
            }
            payload["data"].get("resolved", {}).pop("members", None)
        return payload

    # What the bot asks for.

    def _asked(self, backend: Backend, method: str, path: str, **rest: Any) -> Any:
        first, *more = path.strip("/").split("/")
        channel = backend.channels.get(int(more[0])) if first == "channels" else None
        if channel is not None and channel.guild_id == GUILD_ID:
            self._refuse(method, MISSING_ACCESS)
        token = self.tokens.get(more[1]) if len(more) > 1 else None
        if token is not None:
            if self._world.now - token.begun > self.lifetime:
                self._refuse(method, INVALID_TOKEN)
            if self.ephemeral and method == "POST":
                rest["json"] = _hidden(rest["json"], first)
            if method == "POST" and first == "webhooks":
                if token.follow_ups >= FOLLOW_UPS:
                    self._refuse(method, NO_MORE_FOLLOW_UPS)
                answered = self._dispatch(backend, method, path, **rest)
                token.follow_ups += 1
                return answered
        return self._dispatch(backend, method, path, **rest)

    def _refuse(self, method: str, error: tuple[int, int, str]) -> None:
        self.refused[f"{method} {error[1]}"] += 1
        raise BackendError(*error)


def _hidden(body: dict[str, Any], first: str) -> dict[str, Any]:
    """An answer or a further message with Discord's own flag: only who asked sees it."""
    body = copy.deepcopy(body)
    message = body.setdefault("data", {}) if first == "interactions" else body
    if first == "webhooks" or body["type"] in (4, 5):
        message["flags"] = int(message.get("flags") or 0) | EPHEMERAL
    return body
