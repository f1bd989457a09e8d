"""The sandbox's page: simcord's members, channels and messages, for a browser.

The page is ``data/sandbox``; this is what it asks. Whoever looks has a *seat*: a member and a
channel. ``events`` streams what that seat sees, ``act`` does what a member can do in Discord and
answers with what Discord would show at once: a form, choices, or that there was no answer.
An act names a message and a control, never a version of the page, so none is ever out of date.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from simcord.actors import MemberActor
from simcord.backend import serializers
from simcord.backend.access import channel_accessible, message_accessible
from simcord.backend.cdn import CDN_BASE
from simcord.backend.errors import BackendError, SetupError
from simcord.builders import ChannelHandle, GuildHandle, UserHandle
from simcord.enums import AppCommandType
from simcord.env import Env
from simcord.results import InteractionResult, ResponseMessage

from bot.settings import SHIPPED_DATA
from bot.translate import catalogues

FOLDER: Final = SHIPPED_DATA / "sandbox"
# Messages of a channel that the page has; older ones are dropped from it.
MAX_MESSAGES: Final = 100
# Discord waits this long for a bot's first answer, in seconds.
SECONDS_TO_ANSWER: Final = 3.0
# Between two looks for news, in seconds.
PAUSE: Final = 0.03
# Bytes of a request: a few start images in base64.
MAX_REQUEST: Final = 64 * 2**20
# What the file would have the browser load and from where: nothing but this server.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass
class Stage:
    """The people and places of the sandbox; ``prompts`` are those that its welcome offers.

    ``locales`` are the languages that members have chosen, by id.
    """

    env: Env
    guild: GuildHandle
    members: Sequence[MemberActor]
    channels: Sequence[ChannelHandle]
    prompts: Sequence[str] = ()
    locales: dict[int, str] = field(default_factory=dict)

    def speak(self, event: str, payload: Any) -> None:
        """Give an interaction its member's language, which simcord leaves at English."""
        if event == "INTERACTION_CREATE":
            user = payload.get("user") or payload["member"]["user"]
            payload["locale"] = self.locales.get(int(user["id"]), "en-US")


class Seat(NamedTuple):
    """Who looks, and at which channel; in direct messages simcord wants the user."""

    actor: MemberActor | UserHandle
    channel: ChannelHandle

    @property
    def where(self) -> tuple[ChannelHandle, ...]:
        """The channel, for verbs of a member; a user has only one."""
        return (self.channel,) if isinstance(self.actor, MemberActor) else ()


class Page:
    """The server of the page. Its address is a secret: who knows it can press the buttons."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.env = stage.env
        self._forms: dict[str, InteractionResult] = {}
        self._secret = secrets.token_urlsafe(16)
        self._address = ""
        self._acts: dict[str, Callable[[Seat, dict[str, Any]], Awaitable[Any]]] = {
            "send": self._send,
            "command": self._command,
            "complete": self._complete,
            "menu": self._menu,
            "press": self._press,
            "choose": self._choose,
            "submit": self._submit,
            "react": self._react,
            "delete": self._delete,
            "speak": self._speak,
        }

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{self._address}/{self._secret}/"

    async def start(self, host: str, port: int) -> web.AppRunner:
        """Serve at ``host``; port 0 is any free one. The runner ends it."""
        app = web.Application(client_max_size=MAX_REQUEST)
        root = f"/{self._secret}"
        app.router.add_get(root + "/", self._file)
        app.router.add_get(root + "/{name}", self._file)
        app.router.add_get(root + "/api/events", self._events)
        app.router.add_get(root + "/api/commands", self._commands)
        app.router.add_post(root + "/api/act", self._act)
        app.router.add_get(root + "/cdn/{path:.+}", self._media)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self._address = f"{host}:{runner.addresses[0][1]}"
        return runner

    # What is read.

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "page.html")
        if name not in (path.name for path in FOLDER.iterdir()):
            raise web.HTTPNotFound
        return web.FileResponse(FOLDER / name, headers=HEADERS)

    async def _media(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        data = self.env.backend.cdn.get(f"{CDN_BASE}/{path}")
        if data is None:
            raise web.HTTPNotFound
        kind = _KINDS.get(Path(path).suffix.lower(), "application/octet-stream")
        # An upload never changes.
        headers = HEADERS | {"Cache-Control": "max-age=3600"}
        return web.Response(body=data, content_type=kind, headers=headers)

    async def _commands(self, request: web.Request) -> web.Response:
        seat = self._seat(request.query)
        see = self.env.backend.visible_commands
        where: dict[str, Any] = {"user_id": seat.actor.id, "channel_id": seat.channel.id}
        slash = see(**where)
        slash.sort(key=lambda command: (command["name"] != "imagine", command["name"]))
        menus = see(**where, type=AppCommandType.MESSAGE) if seat.where else []
        return _json({"slash": slash, "menus": menus})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Stream what the seat sees: all of it once, then what has changed."""
        seat = self._seat(request.query)
        headers = HEADERS | {"Content-Type": "text/event-stream"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with suppress(ConnectionResetError):
            await self._stream(seat, response)
        return response

    async def _stream(self, seat: Seat, response: web.StreamResponse) -> None:
        shown: dict[str, str] = {}
        around, seen = "", -1
        while True:
            # Whatever happens in simcord's Discord is written there.
            if len(self.env.backend.transcript) == seen:
                await asyncio.sleep(PAUSE)
                continue
            seen = len(self.env.backend.transcript)
            messages = self._messages(seat)
            changed = [text for key, text in messages.items() if shown.get(key) != text]
            gone = [key for key in shown if key not in messages]
            surroundings = json.dumps(self._surroundings(seat))
            if changed or gone or surroundings != around:
                data = f'{{"messages":[{",".join(changed)}],"gone":{json.dumps(gone)},'
                data += f'"first":{json.dumps(not around)},"around":{surroundings}}}'
                await response.write(f"data: {data}\n\n".encode())
            shown, around = messages, surroundings

    def _messages(self, seat: Seat) -> dict[str, str]:
        """The last messages that the seat sees, each as JSON, by id."""
        backend, viewer = self.env.backend, seat.actor.id
        there = sorted(backend.messages.get(seat.channel.id, {}).values(), key=lambda each: each.id)
        seen = [
            each
            for each in there
            if message_accessible(backend, seat.channel.id, each, viewer, history=True)
        ]
        said = {}
        for each in seen[-MAX_MESSAGES:]:
            payload: dict[str, Any] = dict(
                serializers.message_payload(backend, each, for_user=viewer)
            )
            # Of those it mentions, Discord marks it for whom it notifies.
            payload["pinged"] = viewer in each.ping_user_ids
            said[str(each.id)] = json.dumps(payload)
        return said

    def _surroundings(self, seat: Seat) -> dict[str, Any]:
        """What stands around the messages: channels, members, roles, languages, prompts."""
        stage, viewer = self.stage, seat.actor.id
        return {
            "guild": stage.guild.name,
            "bot": self._person(self.env.backend.bot_user.id),
            "viewer": str(viewer),
            "channel": str(seat.channel.id),
            "members": [self._person(member.id) for member in stage.members],
            "channels": [self._place(channel, viewer) for channel in self._channels(viewer)],
            "roles": [
                {"id": str(role.id), "name": role.name} for role in stage.guild.roles.values()
            ],
            "locale": stage.locales.get(viewer, "en-US"),
            "locales": ["en-US" if name == "en" else name for name in catalogues()],
            "prompts": list(stage.prompts),
        }

    def _person(self, user_id: int) -> dict[str, str]:
        return {"id": str(user_id), "name": self.env.backend.get_user(user_id).name}

    def _channels(self, viewer: int) -> list[ChannelHandle]:
        backend = self.env.backend
        theirs = [
            each for each in self.stage.channels if channel_accessible(backend, each.id, viewer)
        ]
        return [*theirs, self._user(viewer).dm_channel]

    def _place(self, channel: ChannelHandle, viewer: int) -> dict[str, Any]:
        there = self.env.backend.messages.get(channel.id, {}).values()
        last = max((each.id for each in there if each.visible_to(viewer)), default=0)
        return {
            "id": str(channel.id),
            "name": channel.name if channel.name and channel.id in self._public else None,
            "topic": self.env.backend.get_channel(channel.id).topic,
            "last": str(last),
        }

    @property
    def _public(self) -> set[int]:
        return {channel.id for channel in self.stage.channels}

    # What is done.

    async def _act(self, request: web.Request) -> web.Response:
        """Do one thing, and answer what Discord would show in reply."""
        body = await request.json()
        try:
            result = await self._acts[body["act"]](self._seat(body), body)
        except (BackendError, SetupError) as impossible:
            return _json({"failed": str(impossible)})
        if not isinstance(result, InteractionResult):
            return _json({})
        return _json(await self._answered(result))

    async def _answered(self, result: InteractionResult) -> dict[str, Any]:
        for _ in range(int(SECONDS_TO_ANSWER / PAUSE)):
            if result.acknowledged:
                break
            await asyncio.sleep(PAUSE)
        if not result.acknowledged:
            return {"failed": "no answer"}
        if result.modal is not None:
            key = str(len(self._forms))
            self._forms[key] = result
            return {"form": {"key": key, **result.modal}}
        return {"choices": result.autocomplete_choices or []}

    async def _send(self, seat: Seat, body: dict[str, Any]) -> None:
        files = self._value(body.get("files", []))
        if isinstance(seat.actor, MemberActor):
            await seat.actor.send(seat.channel, body["content"], attachments=files)
        else:
            backend = self.env.backend
            attachments = backend.store_attachments(seat.channel.id, files)
            await seat.actor.send_dm(body["content"], attachments=attachments)

    async def _command(self, seat: Seat, body: dict[str, Any]) -> Any:
        options = {name: self._value(value) for name, value in body["options"].items()}
        actor: Any = seat.actor
        return await actor.slash(*seat.where, body["name"], **options)

    async def _complete(self, seat: Seat, body: dict[str, Any]) -> Any:
        from simcord import actors

        filled = {name: self._value(value) for name, value in body["options"].items()}
        return await actors._autocomplete_result(
            seat.actor, seat.channel, body["name"], body["option"], body["value"], filled
        )

    async def _menu(self, seat: Seat, body: dict[str, Any]) -> Any:
        if not isinstance(seat.actor, MemberActor):
            raise SetupError("simcord has no message menus in direct messages")
        return await seat.actor.context_menu(seat.channel, body["name"], self._message(seat, body))

    async def _press(self, seat: Seat, body: dict[str, Any]) -> Any:
        return await seat.actor.click(self._message(seat, body), custom_id=body["control"])

    async def _choose(self, seat: Seat, body: dict[str, Any]) -> Any:
        message, values = self._message(seat, body), self._value(body["values"])
        return await seat.actor.select(message, values, custom_id=body["control"])

    async def _submit(self, seat: Seat, body: dict[str, Any]) -> Any:
        values = {name: self._value(value) for name, value in body["values"].items()}
        return await seat.actor.submit_modal(self._forms[body["form"]], values)

    async def _react(self, seat: Seat, body: dict[str, Any]) -> None:
        message = self._message(seat, body)
        await seat.actor.set_reaction(message, body["emoji"], reacted=body["on"])

    async def _delete(self, seat: Seat, body: dict[str, Any]) -> None:
        await seat.actor.delete(self._message(seat, body))

    async def _speak(self, seat: Seat, body: dict[str, Any]) -> None:
        self.stage.locales[seat.actor.id] = body["locale"]

    # From what the page names to simcord's own.

    def _user(self, user_id: int) -> UserHandle:
        return next(each.user for each in self.stage.members if each.id == user_id)

    def _seat(self, named: Any) -> Seat:
        try:
            member = next(each for each in self.stage.members if str(each.id) == named["viewer"])
        except (KeyError, StopIteration):
            member = self.stage.members[0]
        channels = {str(each.id): each for each in self._channels(member.id)}
        channel = channels.get(named.get("channel", ""), next(iter(channels.values())))
        return Seat(member if channel.id in self._public else member.user, channel)

    def _message(self, seat: Seat, body: dict[str, Any]) -> ResponseMessage:
        message = self.env.backend.get_message(seat.channel.id, int(body["message"]))
        return ResponseMessage(self.env, message)

    def _value(self, value: Any) -> Any:
        """Return an option's, select's or field's value with handles and bytes in it."""
        match value:
            case list():
                return [self._value(each) for each in value]
            case {"file": name, "data": data}:
                try:
                    return name, base64.b64decode(data)
                except binascii.Error as error:
                    raise SetupError("a file that is not base64") from error
            case {"member": found}:
                return next(each for each in self.stage.members if str(each.id) == found)
            case {"channel": found}:
                return next(each for each in self.stage.channels if str(each.id) == found)
            case {"role": found}:
                return next(
                    each for each in self.stage.guild.roles.values() if str(each.id) == found
                )
        return value


def _json(value: Any) -> web.Response:
    return web.json_response(value, headers=HEADERS)


# What the browser may show; all else is a download.
_KINDS: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
