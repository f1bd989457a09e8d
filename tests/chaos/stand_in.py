"""Discord's HTTP interface, as much of it as the bot uses, with its faults."""

from __future__ import annotations

import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp.web
from PIL import Image

from tests.chaos.faults import Trouble
from tests.chaos.gateway import ME, Gateway, user
from tests.chaos.state import (
    APPLICATION_ID,
    CHANNELS,
    EPHEMERAL,
    GUILD_ID,
    LOADING,
    MEMBER_IDS,
    OWNER_ID,
    TO_ANSWER,
    Interaction,
    Message,
    State,
)

# A member's direct messages are the channel with his number and this.
DIRECT: Final = 10_000
# Seconds for which Discord knows a nonce: less than the bot's longer pauses, as in life.
NONCES: Final = 2.5
DEFERRED, UPDATED_LATER, UPDATED, CHOICES, FORM = 5, 6, 7, 8, 9


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    return file.getvalue()


# What Discord adds to a command.
COMMAND: Final = {"version": "1", "application_id": str(APPLICATION_ID), "type": 1}
# What every file is that the bot asks for.
PICTURE: Final = _picture()


class Refused(Exception):
    """An answer of Discord's that is no success."""

    def __init__(self, status: int, code: int = 0, **more: Any) -> None:
        super().__init__(status, code)
        self.status = status
        self.body = {"message": "refused", "code": code, **more}


UNKNOWN_INTERACTION = (404, 10062)
ACKNOWLEDGED_ALREADY = (400, 40060)
BAD_TOKEN = (401, 50027)
UNKNOWN_MESSAGE = (404, 10008)
NO_ACCESS = (403, 50001)
NO_DIRECT_MESSAGES = (403, 50007)


@dataclass
class Asked:
    """One request: its path in parts, its JSON and the sizes of its files by name."""

    method: str
    path: list[str]
    query: dict[str, str]
    body: dict[str, Any]
    files: dict[str, int]


@dataclass
class StandIn:
    state: State
    trouble: Trouble
    gateway: Gateway
    address: str = ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[str]:
        """Serve at the address that this gives."""
        application = aiohttp.web.Application(client_max_size=2**28)
        application.router.add_get("/gateway", self.gateway.serve)
        application.router.add_get("/files/{name}", self._file)
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = aiohttp.web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self.address
        finally:
            await self.gateway.drop()
            await runner.cleanup()

    async def _file(self, _: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(body=PICTURE, content_type="image/png")

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        asked = await _read(request)
        fault = self.trouble.kind()
        if fault is not None:
            self._hurt(asked)
            self.state.answers[f"made to fail: {fault}"] += 1
        try:
            if fault not in (None, "lost"):
                raise _failure(fault)
            body = self._answer(asked)
        except Refused as refused:
            self.state.answers[f"{refused.status} {refused.body['code']}"] += 1
            return _response(refused.body, refused.status)
        if fault == "lost" and request.transport is not None:
            # What was asked for is done, and nobody hears of it.
            request.transport.abort()
        self.state.answers["200"] += 1
        return _response(body, 200 if body is not None else 204)

    def _hurt(self, asked: Asked) -> None:
        for part in asked.path:
            if (interaction := self.state.interactions.get(part)) is not None:
                interaction.hurt = True

    def _answer(self, asked: Asked) -> Any:
        match asked.method, asked.path:
            case "GET", ["users", "@me"]:
                return ME
            case "GET", ["oauth2", "applications", "@me"]:
                return {
                    "id": str(APPLICATION_ID),
                    "name": "x",
                    "icon": None,
                    "description": "",
                    "bot_public": True,
                    "bot_require_code_grant": False,
                    "verify_key": "",
                    "owner": user(OWNER_ID),
                    "flags": 0,
                }
            case "GET", ["gateway", "bot"]:
                limit = {"total": 1000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}
                url = self.address.replace("http", "ws") + "/gateway"
                return {"url": url, "shards": 1, "session_start_limit": limit}
            case "PUT", ["applications", _, "commands"]:
                self.state.commands = [
                    {"id": str(100 + number), "description": "", **COMMAND, **each}
                    for number, each in enumerate(asked.body["list"])
                ]
                return self.state.commands
            case "POST", ["users", "@me", "channels"]:
                return self._direct(int(asked.body["recipient_id"]))
            case "POST", ["interactions", _, token, "callback"]:
                return self._callback(token, asked)
            case "POST", ["webhooks", _, token]:
                return self._follow_up(token, asked)
            case _, ["webhooks", _, token, "messages", which]:
                return self._of_webhook(token, which, asked)
            case "GET", ["channels", channel_id, "messages"]:
                return self._history(int(channel_id), asked.query)
            case "POST", ["channels", channel_id, "messages"]:
                return self._send(int(channel_id), asked)
            case _, ["channels", channel_id, "messages", message_id]:
                self._check_channel(int(channel_id))
                return self._change(self._message(message_id), asked)
        self.state.unknown.add(f"{asked.method} {'/'.join(asked.path)}")
        raise Refused(404)

    # Interactions.

    def _interaction(self, token: str) -> Interaction:
        interaction = self.state.interactions.get(token)
        if interaction is None or interaction.expired:
            raise Refused(*BAD_TOKEN)
        return interaction

    def _callback(self, token: str, asked: Asked) -> Any:
        interaction = self.state.interactions.get(token)
        if interaction is None or time.monotonic() - interaction.sent > TO_ANSWER:
            raise Refused(*UNKNOWN_INTERACTION)
        if interaction.acknowledged is not None:
            raise Refused(*ACKNOWLEDGED_ALREADY)
        interaction.acknowledged = time.monotonic() - interaction.sent
        interaction.answered.set()
        data = asked.body.get("data") or {}
        match asked.body["type"]:
            case kind if kind == FORM:
                interaction.modal = data
            case kind if kind == CHOICES:
                assert len(data["choices"]) <= 25
            case kind if kind == UPDATED and interaction.original is not None:
                self._fill(interaction.original, data, asked.files)
            case kind if kind not in (UPDATED, UPDATED_LATER):
                message = self._make(interaction.channel_id, interaction)
                interaction.original = message
                self._fill(message, data, asked.files)
                if kind == DEFERRED:
                    message.wire["flags"] |= LOADING
        shown = interaction.original
        about: dict[str, Any] = {"id": str(interaction.id), "type": interaction.kind}
        about |= {"response_message_id": str(shown.id)} if shown else {}
        resource = {"type": asked.body["type"], "message": shown.wire} if shown else None
        return {"interaction": about, "resource": resource}

    def _follow_up(self, token: str, asked: Asked) -> Any:
        interaction = self._interaction(token)
        if interaction.acknowledged is None:
            raise Refused(404, 10015)
        message = self._make(interaction.channel_id, interaction)
        self._fill(message, asked.body, asked.files)
        return message.wire

    def _of_webhook(self, token: str, which: str, asked: Asked) -> Any:
        interaction = self._interaction(token)
        if interaction.acknowledged is None:
            raise Refused(404, 10015)
        if which != "@original":
            message = self._message(which)
            # A token reaches what answers its interaction, and the message that was pressed.
            if message.asked is not interaction and message is not interaction.original:
                raise Refused(*UNKNOWN_MESSAGE)
            return self._change(message, asked)
        if interaction.original is None or interaction.original.deleted:
            raise Refused(*UNKNOWN_MESSAGE)
        return self._change(interaction.original, asked)

    # Messages.

    def _message(self, message_id: str) -> Message:
        message = self.state.messages.get(int(message_id))
        if message is None or message.deleted:
            raise Refused(*UNKNOWN_MESSAGE)
        return message

    def _check_channel(self, channel_id: int) -> None:
        self._check_readable(channel_id)
        if channel_id > DIRECT and self.trouble.closed_messages:
            raise Refused(*NO_DIRECT_MESSAGES)

    def _check_readable(self, channel_id: int) -> None:
        # What was sent to a member can be read whether or not more can be sent.
        elsewhere = channel_id < DIRECT and CHANNELS.get(channel_id) != GUILD_ID
        if elsewhere or channel_id in self.trouble.closed_channels:
            raise Refused(*NO_ACCESS)

    def _direct(self, user_id: int) -> dict[str, Any]:
        assert user_id in MEMBER_IDS
        recipients = [user(user_id)]
        return {"id": str(DIRECT + user_id), "type": 1, "recipients": recipients}

    def _send(self, channel_id: int, asked: Asked) -> Any:
        self._check_channel(channel_id)
        nonce = str(asked.body.get("nonce") or "")
        before = self.state.nonces.get((channel_id, nonce)) if nonce else None
        if before is not None and not before.deleted and time.monotonic() - before.sent < NONCES:
            return before.wire
        message = self._make(channel_id, None, nonce)
        self.state.nonces[channel_id, nonce] = message
        self._fill(message, asked.body, asked.files)
        return message.wire

    def _history(self, channel_id: int, query: dict[str, str]) -> list[dict[str, Any]]:
        """The first messages after one, newest first, as Discord gives them."""
        self._check_readable(channel_id)
        after, limit = int(query["after"]), int(query["limit"])
        found = [
            each.wire
            for each in self.state.alive()
            if each.channel_id == channel_id and not each.ephemeral and each.id > after
        ]
        return found[:limit][::-1]

    def _make(self, channel_id: int, interaction: Interaction | None, nonce: str = "") -> Message:
        message_id = self.state.new_id()
        wire: dict[str, Any] = {
            "id": str(message_id),
            "channel_id": str(channel_id),
            "author": ME,
            "content": "",
            "timestamp": "2026-01-01T00:00:00+00:00",
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            **{name: [] for name in ("mentions", "mention_roles", "attachments", "embeds")},
            "components": [],
            "pinned": False,
            "type": 0,
            "flags": 0,
        }
        sees = channel_id - DIRECT if channel_id > DIRECT else None
        message = Message(message_id, channel_id, wire, sees, interaction, nonce)
        self.state.messages[message_id] = message
        return message

    def _fill(self, message: Message, data: dict[str, Any], files: dict[str, int]) -> None:
        wire = message.wire
        wire |= {name: data[name] for name in ("content", "components", "embeds") if name in data}
        flags = int(data.get("flags") or 0)
        wire["flags"] = (wire["flags"] | flags) & ~LOADING
        if flags & EPHEMERAL and message.asked is not None:
            message.sees = message.asked.user_id
        if "attachments" in data:
            kept = {each["id"]: each for each in wire["attachments"]}
            given = data["attachments"]
            wire["attachments"] = [
                kept.get(str(each["id"])) or self._attachment(each["filename"], files)
                for each in given
            ]
        self.state.show(message)

    def _attachment(self, name: str, files: dict[str, int]) -> dict[str, Any]:
        url = f"{self.address}/files/{name}"
        size = files[name]
        return {
            "id": str(self.state.new_id()),
            "filename": name,
            "size": size,
            "url": url,
            "proxy_url": url,
            "content_type": "image/png",
        }

    def _change(self, message: Message, asked: Asked) -> Any:
        after = time.monotonic() - message.sent
        message.trail.append(f"{asked.method} {asked.path[0]} after {after:.1f} s")
        if asked.method == "DELETE":
            message.deleted = "bot"
            return None
        if asked.method == "PATCH":
            self._fill(message, asked.body, asked.files)
        return message.wire


async def _read(request: aiohttp.web.Request) -> Asked:
    path = request.path.strip("/").split("/")
    body: Any = {}
    files: dict[str, int] = {}
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        body = json.loads(str(form["payload_json"]))
        uploads = [each for each in form.values() if isinstance(each, aiohttp.web.FileField)]
        files = {each.filename: len(each.file.read()) for each in uploads}
    elif request.can_read_body:
        body = await request.json()
    if isinstance(body, list):
        body = {"list": body}
    return Asked(request.method, path, dict(request.query), body or {}, files)


def _failure(kind: str | None) -> Refused:
    match kind:
        case "429":
            return Refused(429, 0, retry_after=0.3, **{"global": False})
        case "refused":
            return Refused(403, 50013)
        case _:
            return Refused(int(kind or 500))


def _response(body: Any, status: int) -> aiohttp.web.Response:
    # discord.py reads JSON only where the type is this and nothing more.
    headers = {"Via": "1.1 chaos"}
    if status == 429:
        headers["Retry-After"] = "1"
    if body is None:
        return aiohttp.web.Response(status=status, headers=headers)
    data = json.dumps(body).encode()
    return aiohttp.web.Response(
        body=data, status=status, headers=headers, content_type="application/json"
    )
