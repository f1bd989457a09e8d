"""Writes the files beside it, with the code of version 0.1.0: commit eaac08f.

In a checkout of that commit: copy this folder to ``tests/version_0_1_0`` and run
``python -m tests.version_0_1_0.make <this folder>``. Nothing else may run it: what the files hold
is what a bot of that version wrote, and did when its controls were pressed.
"""

# mypy: ignore-errors
# What it calls is the code of that commit.

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
from PIL import Image
from simcord.actors import MemberActor

from bot.settings import Settings
from bot.store import Job
from core.errors import OutOfMemory
from tests.simulation import World, answer, model, simulate, vae

from . import old


def png(colour: str, size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


START, OTHER_START = png("red"), png("blue")


class Story:
    """What happened on the server of the old bot, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.posts: dict[str, tuple[Any, int]] = {}

    def keep(self, name: str, result: Any, who: MemberActor) -> Any:
        """Note the post under a name, and who presses on it."""
        post = answer(result) if hasattr(result, "acknowledged") else result
        message = self.world.env.backend.get_message(
            getattr(post, "channel_id", None) or post.channel.id, post.id
        )
        self.posts[name] = (message, who.id)
        return post

    async def imagine(self, who: MemberActor, **options: Any) -> Any:
        return answer(await who.slash(self.world.channel, "imagine", **options))

    async def tell(self) -> None:
        self.people()
        await self.decided()
        await self.results()
        await self.presets()
        await self.panels()
        await self.server_panels()
        await self.undelivered()
        await self.waiting()
        list(self.world.env.errors)

    def people(self) -> None:
        world = self.world
        backend, guild = world.env.backend, world.guild
        self.artists = guild.create_role("Artists")
        self.log = guild.create_text_channel("log")
        self.sketches = guild.create_text_channel("sketches")

        def member(name: str, **permissions: bool) -> MemberActor:
            roles = [self.artists]
            if permissions:
                allowed = discord.Permissions(**permissions)
                roles.append(guild.create_role(name.title(), permissions=allowed))
            return guild.add_member(world.env.create_user(name), roles=roles)

        for actor in (world.ann, world.bob):
            backend.add_member_role(guild.id, actor.id, self.artists.id)
        self.mod = member("mod", manage_guild=True, manage_messages=True)
        self.owner = member("owner", administrator=True)
        self.carl = member("carl")
        world.bot.owner_id = self.owner.id

    async def decided(self) -> None:
        """A server's settings: one of every kind."""
        artists = self.artists.id

        def everything(server: Any) -> Any:
            return replace(
                server,
                # The last one is gone from the server.
                channels=(self.world.channel.id, self.sketches.id, 999),
                roles=(artists,),
                models=("plain", "anime"),
                model_roles={"anime": (artists,)},
                max_steps=100,
                max_size=1024,
                max_count=4,
                max_cells=20,
                queue_per_member=20,
                queue_total=100,
                quota=500,
                role_quotas={artists: 800},
                defaults={"steps": 25, "negative_prompt": "blurry"},
                channel_defaults={self.sketches.id: {"steps": 8, "clip_skip": 3}},
                words=("forbidden", "worse words"),
                language="ja",
                log_channel=self.log.id,
                banned=(4242,),
            )

        await self.world.bot.store.servers.update(self.world.guild.id, everything)
        await self.mod.slash(
            self.world.channel,
            "style save",
            style="Oil",
            template="oil painting of {prompt}",
            negative_prompt="photo",
        )

    async def results(self) -> None:
        world, channel = self.world, self.world.channel
        ann, bob = world.ann, world.bob
        self.single = self.keep(
            "result", await self.imagine(ann, prompt="a red circle", seed=7, vae="vivid"), bob
        )
        self.four = self.keep(
            "result of four", await self.imagine(ann, prompt="a cat", seed=100, count=4), ann
        )
        start = ("start.png", START)
        self.keep(
            "result of a start image",
            await self.imagine(ann, prompt="a hill", seed=3, start_image=start),
            ann,
        )
        panel = answer(await ann.click(self.single, custom_id="p:more:1"))
        self.keep("enlarged", await ann.click(panel, custom_id="p:upscale:1"), ann)
        strip = {"prompt": "a dog", "seed": 5, "x_axis": "clip_skip", "x_values": "1,2,3"}
        self.strip = self.keep(
            "sheet of one axis", await ann.slash(channel, "explore", **strip), ann
        )
        grid = strip | {"y_axis": "steps", "y_values": "5,6"}
        self.grid = self.keep("sheet of two axes", await ann.slash(channel, "explore", **grid), ann)
        private = await self.imagine(ann, prompt="a secret", seed=9, private=True)
        self.private = self.keep("private result", private, ann)
        self.keep("variation", await bob.click(self.single, custom_id="p:clip:1:2"), bob)
        world.engine.fail_next(OutOfMemory(512, 512))
        self.keep("failed", await self.imagine(ann, prompt="too large", seed=1), ann)
        await world.bot.store.servers.update(
            world.guild.id, lambda server: replace(server, nsfw="spoiler", spoiler=True)
        )
        self.keep("hidden result", await self.imagine(bob, prompt="a beach", seed=8), bob)
        self.keep("shown again", await ann.slash(channel, "show", id=1), ann)
        panel = answer(await bob.click(self.single, custom_id="p:more:1"))
        await bob.click(panel, custom_id="p:dm:1")
        self.keep("copy by direct message", bob.user.dm_channel.last_message, bob)
        self.keep("log channel", self.log.last_message, self.mod)
        # Carl deleted everything, and the bot was stopped before his posts were taken away.
        await self.imagine(self.carl, prompt="not for long", seed=2)
        store = world.bot.store
        for job_id in await store.members.forget(self.carl.id):
            await store.pictures.delete_files(job_id)

    async def presets(self) -> None:
        ann, channel = self.world.ann, self.world.channel
        await ann.slash(channel, "preset save", name="Anime", model="anime", clip_skip=2, seed=-1)
        await ann.slash(channel, "preset save", name="default", steps=12, sampler="Euler a")
        await self.world.bob.slash(channel, "preset save", name="wide", size="768x512", count=2)
        shared = await ann.slash(channel, "preset share", name="Anime")
        self.keep("shared preset", shared, ann)

    async def panels(self) -> None:
        world, channel, ann = self.world, self.world.channel, self.world.ann

        async def more(post: Any, job: int) -> Any:
            return answer(await ann.click(post, custom_id=f"p:more:{job}"))

        self.keep("more of a result", await more(self.single, 1), ann)
        self.keep("more of four", await more(self.four, 2), ann)
        self.keep("more of a sheet", await more(self.strip, 5), ann)
        self.keep("more of a private result", await more(self.private, 7), ann)
        panel = await more(self.four, 2)
        self.keep("asks to delete", await ann.click(panel, custom_id="p:delete:2"), ann)
        panel = await more(self.single, 1)
        self.keep("seed kept", await ann.click(panel, custom_id="p:take_seed:1"), ann)
        panel = await more(self.single, 1)
        self.keep("asks which VAE", await ann.click(panel, custom_id="p:compare:1"), ann)
        asked = await ann.select(self.grid, ["1"], custom_id="p:cell_x:6")
        self.keep("asks for the other axis", asked, ann)

        async def menu(name: str, post: Any) -> Any:
            return await ann.context_menu(channel, name, post)

        self.keep("parameters of four", await menu("Parameters", self.four), ann)
        self.keep("asks which to start from", await menu("Use as start image", self.four), ann)
        foreign = await world.bob.send(
            channel, "mine", attachments=[("a.png", png("green")), ("b.png", png("pink"))]
        )
        self.keep("asks which of another's", await menu("Use as start image", foreign), ann)
        form = await ann.click(self.single, custom_id="p:edit:1")
        typed = {"prompt": "x", "clip_skip": "x", "seed": "", "settings": "20, 7, 512x512"}
        self.keep("form to be mended", await ann.submit_modal(form, typed), ann)
        self.keep("settings", await ann.slash(channel, "settings"), ann)
        self.keep("history", await ann.slash(channel, "history"), ann)
        self.keep("help", await ann.slash(channel, "help"), ann)
        self.keep("privacy", await ann.slash(channel, "privacy delete"), ann)
        self.keep("models", await ann.slash(channel, "models"), ann)
        models = answer(await ann.slash(channel, "models"))
        samplers = await ann.click(models, custom_id="models:samplers:0")
        self.keep("samplers", samplers, ann)

    async def server_panels(self) -> None:
        world, channel, mod = self.world, self.world.channel, self.mod
        self.keep("admin", await self.owner.slash(channel, "admin status"), self.owner)
        for name in ("show", "access", "models", "limits", "quota", "nsfw", "general", "defaults"):
            self.keep(f"config {name}", await mod.slash(channel, f"config {name}"), mod)
        own = await mod.slash(channel, "config defaults", channel=self.sketches)
        self.keep("config defaults of a channel", own, mod)
        models = answer(await mod.slash(channel, "config models"))
        one = await mod.select(models, ["anime"], custom_id="s:config_model")
        self.keep("config of one model", one, mod)
        # More than a select holds, so that there is a search; pressed when they are gone again.
        few = world.bot.catalogue
        many = tuple(model(f"spare {number}") for number in range(24))
        spare = tuple(vae(f"spare {number}") for number in range(24))
        world.bot.catalogue = replace(few, models=few.models + many, vaes=few.vaes + spare)
        self.keep("config of many models", await mod.slash(channel, "config models"), mod)
        await world.bob.slash(channel, "preset save", name="default", private=True)
        settings = await world.bob.slash(channel, "settings")
        self.keep("settings of many models", settings, world.bob)
        world.bot.catalogue = few
        await world.bob.slash(channel, "preset delete", name="default")
        # Another server, whose settings a newer version wrote.
        guild = world.env.create_guild("Closed")
        channel = guild.create_text_channel("closed")
        manages = discord.Permissions(manage_guild=True)
        role = guild.create_role("Managers", permissions=manages)
        manager = guild.add_member(mod.user, roles=[role])
        path, newer = world.settings.database_path, json.dumps({"version": 99})
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO servers VALUES (?, ?)", (guild.id, newer))
        await world.bot.store.servers.load()
        self.keep("config closed", await manager.slash(channel, "config show"), manager)

    async def undelivered(self) -> None:
        """Finished, and stopped before they were sent."""
        delivery, ann = self.world.bot.delivery, self.world.ann

        async def killed(job: Job, limit: int | None = None) -> bool:
            return True

        delivery.deliver = killed  # type: ignore[method-assign]
        await self.imagine(ann, prompt="finished", seed=21)
        await self.imagine(ann, prompt="finished in private", seed=22, private=True)
        await ann.slash(
            self.world.channel, "explore", prompt="finished", seed=23, x_axis="seed", x_values="1,2"
        )
        del delivery.deliver

    async def waiting(self) -> None:
        """One job runs, others wait, and one was taken back."""
        world, ann, bob = self.world, self.world.ann, self.world.bob
        world.engine.hold()
        world.engine.rows = 1
        running = await self.imagine(ann, prompt="a hill", seed=31, start_image=("a.png", START))
        self.keep("live running", running, ann)
        started = {"start_image": ("b.png", OTHER_START), "denoising_strength": 0.4}
        queued = await self.imagine(ann, prompt="a sea", seed=32, count=2, **started)
        self.keep("live queued", queued, ann)
        sheet = {"prompt": "a dog", "seed": 33, "x_axis": "steps", "x_values": "5,6"}
        shared = {"start_image": ("c.png", START)}
        await bob.slash(world.channel, "explore", **sheet, **shared)
        await self.imagine(ann, prompt="a queued secret", seed=34, private=True)
        cancelled = await self.imagine(ann, prompt="never mind", seed=35)
        job_id = max(place.job_id for place in world.bot.queue.snapshot())
        await ann.click(cancelled, custom_id=f"p:cancel:{job_id}")
        self.keep("cancelled", cancelled, ann)
        self.keep("queue", await ann.slash(world.channel, "queue"), ann)


async def write(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as data:
        settings = Settings.load({"DATA_DIR": data}, dotenv_path=None)
        async with simulate(settings) as world:
            story = Story(world)
            await story.tell()
            saved = old.written_down(world, story.posts)
            with closing(sqlite3.connect(settings.database_path)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                lines = [*connection.iterdump(), f"PRAGMA user_version = {version};"]
            (folder / "database.sql").write_text("\n".join(lines) + "\n", "utf-8")
            shutil.rmtree(folder / "images", ignore_errors=True)
            shutil.copytree(settings.images_dir, folder / "images")
            world.engine.release()
            await world.env.settle()
    (folder / "discord.json").write_text(_lines(saved), "utf-8")


async def press(folder: Path) -> None:
    found = {}
    for name in old.discord_json()["posts"]:
        with tempfile.TemporaryDirectory() as data:
            async with old.old_world(Path(data), hold=old.is_live(name)) as world:
                found[name] = await old.outcomes(world, name)
    (folder / "outcomes.json").write_text(_lines(found), "utf-8")


def _lines(tree: dict[str, Any]) -> str:
    """JSON with a line for each entry of an entry."""

    def shown(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines = ",\n".join(map(old.to_json, value))
            return f"[\n{lines}\n]"
        return old.to_json(value)

    entries = (f"{json.dumps(name)}: {shown(value)}" for name, value in tree.items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


if __name__ == "__main__":
    asyncio.run(write(old.HERE))
    asyncio.run(press(old.HERE))
    for made in ("database.sql", "discord.json", "outcomes.json"):
        shutil.copy(old.HERE / made, sys.argv[1])
    shutil.copytree(old.IMAGES, Path(sys.argv[1]) / "images", dirs_exist_ok=True)
