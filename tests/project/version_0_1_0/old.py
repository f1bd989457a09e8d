"""The data and the posts of a 0.1.0 bot, put back, and what a press on each control does.

Version 0.1.0 (commit eaac08f) wrote the files beside this one, by ``make.py``; this module is the
part that both it and the tests run, so that what is compared was measured in the same way.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from simcord.actors import MemberActor
from simcord.backend.models import Channel, Guild, Member, Message, Role, User
from simcord.builders import ChannelHandle, GuildHandle, RoleHandle, UserHandle
from simcord.components import walk_components
from simcord.enums import ComponentType
from simcord.env import Env
from simcord.results import InteractionResult, ResponseMessage

from bot.posts.controls import CLIP_SKIP
from bot.settings import Settings
from bot.store import Job
from bot.translate import catalogues
from core.config import EngineConfig
from tests.simulation import World

HERE: Final = Path(__file__).parent
DATABASE: Final = HERE / "database.sql"
IMAGES: Final = HERE / "images"
DISCORD: Final = HERE / "discord.json"
OUTCOMES: Final = HERE / "outcomes.json"

# What of a message matters to the bot; the rest are defaults.
MESSAGE: Final = (
    "id",
    "channel_id",
    "author_id",
    "content",
    "timestamp",
    "flags",
    "type",
    "components",
    "attachments",
    "interaction_metadata",
    "webhook_id",
    "reference",
)
# Pressed after the others of their post, for these take away what the others are about.
LAST: Final = ("delete_now", "cancel", "take_back", "forget_me", "unshare", "config_anew")
# What is typed into a form, by field; other fields are sent as they were shown.
TYPED: Final = {
    "name": "vivid",
    "typed": "anime",
    "steps": "9",
    "cfg_scale": "5",
    "seed": "11",
    "prompt": "a blue square",
    "max_steps": "50",
    "queue_total": "60",
    "quota": "30",
    "words": "bad, worse",
}
# Numbers that are drawn by chance, and those which a press gets from memory.
RANDOM: Final = re.compile(r"s:(start|typed_again):\d+")
# The options of a request as 0.1.0 wrote it.
REQUEST: Final = (
    "prompt",
    "negative_prompt",
    "model",
    "seed",
    "vae",
    "clip_skip",
    "steps",
    "cfg_scale",
    "sampler",
    "schedule_type",
    "width",
    "height",
    "count",
    "variation_seed",
    "variation_strength",
    "denoising_strength",
    "hires",
)
HIRES: Final = ("scale", "steps", "denoising_strength", "upscaler")
DRAWN: Final = ("seed", "variation_seed")
# Controls that a post of today has besides, and one whose list has become longer.
NEW: Final = frozenset(
    {
        "config_defaults",
        "config_defaults_back",
        "config_defaults_of",
        "config_embed",
        "config_embed_roles",
        "config_embeddings",
        "config_embeds_allowed",
        "config_embeds_back",
        "config_embeds_find",
        "config_embeds_found",
        "config_in_place",
        "config_lora",
        "config_lora_roles",
        "config_loras",
        "config_loras_allowed",
        "config_loras_back",
        "config_loras_find",
        "config_loras_found",
        "embeddings",
        "enlarge",
        "enlarge_four",
        "enlarge_from",
        "enlarge_three",
        "enlarge_two",
        "loras",
        "models_find",
        "models_search",
        "set_noise_source",
        "upscalers",
    }
)
# Files that an answer of today has besides.
NEW_FILES: Final = frozenset({"day.png"})
# Settings that a server did not have; while they are empty, nothing is decided by them.
NEW_SETTINGS: Final = frozenset(
    {"loras", "lora_roles", "embeddings", "embedding_roles", "in_place"}
)
LONGER: Final = {"models:samplers:2": "models:samplers:2 (off)"}
COUNTED: Final = ("jobs", "pictures", "copies", "farewells", "spent", "inputs")
COMPARED: Final = {
    "servers": ("guild_id", "settings"),
    "presets": ("user_id || ' ' || name", "options"),
    "shared_presets": ("id", "options"),
    "styles": ("name", "template"),
}


@cache
def discord_json() -> dict[str, Any]:
    """The servers, channels, members and messages, as ``make.py`` wrote them."""
    found: dict[str, Any] = json.loads(DISCORD.read_text("utf-8"))
    return found


def to_json(value: Any) -> str:
    """The value on one line, short."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_live(name: str) -> bool:
    """Whether the post is about jobs that wait or run, and must do so when it is pressed."""
    return name in ("live running", "live queued", "queue")


def write_database(path: Path) -> None:
    """Build the SQLite file anew from its dump."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DATABASE.read_text("utf-8"))


class OldWorld(World):
    """The world as the old bot left it, an hour later."""

    guilds: dict[int, GuildHandle]

    def make_bot(self, *, hold: bool = False) -> Any:
        bot = super().make_bot()
        make = bot._make_engine

        def engine(config: EngineConfig, queue: Any) -> Any:
            made: Any = make(config, queue)
            if hold:
                made.hold()
                made.rows = 1
            return made

        bot._make_engine = engine
        return bot

    def message(self, name: str) -> Message:
        """A post of the old bot by its name in ``discord.json``."""
        post = discord_json()["posts"][name]
        return self.env.backend.get_message(post["channel_id"], post["message_id"])

    def actor(self, name: str) -> Any:
        """Who presses on the post of that name: a member of its server, or a user in their DMs."""
        post = discord_json()["posts"][name]
        user = UserHandle(self.env, self.env.backend.get_user(post["who"]))
        guild_id = self.env.backend.get_channel(post["channel_id"]).guild_id
        return MemberActor(self.env, self.guilds[guild_id], user) if guild_id else user


def rows(world: World, sql: str) -> list[Any]:
    """What the database says right now."""
    with closing(sqlite3.connect(world.settings.database_path)) as connection:
        return connection.execute(sql).fetchall()


@asynccontextmanager
async def old_world(folder: Path, *, hold: bool = False) -> AsyncIterator[OldWorld]:
    """Start the bot on a copy of the old data in ``folder``; ``hold`` keeps its jobs running."""
    settings = Settings.load({"DATA_DIR": str(folder)}, dotenv_path=None)
    write_database(settings.database_path)
    shutil.copytree(IMAGES, settings.images_dir)
    world, saved = OldWorld(settings), discord_json()
    world.now = saved["now"] + 3600.0
    env = world.env = Env(world.make_bot(hold=hold), shard_count=1)
    _put_back(env, saved)
    try:
        await env.start()
        backend = env.backend
        world.guilds = {id: GuildHandle(env, guild) for id, guild in backend.guilds.items()}
        world.guild = world.guilds[saved["guild"]]
        world.channel = ChannelHandle(env, world.guild, backend.get_channel(saved["channel"]))
        members = {
            user.name: MemberActor(env, world.guild, UserHandle(env, user))
            for user in backend.users.values()
        }
        world.ann, world.bob = members["ann"], members["bob"]
        world.bot.owner_id = members["owner"].id
        await env.settle()
        yield world
    finally:
        try:
            await world.bot.close()
        finally:
            await env.shutdown()


# The offline Discord, written down and put back.


def written_down(world: World, posts: dict[str, tuple[Message, int]]) -> dict[str, Any]:
    """Everything of the offline Discord that :func:`old_world` needs."""
    backend = world.env.backend
    # Panels that were only passed through say nothing that another does not.
    named = [message.id for message, _ in posts.values()]
    of_jobs = [row[0] for row in rows(world, "SELECT message_id FROM jobs")]
    going = [row[0] for row in rows(world, "SELECT message_id FROM farewells")]
    kept = [
        message
        for messages in backend.messages.values()
        for message in messages.values()
        if message.id in (*named, *of_jobs, *going) or message.author_id != backend.bot_user.id
    ]
    return {
        "now": world.now,
        "guild": world.guild.id,
        "channel": world.channel.id,
        "application_id": backend.application_id,
        "bot_user": backend.bot_user.id,
        "users": [asdict(user) for user in backend.users.values()],
        "guilds": [_guild_json(guild) for guild in backend.guilds.values()],
        "channels": [
            {
                name: value
                for name, value in asdict(channel).items()
                if name in ("id", "type", "name", "guild_id", "recipient_ids")
            }
            for channel in backend.channels.values()
        ],
        "dm_channels": list(backend.dm_channels.items()),
        "messages": [
            {name: getattr(message, name) for name in MESSAGE if getattr(message, name)}
            for message in kept
        ],
        "files": {
            file["url"]: base64.b64encode(backend.cdn._blobs[file["url"]]).decode()
            for message in kept
            for file in message.attachments
        },
        "posts": {
            name: {"channel_id": message.channel_id, "message_id": message.id, "who": who}
            for name, (message, who) in posts.items()
        },
    }


def _guild_json(guild: Guild) -> dict[str, Any]:
    return {
        "id": guild.id,
        "name": guild.name,
        "owner_id": guild.owner_id,
        "roles": [asdict(role) for role in guild.roles.values()],
        "members": [asdict(member) for member in guild.members.values()],
        "channel_ids": guild.channel_ids,
    }


def _put_back(env: Env, saved: dict[str, Any]) -> None:
    backend = env.backend
    backend.users = {user["id"]: User(**user) for user in saved["users"]}
    backend.application_id = saved["application_id"]
    backend.bot_user = backend.users[saved["bot_user"]]
    for each in saved["guilds"]:
        roles = {role["id"]: Role(**role) for role in each["roles"]}
        members = {member["user_id"]: Member(**member) for member in each["members"]}
        backend.guilds[each["id"]] = Guild(**each | {"roles": roles, "members": members})
        backend._reserved_ids |= {each["id"], *roles}
    for channel in saved["channels"]:
        backend.channels[channel["id"]] = Channel(**channel)
        backend.messages[channel["id"]] = {}
    backend.dm_channels = dict(saved["dm_channels"])
    for message in saved["messages"]:
        backend.messages[message["channel_id"]][message["id"]] = Message(**message)
        backend._reserved_ids |= {
            message["id"],
            *(int(a["id"]) for a in message.get("attachments", ())),
        }
    backend._reserved_ids |= {*backend.users, *backend.channels, saved["application_id"]}
    backend.cdn._blobs = {url: base64.b64decode(data) for url, data in saved["files"].items()}


# What a press does.


async def outcomes(world: OldWorld, name: str) -> list[dict[str, Any]]:
    """Press every control of a post in turn, each way it can be, and say what came of it.

    Sentences are named by their keys, so that they may be said better; drawn numbers are left out.
    """
    old, actor = world.message(name), world.actor(name)
    found = []
    for custom_id, values in _presses(world, old):
        # The post as the old bot left it, whatever the last press made of it.
        backend = world.env.backend
        backend.messages[old.channel_id][old.id] = copy.deepcopy(old)
        post = ResponseMessage(world.env, backend.get_message(old.channel_id, old.id))
        before = _state(world)
        if values is None:
            result = await actor.click(post, custom_id=custom_id)
        else:
            result = await actor.select(post, values, custom_id=custom_id)
        shown = [str(getattr(value, "name", value)) for value in values or ()]
        found.append({"press": custom_id, "values": shown} | await _outcome(world, result, before))
        if result.modal is not None:
            before = _state(world)
            result = await actor.submit_modal(result, _typed(result.modal))
            found.append({"form of": custom_id} | await _outcome(world, result, before))
    backend.messages[old.channel_id][old.id] = old
    return found


def _presses(world: OldWorld, message: Message) -> list[tuple[str, list[Any] | None]]:
    """Every (custom_id, values) of a message; a select's first and last value that is not set."""
    found: list[tuple[str, list[Any] | None]] = []
    for item in walk_components(message.components):
        if "custom_id" not in item or item.get("disabled"):
            continue
        if item["type"] == ComponentType.BUTTON:
            found.append((item["custom_id"], None))
        elif item["type"] == ComponentType.STRING_SELECT:
            values = [each["value"] for each in item["options"] if not each.get("default")]
            found += [
                (item["custom_id"], [value]) for value in dict.fromkeys(values[:1] + values[-1:])
            ]
        elif item["type"] == ComponentType.ROLE_SELECT:
            role = next(r for r in world.guild._guild.roles.values() if r.name == "Artists")
            found.append((item["custom_id"], [RoleHandle(world.env, world.guild, role)]))
        else:
            found.append((item["custom_id"], [world.channel]))
    return sorted(found, key=lambda press: press[0].split(":")[1] in LAST)


def _typed(modal: dict[str, Any]) -> dict[str, str]:
    return {
        item["custom_id"]: TYPED.get(item["custom_id"]) or item.get("value") or ""
        for item in walk_components(modal["components"])
        if "custom_id" in item
    }


State = dict[str, Any]


def _state(world: OldWorld) -> State:
    """What is counted and compared, before and after a press."""
    state: State = {table: rows(world, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED}
    for table, (key, value) in COMPARED.items():
        for row in rows(world, f"SELECT {key}, {value} FROM {table}"):
            content = json.loads(row[1]) if row[1].startswith("{") else row[1]
            for name, each in content.items() if isinstance(content, dict) else [("", content)]:
                if name in NEW_SETTINGS and not each:
                    continue
                state[f"{table} {row[0]} {name}".strip()] = each
    for job in rows(world, "SELECT id, state FROM jobs"):
        state[f"job {job[0]}"] = job[1]
    return state


async def _outcome(world: OldWorld, result: InteractionResult, before: State) -> dict[str, Any]:
    await world.env.settle()
    after = _state(world)
    kind = result._interaction.response_kind
    found: dict[str, Any] = {
        "answer": f"{kind}{' for one' if result.ephemeral else ''}",
        "changed": {
            name: after.get(name)
            for name in sorted(before | after)
            if before.get(name) != after.get(name)
        },
        "made": [await _made(world, name) for name in after if _is_new_job(name, before)],
    }
    for message in (result.response, *result.followups):
        if message is None:
            continue
        found.setdefault("controls", []).extend(_controls(message.components))
        names = [file.filename for file in message.attachments]
        found.setdefault("files", []).extend(name for name in names if name not in NEW_FILES)
        if message.content:
            found["said"] = key_of(message.content)
    if result.modal is not None:
        found["form"] = _named(result.modal["custom_id"])
        found["fields"] = {
            item["custom_id"]: _as_typed_then(item.get("value"))
            for item in walk_components(result.modal["components"])
            if "custom_id" in item
        }
    return {name: value for name, value in found.items() if value not in ([], {})}


def _as_typed_then(value: str | None) -> str | None:
    """Edit's last field, which had the numbers and the size without their names."""
    known = re.fullmatch(r"Steps: (.+?), CFG scale: (.+?), .*Size: (\w+).*", value or "")
    return ", ".join(known.groups()) if known else value


def as_then(request: dict[str, Any]) -> dict[str, Any]:
    """A request's values, of hires fix those that there were."""
    hires = request["hires"] and {name: request["hires"][name] for name in HIRES}
    return request | {"hires": hires}


def _is_new_job(name: str, before: State) -> bool:
    return name.startswith("job ") and name not in before


async def _made(world: OldWorld, name: str) -> dict[str, Any]:
    """A new job: whose it is, of which it is made, and what differs from that one."""
    job = await world.job(int(name.removeprefix("job ")))
    parent = await world.bot.store.jobs.get(job.parent_id) if job.parent_id else None
    values = as_then(job.request.to_dict())
    known = as_then(parent.request.to_dict()) if parent else {}
    return {
        "user": world.env.backend.get_user(job.user_id).name,
        "parent": job.parent_id,
        "private": job.private,
        "hidden": job.spoiler,
        "sheet": job.sheet and job.sheet.to_json(),
        "start": await _start_of(world, job, parent),
        "request": {
            option: "another" if option in DRAWN and parent else values[option]
            for option in REQUEST
            if values[option] != known.get(option)
        },
    }


async def _start_of(world: OldWorld, job: Job, parent: Job | None) -> str | None:
    """What the start image is: the same as before, the n-th picture of the parent, or another."""
    start = job.request.init_image
    if start is None or parent is None:
        return None if start is None else "another"
    if start == parent.request.init_image:
        return "the same"
    pictures = [await each.read() for each in await world.bot.store.pictures.of_job(parent.id)]
    return f"picture {pictures.index(start)}" if start in pictures else "another"


def _controls(components: list[dict[str, Any]]) -> list[str]:
    """Every control there is to press, what a select has set, and what is drawn beside it."""
    found = []
    for item in walk_components(components):
        if "custom_id" in item and not NEW & set(item["custom_id"].split(":")):
            options = item.get("options") or item.get("default_values") or ()
            chosen = [
                str(each.get("value") or each.get("id"))
                for each in options
                if each.get("default", True)
            ]
            if chosen and chosen[0].startswith(CLIP_SKIP):
                # Two selects then.
                clip_skips = _named(item["custom_id"]).replace(":vae:", ":clip:")
                found.append(f"{clip_skips} {chosen.pop().removeprefix(CLIP_SKIP)}")
                described = [each["value"] for each in options if each.get("description")]
                chosen = [value for value in described if not value.startswith(CLIP_SKIP)]
            off = " (off)" if item.get("disabled") else ""
            one = f"{_named(item['custom_id'])}{off} {' '.join(chosen)}".strip()
            found.append(LONGER.get(one, one))
    return found


def _named(custom_id: str) -> str:
    return RANDOM.sub(r"s:\1:*", custom_id)


@cache
def _sentences() -> tuple[tuple[int, str, re.Pattern[str]], ...]:
    """(letters, key, pattern) of every English sentence, the longest first."""
    found = []
    for key, sentence in catalogues()["en"].items():
        parts = re.split(r"\{\w+\}", sentence)
        found.append(
            (sum(map(len, parts)), key, re.compile(".+?".join(map(re.escape, parts)), re.S))
        )
    return tuple(sorted(found, key=lambda each: (-each[0], each[1])))


def key_of(said: str) -> str:
    """The key of the sentence that a text begins with; that of the longest, if several do."""
    return next(key for _, key, pattern in _sentences() if pattern.match(said))
