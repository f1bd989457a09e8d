"""Discord's gateway: sessions over a WebSocket, which are dropped, resumed and forgotten."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp.web
from aiohttp import WSMsgType

from tests.chaos.state import APPLICATION_ID, BOT_ID, CHANNELS, GUILD_ID, OWNER_ID, State

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACKNOWLEDGED = (
    *(0, 1, 2, 6, 7, 9),
    *(10, 11),
)
ME: Final = {
    "id": str(BOT_ID),
    "username": "Penultimate",
    "discriminator": "0",
    "avatar": None,
    "bot": True,
    "flags": 0,
    "verified": True,
    "mfa_enabled": False,
}
# Administrator's right, for what the bot may do on its server.
EVERYTHING: Final = "8"


@dataclass(eq=False)
class Session:
    """``events`` are all of it, for a bot that resumes."""

    id: str
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Gateway:
    """One bot's connection. ``connected`` is set while events reach it."""

    state: State
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    _session: Session | None = None
    _socket: aiohttp.web.WebSocketResponse | None = None
    _transport: asyncio.Transport | None = None
    _host: str = ""
    _count: int = 0

    async def dispatch(self, name: str, data: dict[str, Any]) -> None:
        """Tell the bot of an event, at once or as soon as it resumes its session."""
        if self._session is None:
            return
        number = len(self._session.events) + 1
        event = {"op": DISPATCH, "t": name, "s": number, "d": data}
        self._session.events.append(event)
        if self._socket is not None and self.connected.is_set():
            await _send(self._socket, event)

    async def drop(self) -> None:
        """Cut the line without a word."""
        self._socket = None
        self.connected.clear()
        if self._transport is not None:
            self._transport.abort()

    async def ask_to_reconnect(self) -> None:
        if self._socket is not None:
            await _send(self._socket, {"op": RECONNECT, "d": None})

    async def forget(self) -> None:
        """End the session: what was not told yet is never told."""
        self._session = None
        if self._socket is not None:
            await _send(self._socket, {"op": INVALID, "d": False})

    async def serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        """Talk to one connection until it ends."""
        socket = aiohttp.web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self._transport, self._host = request.transport, request.host
        await _send(socket, {"op": HELLO, "d": {"heartbeat_interval": 20_000}})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._hear(socket, json.loads(message.data))
            elif message.type is WSMsgType.BINARY:
                await self._hear(socket, json.loads(message.data.decode()))
        if socket is self._socket:
            self._socket = None
            self.connected.clear()
        return socket

    async def _hear(self, socket: aiohttp.web.WebSocketResponse, said: dict[str, Any]) -> None:
        match said["op"]:
            case op if op == HEARTBEAT:
                await _send(socket, {"op": ACKNOWLEDGED, "d": None})
            case op if op == IDENTIFY:
                await self._identify(socket, said["d"])
            case op if op == RESUME:
                await self._resume(socket, said["d"])

    async def _identify(self, socket: aiohttp.web.WebSocketResponse, data: dict[str, Any]) -> None:
        self._count += 1
        self._session, self._socket = Session(f"session-{self._count}"), socket
        self.connected.set()
        ready = {
            "v": 10,
            "user": ME,
            "guilds": [{"id": str(GUILD_ID), "unavailable": True}],
            "session_id": self._session.id,
            "resume_gateway_url": f"ws://{self._host}/gateway",
            "shard": data.get("shard", [0, 1]),
            "application": {"id": str(APPLICATION_ID), "flags": 0},
        }
        await self.dispatch("READY", ready)
        await self.dispatch("GUILD_CREATE", guild())

    async def _resume(self, socket: aiohttp.web.WebSocketResponse, data: dict[str, Any]) -> None:
        session = self._session
        if session is None or session.id != data["session_id"]:
            await _send(socket, {"op": INVALID, "d": False})
            return
        self._socket = socket
        for event in session.events[data["seq"] :]:
            await _send(socket, event)
        self.connected.set()
        await self.dispatch("RESUMED", {})


async def _send(socket: aiohttp.web.WebSocketResponse, payload: dict[str, Any]) -> None:
    try:
        await socket.send_str(json.dumps(payload))
    except ConnectionError:
        # It was cut; a bot that resumes is told then.
        return


def user(user_id: int) -> dict[str, Any]:
    return (
        ME
        if user_id == BOT_ID
        else {
            "id": str(user_id),
            "username": f"member{user_id}",
            "global_name": None,
            "discriminator": "0",
            "avatar": None,
        }
    )


def member(user_id: int) -> dict[str, Any]:
    return {
        "user": user(user_id),
        "roles": [],
        "joined_at": "2020-01-01T00:00:00+00:00",
        "deaf": False,
        "mute": False,
        "flags": 0,
        "permissions": EVERYTHING if user_id == OWNER_ID else "2147483648",
    }


def channel(channel_id: int) -> dict[str, Any]:
    return {
        "id": str(channel_id),
        "type": 0,
        "name": f"channel{channel_id}",
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
        "parent_id": None,
        "guild_id": str(CHANNELS[channel_id]),
    }


def guild() -> dict[str, Any]:
    """The bot's own server, as it is told of it."""
    role = {
        "id": str(GUILD_ID),
        "name": "@everyone",
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": 0,
        "permissions": "2251799813685247",
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }
    here = [each for each, owner in CHANNELS.items() if owner == GUILD_ID]
    lists = ("threads", "presences", "stickers", "emojis", "features", "voice_states")
    return dict.fromkeys(lists, ()) | {
        "id": str(GUILD_ID),
        "name": "Chaos",
        "owner_id": str(OWNER_ID),
        "region": "x",
        "afk_timeout": 60,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "system_channel_flags": 0,
        "premium_tier": 0,
        "nsfw_level": 0,
        "preferred_locale": "en-US",
        "joined_at": "2020-01-01T00:00:00+00:00",
        "large": False,
        "unavailable": False,
        "member_count": 2,
        "roles": [role],
        "members": [member(BOT_ID)],
        "channels": [channel(each) for each in here],
        "stage_instances": (),
        "guild_scheduled_events": (),
        "soundboard_sounds": (),
    }
