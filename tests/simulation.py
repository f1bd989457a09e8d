"""The whole bot in an offline Discord, with an engine that does what a test says.

``simulate(settings)`` gives a :class:`World`: one server with a channel, two members, and the
bot. What runs in the engine's place runs outside of simcord's bookkeeping, and a job that a test
holds is declared as waiting for something outside; all else settles after each action.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import discord
from discord import ui
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.components import validate_components, walk_components
from simcord.env import Env
from simcord.results import InteractionResult, ResponseMessage

from bot.client import Penultimate
from bot.settings import Settings
from bot.store import Job, Store
from core.config import EngineConfig
from core.events import Event
from core.models.addons import EmbeddingFile, NetworkFile, Shelf, UpscalerFile
from core.models.catalogue import Card, Catalogue, Model, Vae
from core.request import GenerationRequest
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work
from tests.fake_engine import FakeEngine


def model(name: str, family: str = "sd1", **values: Any) -> Model:
    """A catalogue entry with nothing behind it: the fake engine opens no files."""
    facts: dict[str, Any] = {
        "path": Path("nowhere") / name,
        "layout": "folder",
        "family": family,
        "prediction_type": "epsilon",
        "latent_space": family,
        "size": (512, 512),
    }
    return Model(name=name, **facts | values)


def vae(name: str, latent_space: str = "sd1") -> Vae:
    return Vae(name, Path("nowhere") / name, "file", latent_space)


def catalogue() -> Catalogue:
    """Two SD 1 models and one SD 2, and a VAE for each family."""
    return Catalogue(
        models=(
            model("plain"),
            model("anime", card=Card(values={"clip_skip": 2, "negative_prompt": "lowres"})),
            model("two", "sd2"),
        ),
        vaes=(vae("vivid"), vae("soft"), vae("other", "sdxl")),
    )


def stocked() -> Catalogue:
    """The usual catalogue, and add-ons."""
    here = Path("nowhere")
    networks = (
        NetworkFile(
            "ink", here / "ink.safetensors", "sd1", "", "1a2b3c4d5e6f", ("inkdrop", "wash")
        ),
        NetworkFile("oil", here / "oil.safetensors", "sd1"),
        NetworkFile("wide", here / "wide.safetensors", "sdxl"),
        NetworkFile("any", here / "any.safetensors"),
        NetworkFile("{a|b}", here / "c.safetensors", "sd1"),
    )
    embeddings = (
        EmbeddingFile("EasyNegative", here / "e.safetensors", "sd1", 8),
        EmbeddingFile("cat", here / "cat.safetensors", "sd1", 1),
        EmbeddingFile("vast", here / "v.safetensors", "sdxl", 2),
    )
    upscalers = (
        UpscalerFile("4x-UltraSharp", here / "4x-UltraSharp.safetensors", 4),
        UpscalerFile("RealESRGAN_x4plus", here / "RealESRGAN_x4plus.safetensors", 4),
    )
    return replace(
        catalogue(),
        models=(*catalogue().models, model("large", "sdxl")),
        networks=Shelf("LoRA", networks),
        embeddings=Shelf("embedding", embeddings),
        upscalers=Shelf("upscaler", upscalers),
    )


def a_job(**values: Any) -> Job:
    """A row as the store gives it, of member 10; ``values`` go into its request."""
    request: dict[str, Any] = {"prompt": "x", "model": "plain", "seed": 7} | values
    return Job(
        id=1,
        state="finished",
        request=GenerationRequest(**request),
        user_id=10,
        guild_id=20,
        channel_id=30,
        message_id=40,
        application_id=50,
        interaction_token=None,
        token_expires_at=None,
        private=False,
        locale="en-US",
        parent_id=None,
        notes=(),
        error=None,
        created_at=0.0,
        started_at=None,
        finished_at=None,
    )


class Engine(FakeEngine):
    """The fake engine, its task outside of what simcord waits for."""

    async def start(self) -> None:
        await contextvars.Context().run(asyncio.create_task, super().start())

    @property
    def holding(self) -> bool:
        return self._holding

    def kill(self) -> None:
        """Gone without a word to anybody."""
        assert self._feeder is not None
        self._feeder.cancel()


class QuickEnv(Env):
    """An environment that looks each 10 ms whether all is at rest, not each 50.

    While a thread of the database works nothing else tells it, and so most of a test's time passed.
    """

    async def _settle_internal(self, *, idle: float = 0.05, **how: Any) -> None:
        await super()._settle_internal(idle=min(idle, 0.01), **how)


class _DeclaredTicket:
    """A ticket whose wait is external while the engine holds its jobs."""

    def __init__(self, world: World, ticket: Ticket) -> None:
        self._world = world
        self._ticket = ticket

    def __aiter__(self) -> _DeclaredTicket:
        return self

    async def __anext__(self) -> Event:
        if self._world.engine.holding:
            news = self._world.env.external_wait(anext(self._ticket), reason="the engine")
            event: Event = await news
            return event
        return await anext(self._ticket)


async def spent(store: Store, guild_id: int, user_id: int) -> float:
    """Pictures on a member's account."""
    rows = await store._database.read(
        "SELECT total(pictures) FROM spent WHERE guild_id = ? AND user_id = ?", guild_id, user_id
    )
    return float(rows[0][0])


@dataclass
class World:
    """What a test acts on. ``now`` is the bot's clock, in Unix seconds."""

    settings: Settings
    env: Env = field(init=False)
    bot: Penultimate = field(init=False)
    engine: Engine = field(init=False)
    guild: GuildHandle = field(init=False)
    channel: ChannelHandle = field(init=False)
    ann: MemberActor = field(init=False)
    bob: MemberActor = field(init=False)
    now: float = 1_800_000_000.0
    found: Catalogue = field(default_factory=catalogue)

    async def later(self, seconds: float) -> None:
        """Let the virtual clock go on, a minute at a time: each has simcord's limit to itself."""
        for begin in range(0, math.ceil(seconds), 60):
            await self.env.advance_time(min(60.0, seconds - begin))

    def make_bot(self) -> Penultimate:
        """A new bot process, as it were, on the same data."""

        def engine(config: EngineConfig, queue: GpuQueue) -> Engine:
            self.engine = Engine(config, queue)
            return self.engine

        self.bot = Penultimate(
            self.settings,
            engine=engine,
            queue=self._queue,
            catalogue=lambda _: replace(self.found),
            clock=lambda: self.now,
        )
        return self.bot

    def _queue(self, per_owner: int, total: int) -> GpuQueue:
        queue = GpuQueue(per_owner, total)
        submit = queue.submit

        def declared(work: Work, *, resumed: bool = False) -> Any:
            return _DeclaredTicket(self, submit(work, resumed=resumed))

        queue.submit = declared  # type: ignore[method-assign]
        return queue

    async def restart(self, *, kill: bool = False) -> None:
        """Stop the bot (``kill``: without letting it close anything) and start it anew."""
        store = self.bot.store
        if kill:
            self.engine.kill()
        else:
            await self.bot.close()
        bot = self.make_bot()
        await self.env.restart_bot(bot)
        bot.queue.release()
        if kill:
            await store.close()

    def moderator(self) -> MemberActor:
        """Somebody who may manage messages."""
        manages = discord.Permissions(manage_messages=True)
        role = self.guild.create_role("Moderators", permissions=manages)
        return self.guild.add_member(self.env.create_user("mod"), roles=[role])

    # What is there to see.

    def posts(self) -> list[discord.Message]:
        """Every message of the channel, oldest first."""
        return list(self.channel.history())

    @property
    def last(self) -> discord.Message:
        message = self.channel.last_message
        assert message is not None
        return message

    async def job(self, job_id: int) -> Job:
        job = await self.bot.store.jobs.get(job_id)
        assert job is not None
        return job


@asynccontextmanager
async def simulate(settings: Settings, **options: Any) -> AsyncIterator[World]:
    """A running world; the bot is closed at the end.

    What the bot raised and nobody looked at (``world.env.errors``) fails the test.
    """
    world = World(settings)
    # Not simcord.run(), which must be left in the context it was entered in; a fixture is not.
    env = world.env = QuickEnv(world.make_bot(), shard_count=1, **options)
    try:
        await env.start()
        world.bot.queue.release()
        guild = world.guild = env.create_guild("Test")
        world.channel = guild.create_text_channel("pictures")
        world.ann = guild.add_member(env.create_user("ann"))
        world.bob = guild.add_member(env.create_user("bob"))
        yield world
    finally:
        try:
            await world.bot.close()
        finally:
            await env.shutdown()
    env._raise_errors_since(env._errors_acknowledged)


# Reading a post: simcord gives real discord.py objects or wire dictionaries.


def answer(result: InteractionResult) -> ResponseMessage:
    """What the bot answered an interaction with."""
    assert result.response is not None, "the bot did not answer"
    return result.response


def components(message: Any) -> list[dict[str, Any]]:
    """Every component of a post, in order, as Discord's own dictionaries."""
    raw = message.components
    roots = [item if isinstance(item, dict) else item.to_dict() for item in raw]
    return list(walk_components(roots))


def wire(view: ui.LayoutView) -> list[dict[str, Any]]:
    """A view as it is sent."""
    sent: list[dict[str, Any]] = view.to_components()  # type: ignore[no-untyped-call]
    return sent


def view_components(view: ui.LayoutView) -> list[dict[str, Any]]:
    """The same of a view that was not sent."""
    return list(walk_components(wire(view)))


def within_limits(view: ui.LayoutView) -> list[dict[str, Any]]:
    """The same, of a view that Discord takes."""
    validate_components(wire(view), flags=1 << 15)
    found = view_components(view)
    assert len(found) <= 40
    assert sum(len(item["content"]) for item in found if item["type"] == 10) <= 4000
    for item in found:
        assert len(item.get("custom_id", "")) <= 100
        assert len(item.get("label") or "") <= 80
        assert len(item.get("placeholder") or "") <= 150
        assert len(item.get("options") or []) <= 25
        for option in item.get("options") or []:
            assert len(option["label"]) <= 100
            assert len(option["value"]) <= 100
    return found


def view_text(view: ui.LayoutView) -> str:
    """All of a view's text."""
    return "\n".join(item["content"] for item in view_components(view) if item["type"] == 10)


def text(message: Any) -> str:
    """All of a post's text."""
    parts = [item["content"] for item in components(message) if item["type"] == 10]
    return "\n".join(filter(None, [getattr(message, "content", ""), *parts]))


def buttons(message: Any) -> dict[str, dict[str, Any]]:
    """The post's buttons by label."""
    return {item["label"]: item for item in components(message) if item["type"] == 2}


def selects(message: Any) -> dict[str, dict[str, Any]]:
    """The post's selects by placeholder."""
    return {item["placeholder"]: item for item in components(message) if item["type"] == 3}


def job_id(message: Any) -> int:
    """The job that a post's controls belong to."""
    custom_id = next(item["custom_id"] for item in components(message) if "custom_id" in item)
    return int(custom_id.split(":")[2])
