"""Nobody is pinged by what members write: every way there is to send, walked with mentions in it.

What Discord would do with a post is read off the request itself: who may be mentioned stands in
``allowed_mentions``, and where that is missing everybody may.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

from core.errors import OutOfMemory, PenultimateError, Refused
from core.models.catalogue import Catalogue
from tests.bot.actions.test_knobs import EDIT
from tests.simulation import World, answer, model, vae

# An answer to an interaction that is a message, or puts one in another's place.
MESSAGES = (4, 7)
# Found in what Ann writes, and replaced in it.
WORDS = "@everyone, @here"


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError), error


class Walk:
    """A world in which everything that Ann writes mentions everybody, a role and Bob."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.role = world.guild.create_role("Everybody’s role")
        self.evil = f"@everyone @here <@&{self.role.id}> <@{world.bob.id}>"
        self.said = ("@everyone", "@here", f"<@&{self.role.id}>", f"<@{world.bob.id}>")
        manages = discord.Permissions(administrator=True)
        chief = world.guild.create_role("Chiefs", permissions=manages)
        self.boss = world.guild.add_member(world.env.create_user("boss"), roles=[chief])
        world.bot.owner_id = self.boss.id

    async def slash(self, command: str, who: MemberActor | None = None, /, **options: Any) -> Any:
        result = await (who or self.world.ann).slash(self.world.channel, command, **options)
        await self.world.env.settle()
        return answer(result)

    def sent(self) -> list[dict[str, Any]]:
        """Every message's payload, as it went out."""
        found = []
        for request in self.world.env.http_requests:
            body = request.json
            if not isinstance(body, dict):
                continue
            if request.path.endswith("/callback"):
                body = body.get("data") if body.get("type") in MESSAGES else None
            if body and (body.get("content") or body.get("components") or body.get("embeds")):
                found.append(body)
        return found

    def check(self, *pinged: int) -> None:
        """What was written went out, and it pings nobody but these."""
        sent = self.sent()
        shown = [body for body in sent if any(each in json.dumps(body) for each in self.said)]
        assert shown, "what was written was sent nowhere"
        for body in sent:
            allowed = body.get("allowed_mentions")
            assert allowed is not None, body
            assert allowed.get("parse") == [], body
            assert not allowed.get("roles"), body
            assert not allowed.get("replied_user"), body
            assert set(allowed.get("users", ())) <= set(pinged), body


@pytest.fixture
def walk(world: World) -> Walk:
    return Walk(world)


async def test_pictures_in_time_and_late(walk: Walk, world: World) -> None:
    evil = walk.evil
    await walk.slash("imagine", prompt=f"{{{evil}|{evil}}}", negative_prompt=evil)
    world.engine.hold()
    await walk.slash("imagine", prompt=evil)
    world.now += 120
    world.engine.release()
    await world.env.settle()
    assert f"<@{world.ann.id}>" in json.dumps(walk.sent()[-1])
    await walk.slash("explore", prompt=evil, x_values="1-2", y_axis="prompt", y_values=WORDS)
    walk.check(world.ann.id)


async def test_what_goes_by_direct_message(walk: Walk, world: World) -> None:
    path = f"/channels/{world.channel.id}/messages"
    world.env.inject_error("POST", path, status=403, code=50013)
    world.engine.hold()
    await walk.slash("imagine", prompt=walk.evil)
    world.now += 16 * 60
    world.engine.release()
    await world.env.settle()
    assert world.ann.user.dm_channel.history()
    walk.check(world.ann.id)


async def test_failures_reactions_and_copies(walk: Walk, world: World) -> None:
    post = await walk.slash("imagine", prompt=walk.evil)
    for emoji in ("🎲", "✉️", "⬇️"):
        await world.bob.react(world.last, emoji)
        await world.env.settle()
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.click(post, label="New seed")
    await world.env.settle()
    walk.check(world.ann.id, world.bob.id)


async def test_forms_and_what_comes_back_from_them(walk: Walk, world: World) -> None:
    post = await walk.slash("imagine", prompt="a cat")
    fields = EDIT | {"negative_prompt": walk.evil}
    form = await world.bob.click(post, label="Edit")
    await world.bob.submit_modal(form, fields | {"prompt": walk.evil})
    form = await world.bob.click(post, label="Edit")
    await world.bob.submit_modal(form, fields | {"prompt": walk.evil, "seed": "@everyone"})
    panel = answer(await world.bob.click(post, label="More…"))
    form = await world.bob.click(panel, label="Save as preset")
    await world.bob.submit_modal(form, {"name": walk.evil[:40]})
    walk.check(world.bob.id)


async def test_presets(walk: Walk) -> None:
    name = walk.evil[:40]
    await walk.slash("preset save", name=name, negative_prompt=walk.evil, steps=9)
    for command in ("share", "show", "export", "delete"):
        await walk.slash("preset list")
        await walk.slash(f"preset {command}", name=name)
    content = {"name": name, "values": {"steps": 9, walk.evil: 1, "model": walk.evil}}
    await walk.slash("preset import", text=json.dumps(content))
    await walk.slash("preset import", file=("a.json", json.dumps(content).encode()))
    walk.check()


async def test_a_preset_that_is_shared_and_taken(walk: Walk, world: World) -> None:
    await walk.slash("preset save", name=walk.evil[:40], negative_prompt=walk.evil)
    post = await walk.slash("preset share", name=walk.evil[:40])
    assert not post.ephemeral
    await world.bob.click(post, label="Import")
    walk.check()


async def test_styles_and_settings_of_the_server(walk: Walk) -> None:
    name, boss = walk.evil[:40], walk.boss
    await walk.slash("style save", boss, style=name, template=f"{{prompt}} {walk.evil}")
    await walk.slash("style list")
    await walk.slash("style show", style=name)
    await walk.slash("imagine", prompt="x", style=name)
    await walk.slash("style delete", boss, style=name)
    await walk.slash("config show", boss)
    content = json.dumps({walk.evil: 1, "models": [walk.evil], "words": [walk.evil]}).encode()
    await walk.slash("config import", boss, file=("a.json", content))
    await walk.slash("config show", boss)
    walk.check()


async def test_looking_back(walk: Walk, world: World) -> None:
    await walk.slash("imagine", prompt=walk.evil)
    world.engine.hold()
    await walk.slash("imagine", prompt=walk.evil)
    await walk.slash("history")
    await walk.slash("queue")
    await walk.slash("cancel", job=walk.evil)
    await walk.slash("show", id=1)
    await walk.slash("settings")
    world.engine.release()
    await world.env.settle()
    walk.check(world.ann.id)


async def test_the_log_channel(walk: Walk, world: World) -> None:
    log = world.guild.create_text_channel("log")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, log_channel=log.id)
    )
    await walk.slash("imagine", prompt=walk.evil)
    shown = json.dumps(walk.sent()[-1])
    assert f"@{world.bob.id}" in shown
    assert f" <@{world.bob.id}>" not in shown
    # Its line names who made it, and does not call them either.
    assert not walk.sent()[-1]["allowed_mentions"].get("users")
    walk.check(world.ann.id)


@pytest.mark.parametrize(
    "option", ["model", "vae", "sampler", "size", "preset", "style", "x_values", "y_values"]
)
async def test_errors_that_repeat_what_was_written(walk: Walk, option: str) -> None:
    command = "explore" if option.endswith("_values") else "imagine"
    axes = {"x_axis": "sampler", "y_axis": "cfg_scale"} if command == "explore" else {}
    refused = await walk.slash(command, prompt="x", **axes, **{option: walk.evil})
    assert refused.ephemeral
    walk.check()


async def test_a_word_that_is_not_allowed(walk: Walk, world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("everyone",))
    )
    await walk.slash("preset save", name=walk.evil[:40], steps=9)
    await walk.slash("imagine", prompt=walk.evil)
    await walk.slash("preset share", name=walk.evil[:40])
    walk.check()


async def test_names_of_files(walk: Walk, world: World) -> None:
    world.found = Catalogue(
        models=(model(walk.evil),),
        vaes=(vae(walk.evil),),
        refused=(Refused("model", Path(walk.evil).name, "unreadable"),),
    )
    await walk.slash("admin reload", walk.boss)
    await walk.slash("admin status", walk.boss)
    await walk.slash("models")
    walk.check()
