"""/config: each command, each control, who may use it, and what is typed or sent wrongly."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.components import validate_modal

from bot.rules.policy import names_of
from bot.rules.policy_json import VERSION
from bot.rules.server import (
    BOUNDS,
    CLOSED,
    DEFAULTS,
    FILE_KINDS,
    MAX_ROLES,
    MAX_WORD,
    MOST,
    NSFW,
    SETTINGS,
    FileKind,
    Server,
)
from bot.settings import ROOT
from bot.translate import catalogues
from cogs.config import forms
from cogs.config.panels import LIMITS, PANELS, Panels, closed_view, name_key
from core.models.catalogue import Catalogue
from tests.bot.actions.test_every_control import CONFIG
from tests.simulation import World, answer, components, model, selects, text, within_limits

COMMANDS = ("show", "access", "models", "limits", "quota", "words", "nsfw", "general", "defaults")
LOCALE = discord.Locale.american_english


@pytest.fixture
def owner(world: World) -> MemberActor:
    """Somebody who may manage the server."""
    manages = discord.Permissions(manage_guild=True)
    role = world.guild.create_role("Owners", permissions=manages)
    return world.guild.add_member(world.env.create_user("owner"), roles=[role])


def server(world: World) -> Server:
    return world.bot.store.servers.get(world.guild.id)


async def config(world: World, owner: MemberActor, name: str, /, **options: Any) -> Any:
    """What /config ``name`` answered."""
    result = await owner.slash(world.channel, f"config {name}", **options)
    # Reading the errors accepts those with a sentence.
    list(world.env.errors)
    return result


async def read(result: Any) -> bytes:
    file: discord.Attachment = answer(result).attachments[0]
    return await file.read()


# Every command.


@pytest.mark.parametrize("name", COMMANDS)
async def test_each_command_answers_its_owner_alone(
    world: World, owner: MemberActor, name: str
) -> None:
    result = await config(world, owner, name)
    if result.modal is None:
        assert answer(result).ephemeral


@pytest.mark.parametrize("name", COMMANDS)
async def test_nobody_else_is_shown_the_commands(world: World, name: str) -> None:
    assert f"config {name}" not in world.ann.available_commands(world.channel)


async def test_a_right_that_was_taken_away_no_longer_changes_anything(
    world: World, owner: MemberActor
) -> None:
    panel = answer(await config(world, owner, "nsfw"))
    await owner.click(panel, label="Mark all images as spoilers")
    assert server(world).spoiler
    for role in world.env.backend.guilds[world.guild.id].roles.values():
        role.permissions = 0 if role.name == "Owners" else role.permissions
    result = await owner.click(panel, label="Stop marking all as spoilers")
    assert "Manage Server" in text(answer(result))
    assert server(world).spoiler


async def test_show_has_every_setting(world: World, owner: MemberActor) -> None:
    shown = text(answer(await config(world, owner, "show")))
    names = catalogues()["en"]
    for field in fields(Server):
        assert names[f"config.setting.{field.name}"] in shown
    assert "everyone" in shown
    assert "the bot’s limit" in shown


@pytest.mark.parametrize("name", PANELS)
async def test_the_overview_opens_every_panel(world: World, owner: MemberActor, name: str) -> None:
    overview = answer(await config(world, owner, "show"))
    result = await owner.click(overview, custom_id=f"s:config_{name}")
    assert result.modal is not None or answer(result).ephemeral


# Panels.


async def test_channels_and_roles(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "access"))
    other = world.guild.create_text_channel("other")
    role = world.guild.create_role("Artists")
    await owner.select(panel, [world.channel, other], custom_id="s:config_channels")
    await owner.select(panel, [role], custom_id="s:config_roles")
    assert server(world).channels == (world.channel.id, other.id)
    assert server(world).roles == (role.id,)
    await owner.select(panel, [], custom_id="s:config_channels")
    assert server(world).channels == ()


async def test_models_and_their_roles(world: World, owner: MemberActor) -> None:
    role = world.guild.create_role("Artists")
    panel = answer(await config(world, owner, "models"))
    await owner.select(panel, ["plain", "anime"], custom_id="s:config_allowed")
    assert server(world).models == ("plain", "anime")
    await owner.select(panel, ["anime"], custom_id="s:config_model")
    key = name_key("anime")
    await owner.select(panel, [role], custom_id=f"s:config_model_roles:{key}")
    assert server(world).model_roles == {"anime": (role.id,)}
    assert f"<@&{role.id}>" in text(panel)
    await owner.click(panel, label="Back")
    await owner.select(panel, ["anime"], custom_id="s:config_model")
    await owner.select(panel, [], custom_id=f"s:config_model_roles:{key}")
    assert server(world).model_roles == {}


async def test_many_models_are_searched_and_the_unseen_stay_allowed(
    world: World, owner: MemberActor
) -> None:
    world.bot.catalogue.update(Catalogue(models=tuple(model(f"m{i:03}") for i in range(60))))
    panel = answer(await config(world, owner, "models"))
    await owner.select(panel, ["m003"], custom_id="s:config_allowed")
    form = await owner.click(panel, label="Find a model")
    await owner.submit_modal(form, {"name": "m05"})
    await owner.select(panel, ["m050", "m057"], custom_id="s:config_allowed")
    assert server(world).models == ("m003", "m050", "m057")
    form = await owner.click(panel, label="Find a model")
    await owner.submit_modal(form, {"name": "m05"})
    await owner.select(panel, ["m057"], custom_id="s:config_allowed")
    assert server(world).models == ("m003", "m057")


async def test_a_model_that_is_gone_from_the_panel(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "models"))
    await owner.select(panel, ["anime"], custom_id="s:config_model")
    world.bot.catalogue.update(Catalogue())
    key = name_key("anime")
    role = world.guild.create_role("Artists")
    result = await owner.select(panel, [role], custom_id=f"s:config_model_roles:{key}")
    assert "no longer available" in text(answer(result))


async def test_limits(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "limits"))
    form = await owner.click(panel, label="Images and grids")
    typed = dict.fromkeys(LIMITS["pictures"], "")
    await owner.submit_modal(form, typed | {"max_steps": "30", "max_cells": "12"})
    form = await owner.click(panel, label="Jobs at once")
    await owner.submit_modal(form, {"queue_per_member": "", "queue_total": "9"})
    assert server(world) == Server(max_steps=30, max_cells=12, queue_total=9)
    for said in ("Max steps: 30", "Max images in a grid: 12", "Max jobs at once, whole server: 9"):
        assert said in text(panel)
    form = await owner.click(panel, label="Images and grids")
    assert '"30"' in json.dumps(form.modal)


async def test_a_sheet_has_no_more_cells_than_the_server_wants(
    world: World, owner: MemberActor
) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, max_cells=12))
    sheet = {"x_axis": "steps", "x_values": "1-13"}
    result = await world.ann.slash(world.channel, "explore", prompt="x", **sheet)
    list(world.env.errors)
    assert "up to 12 images; yours would have 13" in text(answer(result))
    await world.ann.slash(world.channel, "explore", prompt="x")
    assert len(world.engine.seen) == 1


@pytest.mark.parametrize("name", [name for names in LIMITS.values() for name in names])
@pytest.mark.parametrize("typed", ["0", "99999", "many", "-1", "1.5"])
async def test_limits_have_bounds(world: World, owner: MemberActor, name: str, typed: str) -> None:
    panel = answer(await config(world, owner, "limits"))
    kind = next(kind for kind, names in LIMITS.items() if name in names)
    form = await owner.click(panel, custom_id=f"s:config_limits_{kind}")
    result = await owner.submit_modal(form, dict.fromkeys(LIMITS[kind], "") | {name: typed})
    assert f"must be from {BOUNDS[name].low:g} to {BOUNDS[name].high:g}" in text(answer(result))
    assert server(world) == Server()


async def test_quotas(world: World, owner: MemberActor) -> None:
    role = world.guild.create_role("Patrons")
    panel = answer(await config(world, owner, "quota"))
    form = await owner.click(panel, label="Daily quota for everyone")
    await owner.submit_modal(form, {"quota": "20"})
    form = await owner.select(panel, [role], custom_id="s:config_quota_role")
    await owner.submit_modal(form, {"quota": "100"})
    assert server(world).quota == 20
    assert server(world).role_quotas == {role.id: 100}
    assert f"<@&{role.id}> 100" in text(panel)
    form = await owner.select(panel, [role], custom_id="s:config_quota_role")
    await owner.submit_modal(form, {"quota": ""})
    assert server(world).role_quotas == {}
    form = await owner.click(panel, label="Daily quota for everyone")
    result = await owner.submit_modal(form, {"quota": "0"})
    assert "must be from 1 to 10000" in text(answer(result))


async def test_words(world: World, owner: MemberActor) -> None:
    form = await config(world, owner, "words")
    result = await owner.submit_modal(form, {"words": "blood\nGore, blood, red car\n\n!!"})
    assert server(world).words == ("blood", "Gore", "red car")
    assert "blood, Gore, red car" in text(answer(result))
    await owner.submit_modal(await config(world, owner, "words"), {"words": ""})
    assert server(world).words == ()


@pytest.mark.parametrize("typed", ["x" * 51, "\n".join(f"w{i}" for i in range(201))])
async def test_words_have_bounds(world: World, owner: MemberActor, typed: str) -> None:
    form = await config(world, owner, "words")
    result = await owner.submit_modal(form, {"words": typed})
    assert "200 words of up to 50 characters" in text(answer(result))
    assert server(world).words == ()


async def test_nsfw_without_a_classifier_offers_no_block(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "nsfw"))
    select = next(item for item in components(panel) if item.get("options"))
    assert [option["value"] for option in select["options"]] == ["off", "restricted", "spoiler"]
    for name in ("restricted", "spoiler", "off"):
        await owner.select(panel, [name], custom_id="s:config_nsfw_set")
        assert server(world).nsfw == name


async def test_log_language_and_reactions(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "general"))
    log = world.guild.create_text_channel("log")
    await owner.select(panel, [log], custom_id="s:config_log")
    assert server(world).log_channel == log.id
    await owner.select(panel, [], custom_id="s:config_log")
    assert server(world).log_channel is None
    await owner.select(panel, ["en"], custom_id="s:config_language")
    assert server(world).language == "en"
    await owner.select(panel, ["own"], custom_id="s:config_language")
    assert server(world).language is None
    await owner.click(panel, label="Turn reactions off")
    assert not server(world).reactions
    await owner.click(panel, label="Turn reactions on")
    assert server(world).reactions


# Defaults.


async def test_defaults_apply_below_the_members_own(world: World, owner: MemberActor) -> None:
    result = await config(world, owner, "defaults", steps=12, model="ANIME", vae="vivid")
    assert "steps 12" in text(answer(result))
    assert server(world).defaults == {"model": "anime", "vae": "vivid", "steps": 12}
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.ann.slash(world.channel, "imagine", prompt="x", steps=9)
    requests = [work.request for work in world.engine.seen]
    assert [(r.model, r.vae, r.steps) for r in requests] == [
        ("anime", "vivid", 12),
        ("anime", "vivid", 9),
    ]


async def test_a_channels_defaults_go_before_the_servers(world: World, owner: MemberActor) -> None:
    other = world.guild.create_text_channel("other")
    await config(world, owner, "defaults", steps=12, cfg_scale=5.0)
    await config(world, owner, "defaults", steps=14, channel=other)
    assert server(world).channel_defaults == {other.id: {"steps": 14}}
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.ann.slash(other, "imagine", prompt="x")
    requests = [work.request for work in world.engine.seen]
    assert [(r.steps, r.cfg_scale) for r in requests] == [(12, 5.0), (14, 5.0)]


async def test_defaults_are_taken_away(world: World, owner: MemberActor) -> None:
    panel = answer(await config(world, owner, "defaults", steps=12, count=2))
    await owner.select(panel, ["steps"], custom_id="s:config_take:0")
    assert server(world).defaults == {"count": 2}
    panel = answer(await config(world, owner, "defaults", steps=12, channel=world.channel))
    await owner.select(panel, ["steps"], custom_id=f"s:config_take:{world.channel.id}")
    assert server(world).channel_defaults == {}


async def test_the_overview_leads_to_the_defaults_of_each_channel(
    world: World, owner: MemberActor
) -> None:
    other = world.guild.create_text_channel("other")
    await config(world, owner, "defaults", steps=14, channel=other)
    overview = answer(await config(world, owner, "show"))
    panel = answer(await owner.click(overview, label="Defaults"))
    assert "None yet" in text(panel)
    assert f"<#{other.id}> steps 14" in text(panel)
    (channels,) = selects(panel).values()
    assert [option["label"] for option in channels["options"]] == ["#other"]
    await owner.select(panel, [str(other.id)], custom_id=channels["custom_id"])
    assert f"Defaults for <#{other.id}>" in text(panel)
    assert "- steps 14" in text(panel)
    await owner.click(panel, label="Back")
    assert "This server’s defaults" in text(panel)
    await owner.select(panel, [str(other.id)], custom_id=channels["custom_id"])
    await owner.select(panel, ["steps"], custom_id=f"s:config_take:{other.id}")
    assert server(world).channel_defaults == {}
    await owner.click(panel, label="Back")
    assert selects(panel) == {}


async def test_defaults_of_a_deleted_channel_are_opened_by_its_id(
    world: World, owner: MemberActor
) -> None:
    ids = range(10**18, 10**18 + MOST["channel_defaults"])
    await world.bot.store.servers.update(
        world.guild.id, lambda s: replace(s, channel_defaults={id: {"steps": 9} for id in ids})
    )
    panel = answer(await config(world, owner, "defaults"))
    rows = [item for item in components(panel) if item["type"] == 3]
    labels = [option["label"] for item in rows for option in item["options"]]
    assert labels == [str(id) for id in ids]
    await owner.select(panel, [labels[-1]], custom_id=rows[-1]["custom_id"])
    assert f"Defaults for <#{ids[-1]}>" in text(panel)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "lost"}, "no model called"),
        ({"vae": "lost"}, "no VAE called"),
        ({"size": "7x7"}, "multiple of 8"),
        ({"sampler": "magic"}, "no sampler called"),
    ],
)
async def test_defaults_that_cannot_be(
    world: World, owner: MemberActor, options: dict[str, Any], words: str
) -> None:
    result = await config(world, owner, "defaults", **options)
    assert words in text(answer(result))
    assert server(world) == Server()


async def test_a_default_model_that_is_gone_is_passed_over(
    world: World, owner: MemberActor
) -> None:
    await config(world, owner, "defaults", model="anime", vae="vivid")
    world.bot.catalogue.update(Catalogue(models=world.found.models[:1]))
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert world.engine.seen[-1].request.model == "plain"


def test_what_has_a_default_is_an_option() -> None:
    from bot.ordering.layers import LAYERED

    assert set(LAYERED) - set(DEFAULTS) == {"seed", "private"}


# Bans.


async def test_ban_and_unban(world: World, owner: MemberActor) -> None:
    said = await config(world, owner, "ban", member=world.ann)
    assert f"<@{world.ann.id}>" in text(answer(said))
    refused = await world.ann.slash(world.channel, "imagine", prompt="x")
    list(world.env.errors)
    assert answer(refused).ephemeral
    assert "banned from generating images on this server" in text(answer(refused))
    await config(world, owner, "unban", member=world.ann)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 1
    again = await config(world, owner, "unban", member=world.ann)
    assert "wasn’t banned" in text(answer(again))


async def test_bans_have_a_bound(world: World, owner: MemberActor) -> None:
    full = tuple(range(1, MOST["banned"] + 1))
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, banned=full))
    assert "1000 banned members" in text(
        answer(await config(world, owner, "ban", member=world.ann))
    )


# Files.


async def import_file(world: World, owner: MemberActor, data: bytes, name: str = "x.json") -> Any:
    return await config(world, owner, "import", file=(name, data))


async def test_what_is_exported_is_imported(world: World, owner: MemberActor) -> None:
    role = world.guild.create_role("Artists")
    before = Server(
        channels=(world.channel.id,),
        roles=(role.id,),
        models=("anime", "not here"),
        model_roles={"anime": (role.id,)},
        max_steps=30,
        max_size=768,
        max_count=2,
        max_cells=20,
        queue_per_member=2,
        queue_total=10,
        quota=50,
        role_quotas={role.id: 100},
        defaults={"steps": 12, "cfg_scale": 5.5, "model": "anime"},
        channel_defaults={world.channel.id: {"steps": 9}},
        words=("blood",),
        nsfw="spoiler",
        spoiler=True,
        reactions=False,
        language="en",
        log_channel=world.channel.id,
        banned=(world.bob.id,),
    )
    await world.bot.store.servers.update(world.guild.id, lambda _: before)
    exported = await read(await config(world, owner, "export"))
    await world.bot.store.servers.update(world.guild.id, lambda _: Server())
    result = await import_file(world, owner, exported)
    assert server(world) == before
    assert f"Settings imported: {len(fields(Server))}." in text(answer(result))
    assert json.loads(await read(result))["max_steps"] is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not json", "isn’t a JSON file"),
        (b"\xff\xfe\x00", "isn’t a JSON file"),
        (b"[" * 100_000, "isn’t a JSON file"),
        (b"[]", "no settings of this bot"),
        (b'{"max_steps": 3}', "no settings of this bot"),
        (b'{"version": 999, "max_steps": 3}', "newer version"),
        (b'{"version": 1, "x": "' + b"x" * 300_000 + b'"}', "too large"),
    ],
)
async def test_files_that_hold_no_settings(
    world: World, owner: MemberActor, data: bytes, words: str
) -> None:
    await config(world, owner, "defaults", steps=12)
    before = server(world)
    result = await import_file(world, owner, data)
    assert words in text(answer(result))
    assert "Nothing was changed" in text(answer(result))
    assert server(world) == before


async def test_what_cannot_be_used_is_said_and_the_rest_is_taken(
    world: World, owner: MemberActor
) -> None:
    await config(world, owner, "defaults", steps=12)
    data = {
        "version": VERSION,
        "max_steps": 30,
        "max_count": 9_999,
        "words": "blood",
        "defaults": {"model": "lost"},
        "from_the_future": 1,
        "nsfw": "block",
        "reactions": "no",
    }
    result = await import_file(world, owner, json.dumps(data).encode())
    said = text(answer(result))
    assert server(world) == Server(max_steps=30, defaults={"steps": 12})
    assert "Settings imported: 1." in said
    assert "`from_the_future` isn’t a setting" in said
    for label in ("Max images per job", "Blocked words", "Defaults", "Reaction controls"):
        assert f"**{label}** has a value that can’t be used" in said
    assert "no NSFW check installed" in said


@pytest.mark.parametrize(
    "defaults",
    [
        {"clip_skip": 2.5},
        {"count": 1.5},
        {"steps": 4.5},
        {"steps": "12"},
        {"steps": True},
        {"model": 5},
        {"sampler": 3},
        {"cfg_scale": float("nan")},
        {"negative_prompt": "\ud800"},
        {"size": ["x"]},
        {"film": 1},
    ],
)
async def test_defaults_of_another_kind_are_said_and_stay_as_they_were(
    world: World, owner: MemberActor, defaults: dict[str, Any]
) -> None:
    for name, value in (
        ("defaults", defaults),
        ("channel_defaults", {str(world.channel.id): defaults}),
    ):
        data = json.dumps({"version": VERSION, name: value}).encode()
        said = text(answer(await import_file(world, owner, data)))
        assert "has a value that can’t be used" in said
        assert server(world) == Server()


async def test_a_list_too_long_is_said_and_stays_as_it_was(
    world: World, owner: MemberActor
) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, models=("anime",)))
    role = str(world.guild.create_role("Artists").id)
    data = {
        "version": VERSION,
        "models": [f"m{number}" for number in range(MOST["models"] + 1)],
        "model_roles": {"anime": [role, *map(str, range(1, MAX_ROLES + 1))]},
    }
    said = text(answer(await import_file(world, owner, json.dumps(data).encode())))
    assert "**Models** has more than 200 entries" in said
    assert "**Roles per model** has more than 25 entries" in said
    assert server(world) == Server(models=("anime",))


async def test_a_servers_defaults_know_the_samplers_options(
    world: World, owner: MemberActor
) -> None:
    await owner.slash(world.channel, "config defaults", noise_source="GPU")
    wanted = {"noise_source": "NV", "eta": 0.5, "discard_penultimate": True}
    assert server(world).defaults == {"noise_source": "GPU"}
    await import_file(world, owner, json.dumps({"version": VERSION, "defaults": wanted}).encode())
    assert server(world).defaults == wanted
    await world.ann.slash(world.channel, "imagine", prompt="x")
    request = world.engine.seen[-1].items[0].request
    assert {name: getattr(request, name) for name in wanted} == wanted


async def test_what_is_imported_is_kept_in_the_catalogues_spelling(
    world: World, owner: MemberActor
) -> None:
    first, second = (world.guild.create_role(name).id for name in ("A", "B"))
    data = {
        "version": VERSION,
        "models": ["ANIME", "anime", "Not Here"],
        "model_roles": {"Anime": [str(first)], "ANIME": [str(second)]},
        "defaults": {"model": "ANIME", "vae": "VIVID", "sampler": "euler A", "size": "512X768"},
        "channel_defaults": {str(world.channel.id): {"model": "ANIME"}},
    }
    await import_file(world, owner, json.dumps(data).encode())
    assert server(world) == Server(
        models=("anime", "Not Here"),
        model_roles={"anime": (first, second)},
        defaults={"model": "anime", "vae": "vivid", "sampler": "Euler a", "size": "512x768"},
        channel_defaults={world.channel.id: {"model": "anime"}},
    )


async def test_roles_and_channels_of_elsewhere_are_named_and_left_out(
    world: World, owner: MemberActor
) -> None:
    role = world.guild.create_role("Artists")
    data = {
        "version": VERSION,
        "channels": [str(world.channel.id), "111"],
        "roles": ["222"],
        "role_quotas": {str(role.id): 5, "333": 6},
        "model_roles": {"anime": ["444"]},
    }
    result = await import_file(world, owner, json.dumps(data).encode())
    said = text(answer(result))
    assert server(world) == Server(channels=(world.channel.id,), role_quotas={role.id: 5})
    assert "`111`" in said
    assert "`333`" in said
    assert "**Roles**: nothing in it exists on this server, so it wasn’t changed" in said
    assert "**Roles per model**: nothing in it exists on this server, so it wasn’t" in said


async def test_what_was_deleted_since_is_said_and_opens_nothing(
    world: World, owner: MemberActor
) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda s: replace(s, channels=(111,), roles=(222,), log_channel=333)
    )
    for name in ("show", "access"):
        said = text(answer(await config(world, owner, name)))
        assert "`111`" in said
        assert "`222`" in said
        assert "All allowed channels were deleted" in said
        assert "All allowed roles were deleted" in said
    await world.ann.slash(world.channel, "imagine", prompt="x")
    list(world.env.errors)
    assert not world.engine.seen


FORGETTING = [
    ("show", "config_forget:0"),
    ("access", "config_forget:1"),
    ("quota", "config_forget:2"),
    ("general", "config_forget:3"),
]


@pytest.mark.parametrize(("name", "button"), FORGETTING)
async def test_what_was_deleted_is_forgotten_when_asked(
    world: World, owner: MemberActor, name: str, button: str
) -> None:
    role, here = world.guild.create_role("Artists").id, world.channel.id
    before = Server(
        channels=(111, here),
        roles=(222,),
        model_roles={"anime": (222, role), "plain": (222,)},
        role_quotas={222: 5, role: 6},
        channel_defaults={111: {"steps": 5}, here: {"steps": 6}},
        log_channel=111,
    )
    await world.bot.store.servers.update(world.guild.id, lambda _: before)
    panel = answer(await config(world, owner, name))
    await owner.click(panel, custom_id=f"s:{button}")
    # Without their last role, these would be everybody's.
    assert server(world) == Server(
        channels=(here,),
        roles=(222,),
        model_roles={"anime": (role,), "plain": (222,)},
        role_quotas={role: 6},
        channel_defaults={here: {"steps": 6}},
    )
    assert "Remove deleted entries" not in [item.get("label") for item in components(panel)]
    assert "All allowed roles were deleted" in text(panel)
    assert "`111`" not in text(panel)


@pytest.mark.parametrize("name", ["show", "access", "quota", "general"])
async def test_where_nothing_is_gone_nothing_can_be_forgotten(
    world: World, owner: MemberActor, name: str
) -> None:
    shown = components(answer(await config(world, owner, name)))
    assert "Remove deleted entries" not in [item.get("label") for item in shown]


async def test_a_full_list_says_so_and_survives_a_restart(world: World, owner: MemberActor) -> None:
    full = dict.fromkeys(range(1, MAX_ROLES + 1), 5)
    servers = world.bot.store.servers
    await servers.update(world.guild.id, lambda s: replace(s, role_quotas=full))
    role = world.guild.create_role("Patrons")
    panel = answer(await config(world, owner, "quota"))
    form = await owner.select(panel, [role], custom_id="s:config_quota_role")
    result = await owner.submit_modal(form, {"quota": "100"})
    assert "daily quota for up to 25 roles" in text(answer(result))
    await servers.load()
    assert server(world).role_quotas == full


async def test_a_full_list_of_models_says_so(world: World, owner: MemberActor) -> None:
    names = tuple(f"m{number}" for number in range(MOST["models"]))
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, models=names))
    panel = answer(await config(world, owner, "models"))
    form = await owner.click(panel, label="Find a model")
    await owner.submit_modal(form, {"name": "anime"})
    result = await owner.select(panel, ["anime"], custom_id="s:config_allowed")
    assert "up to 200 models" in text(answer(result))
    await world.bot.store.servers.load()
    assert server(world).models == names


# Settings that cannot be read.


@pytest.fixture
async def closed(world: World) -> str:
    """The text of a newer version's settings for this server, read at a start."""
    kept = json.dumps({"version": VERSION + 1, "nsfw": "never"})
    await world.bot.store.servers.update(world.guild.id, lambda s: s)
    with sqlite3.connect(world.bot.settings.database_path) as connection:
        connection.execute("UPDATE servers SET settings = ?", (kept,))
    await world.bot.store.servers.load()
    return kept


async def test_nobody_draws_where_the_settings_cannot_be_read(
    world: World, owner: MemberActor, closed: str
) -> None:
    for member in (world.ann, owner):
        result = await member.slash(world.channel, "imagine", prompt="x")
        list(world.env.errors)
        assert "can’t read this server’s settings" in text(answer(result))
    for name in (*COMMANDS, "unban"):
        options = {"member": world.ann} if name == "unban" else {}
        said = text(answer(await config(world, owner, name, **options)))
        assert "This server’s settings can’t be read" in said
    await config(world, owner, "ban", member=world.ann)
    assert (await read(await config(world, owner, "export"))).decode() == closed
    assert server(world) is CLOSED


async def test_a_manager_begins_anew(world: World, owner: MemberActor, closed: str) -> None:
    panel = answer(await config(world, owner, "show"))
    await owner.click(panel, label="Reset all settings")
    assert server(world) == Server()
    assert "Server settings" in text(panel)
    await config(world, owner, "defaults", steps=12)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert world.engine.seen[-1].request.steps == 12


async def test_who_begins_anew_too_late_takes_nothing_away(
    world: World, owner: MemberActor, closed: str
) -> None:
    panel = answer(await config(world, owner, "show"))
    data = json.dumps({"version": VERSION, "max_steps": 30}).encode()
    former = await read(await import_file(world, owner, data))
    assert former.decode() == closed
    await owner.click(panel, label="Reset all settings")
    assert server(world) == Server(max_steps=30)
    await world.bot.store.servers.load()
    assert server(world) == Server(max_steps=30)


# Discord's limits.


def longest() -> Server:
    ids = tuple(10**18 + i for i in range(1000))
    names = tuple("*" * 97 + f"{i:03}" for i in range(MOST["models"]))
    values = dict.fromkeys(("negative_prompt", "model", "vae", "sampler", "size"), "*" * 4000)
    values |= {"steps": 150, "cfg_scale": 29.5, "clip_skip": 12, "count": 8}  # type: ignore[dict-item]
    return Server(
        channels=ids[: MOST["channels"]],
        roles=ids[:MAX_ROLES],
        models=names,
        model_roles=dict.fromkeys(names, ids[:MAX_ROLES]),
        loras=names,
        lora_roles=dict.fromkeys(names, ids[:MAX_ROLES]),
        embeddings=names,
        embedding_roles=dict.fromkeys(names, ids[:MAX_ROLES]),
        max_steps=150,
        max_size=2048,
        max_count=8,
        max_cells=400,
        queue_per_member=100,
        queue_total=10_000,
        quota=10_000,
        role_quotas=dict.fromkeys(ids[:MAX_ROLES], 10_000),
        defaults=values,
        channel_defaults=dict.fromkeys(ids[: MOST["channel_defaults"]], values),
        words=tuple("*" * 47 + f"a{i:03}" for i in range(78)),
        nsfw="restricted",
        language="zh-CN",
        log_channel=ids[0],
        banned=ids,
    )


def names_in(server: Server) -> dict[FileKind, Sequence[str]]:
    return {kind: names_of(server, kind) for kind in FILE_KINDS}


class NobodyHome:
    """A guild where everything was deleted."""

    def get_role(self, _: int) -> None:
        return None

    get_channel_or_thread = get_role


@pytest.mark.parametrize("language", sorted(catalogues()))
def test_every_panel_is_one_that_discord_takes(language: str) -> None:
    full, locale = longest(), discord.Locale(language if language != "en" else "en-US")
    guild: Any = NobodyHome()
    panels = Panels(full, guild, locale, names_in(full), classifier=True)
    unset = Panels(Server(), guild, locale)
    for view in (
        panels.panel("overview"),
        panels.panel("access"),
        Panels(full, None, locale).panel("access"),
        panels.panel("models"),
        panels.file("model", full.models[0]),
        *(panels.panel(f"{kind}s") for kind in FILE_KINDS),
        panels.file("embedding", full.embeddings[0]),
        panels.panel("limits"),
        closed_view(locale),
        panels.panel("quota"),
        panels.panel("nsfw"),
        panels.panel("general"),
        panels.defaults(None),
        panels.defaults(10**18),
        unset.panel("overview"),
        unset.panel("models"),
        unset.defaults(None),
    ):
        within_limits(view)
    for form in (
        *(
            forms.settings_form(full, names, locale)
            for names in (*LIMITS.values(), ("quota",), ("words",))
        ),
        forms.settings_form(
            replace(full, role_quotas={10**19: 10_000}), ("quota",), locale, 10**19
        ),
        *(forms.find_form(kind, locale) for kind in FILE_KINDS),
    ):
        validate_modal(form.to_dict())
        assert len(form.title) <= 45
        for label in form.to_dict()["components"]:
            assert len(label["label"]) <= 45
            assert len(label.get("description") or "") <= 100


def test_every_action_is_one_that_a_custom_id_can_name() -> None:
    from bot.posts.controls import STANDING, standing_id

    for action in CONFIG:
        assert STANDING.fullmatch(standing_id(action, 2**63 - 1))


def test_every_choice_has_its_words() -> None:
    for name in NSFW:
        assert f"config.nsfw.{name}" in catalogues()["en"]


def test_every_setting_is_documented_with_its_bounds() -> None:
    page = (ROOT / "docs" / "servers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", page, re.MULTILINE))
    assert list(rows) == list(SETTINGS)
    for name, setting in SETTINGS.items():
        assert not setting.panel or f"`/config {setting.panel}`" in rows[name]
    for name, bounds in BOUNDS.items():
        assert f"{bounds.low:g} to {bounds.high:g}" in rows[name]
    for name, bound in (
        ("channels", MOST["channels"]),
        ("roles", MAX_ROLES),
        ("models", MOST["models"]),
        ("role_quotas", MAX_ROLES),
        ("channel_defaults", MOST["channel_defaults"]),
        ("banned", MOST["banned"]),
    ):
        assert f"up to {bound}" in rows[name]
    assert f"up to {MOST['words']} words or phrases of up to {MAX_WORD}" in rows["words"]
    assert rows["nsfw"].split("|")[1].split(" (")[0].split(", ") == [f" {NSFW[0]}", *NSFW[1:]]
