"""Presets that go to others and come from elsewhere: the post, the file, and bad files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import aiohttp
import discord
import pytest
from simcord.actors import MemberActor

from bot.exceptions import BadPreset
from bot.settings import Limits
from bot.store import Preset, Store
from bot.store.presets import MAX_PER_USER
from bot.store.shares import MAX_SHARED
from cogs.preset.preset_json import MAX_BYTES, VERSION, read, to_json
from core.errors import PenultimateError
from tests.simulation import World, answer, buttons, catalogue, components, text

LIMITS = Limits()
FAST = {"steps": 12, "sampler": "Euler a", "clip_skip": 2}


def accept(world: World) -> None:
    """Reading the errors accepts them: what has a sentence may happen, a bug may not."""
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError), error


async def shared(world: World, name: str = "Fast", **values: Any) -> Any:
    await world.bot.store.presets.save(world.ann.id, name, values or FAST)
    return answer(await world.ann.slash(world.channel, "preset share", name=name))


async def delete_shares(world: World) -> None:
    """As it is in a new database, or in one that was restored from before."""
    await world.bot.store._database.execute("DELETE FROM shared_presets")
    await world.bot.store._database.execute("DELETE FROM sqlite_sequence")


async def values_of(world: World, member: MemberActor, name: str) -> Any:
    return (await world.bot.store.presets.get(member.id, name)).values


# The post.


async def test_a_shared_preset_is_a_public_post_with_an_import_button(world: World) -> None:
    post = await shared(world)
    assert not post.ephemeral
    assert text(post) == (
        f"<@{world.ann.id}> shared the preset **Fast**:\n"
        "- clip skip 2\n- steps 12\n- sampler Euler a"
    )
    assert list(buttons(post)) == ["Import", "Stop sharing"]
    result = await world.bob.click(post, label="Import")
    assert answer(result).ephemeral
    assert "Imported as **Fast**" in text(answer(result))
    assert await values_of(world, world.bob, "fast") == FAST


async def test_the_copy_is_of_what_was_shared(world: World) -> None:
    post = await shared(world)
    await world.bot.store.presets.save(world.ann.id, "Fast", {"steps": 99})
    await world.bob.click(post, label="Import")
    assert (await values_of(world, world.bob, "Fast"))["steps"] == 12


async def test_whether_pictures_are_private_is_not_shared(world: World) -> None:
    post = await shared(world, steps=9, private=True)
    assert "private" not in text(post)
    await world.bot.store.presets.save(world.ann.id, "Quiet", {"private": True})
    result = await world.ann.slash(world.channel, "preset share", name="Quiet")
    assert "no values that can be used here" in text(answer(result))
    accept(world)


async def test_import_works_after_a_restart(world: World) -> None:
    post = await shared(world)
    await world.restart(kill=True)
    await world.bob.click(post, label="Import")
    assert await values_of(world, world.bob, "Fast") == FAST


async def test_an_import_replaces_nothing_and_never_applies_by_itself(world: World) -> None:
    await world.bot.store.presets.save(world.bob.id, "fast", {"steps": 3})
    post = await shared(world)
    result = await world.bob.click(post, label="Import")
    assert "Imported as **Fast (2)**" in text(answer(result))
    await world.bob.click(post, label="Import")
    own = await shared(world, "default", steps=5)
    result = await world.bob.click(own, label="Import")
    assert "Imported as **default (2)**" in text(answer(result))
    names = [preset.name for preset in await world.bot.store.presets.list(world.bob.id)]
    assert names == ["default (2)", "fast", "Fast (2)"]
    assert await world.bot.store.presets.yours(world.bob.id) == {}


async def test_what_is_not_here_any_more_is_left_out_by_name(world: World) -> None:
    post = await shared(world, steps=9, model="lost")
    said = text(answer(await world.bob.click(post, label="Import")))
    assert "Ignored: There’s no model called **lost**." in said
    assert await values_of(world, world.bob, "Fast") == {"steps": 9}


async def test_one_may_stop_sharing_and_moderators_may_too(world: World) -> None:
    post = await shared(world)
    refused = await world.bob.click(post, label="Stop sharing")
    assert "Only the person who shared this" in text(answer(refused))
    assert "Import" in buttons(world.posts()[-1])
    await world.ann.click(post, label="Stop sharing")
    assert text(world.posts()[-1]) == "This preset is no longer shared."
    other = await shared(world)
    await world.moderator().click(other, label="Stop sharing")
    assert text(world.posts()[-1]) == "This preset is no longer shared."


async def test_a_share_that_is_gone_says_so(world: World) -> None:
    post = await shared(world)
    await delete_shares(world)
    result = await world.bob.click(post, label="Import")
    assert "no longer shared" in text(answer(result))
    await world.bob.click(post, label="Stop sharing")
    assert text(world.posts()[-1]) == "This preset is no longer shared."


async def test_no_preset_of_a_new_database_comes_of_an_old_post(world: World) -> None:
    post = await shared(world)
    await delete_shares(world)
    await shared(world, "Mine", steps=3)
    result = await world.bob.click(post, label="Import")
    assert "no longer shared" in text(answer(result))
    assert await world.bot.store.presets.list(world.bob.id) == ()
    accept(world)


async def test_only_the_newest_shares_are_kept(store: Store) -> None:
    made = [await store.shares.create(1, "x", {"steps": 1}) for _ in range(MAX_SHARED + 2)]
    other = await store.shares.create(2, "x", {"steps": 1})
    assert [await store.shares.get(share.id) for share in made[:2]] == [None, None]
    assert await store.shares.get(made[2].id) == made[2]
    assert await store.shares.get(other.id) == other
    assert await store.shares.get(10**20) is None


async def test_the_longest_share_fits(world: World) -> None:
    post = await shared(
        world, "*" * 40, negative_prompt="*" * 4000, model="plain", size="512x512", seed=1
    )
    assert len(text(post)) <= 4000


async def test_a_member_who_has_fifty_reads_so(world: World) -> None:
    for number in range(MAX_PER_USER):
        await world.bot.store.presets.save(world.bob.id, str(number), {"steps": 1})
    result = await world.bob.click(await shared(world), label="Import")
    assert "already have 50 presets" in text(answer(result))


async def test_a_name_that_the_server_blocks_is_not_posted(world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("gore",))
    )
    await world.bot.store.presets.save(world.ann.id, "Gore", {"negative_prompt": "dark"})
    result = await world.ann.slash(world.channel, "preset share", name="Gore")
    assert result.ephemeral
    assert "doesn’t allow the word" in text(answer(result))
    # What a negative prompt keeps out may be said.
    assert "gore, dark" in text(await shared(world, negative_prompt="gore, dark"))
    accept(world)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda world: {"banned": (world.ann.id,)}, "banned from generating images"),
        (lambda world: {"channels": (1,)}, "<#1>"),
        (lambda world: {"roles": (1,)}, "<@&1>"),
    ],
)
async def test_who_may_make_nothing_here_posts_nothing_here(
    world: World, rule: Any, words: str
) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, **rule(world))
    )
    refused = await shared(world)
    assert refused.ephemeral
    assert words in text(refused)
    assert not world.posts()
    accept(world)


# The file.


def exported(**values: Any) -> bytes:
    return to_json(Preset("Fast", values or FAST, 0.0)).encode()


def test_what_is_written_is_read() -> None:
    found = read(exported(), catalogue(), LIMITS)
    assert (found.name, found.values, found.left_out, found.newer) == ("Fast", FAST, (), False)


@pytest.mark.parametrize(
    "content",
    [
        '{"steps": 12}',
        '\ufeff{"steps": 12}',
        '```json\n{"values": {"steps": 12}}\n```',
        '{"penultimate_preset": "x", "name": 7, "values": {"steps": 12}}',
    ],
)
def test_other_ways_to_write_it(content: str) -> None:
    found = read(content.encode(), catalogue(), LIMITS)
    assert (found.name, found.values, found.newer) == (None, {"steps": 12}, False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_json"),
        (b"steps: 12", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"[" * 60_000, "not_json"),
        (b'{"steps": ' + b"9" * 5000 + b"}", "not_json"),
        (b"[1, 2]", "no_preset"),
        (b"7", "no_preset"),
        (b'{"values": [1]}', "no_preset"),
        (b" " * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_preset(content: bytes, reason: str) -> None:
    with pytest.raises(BadPreset) as caught:
        read(content, catalogue(), LIMITS)
    assert caught.value.reason == reason
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", "12"),
        ("steps", True),
        ("steps", 12.5),
        ("steps", 10**400),
        ("steps", -1),
        ("cfg_scale", float("inf")),
        ("cfg_scale", float("nan")),
        ("cfg_scale", None),
        ("clip_skip", 13),
        ("seed", 2**32),
        ("private", "yes"),
        ("private", 1),
        ("model", 7),
        ("model", "lost"),
        ("vae", {"a": 1}),
        ("sampler", []),
        ("size", "9" * 400 + "x512"),
        ("size", 512),
        ("negative_prompt", "x" * 4001),
        ("count", 5),
    ],
)
def test_absurd_values_are_left_out_and_the_rest_is_used(name: str, value: Any) -> None:
    data = json.dumps({"clip_skip": 2, "private": False} | {name: value}).encode()
    found = read(data, catalogue(), LIMITS)
    assert found.values == {
        key: kept for key, kept in {"clip_skip": 2, "private": False}.items() if key != name
    }
    ((left, error),) = found.left_out
    assert left == name
    assert error is not None


def test_unknown_keys_and_newer_versions() -> None:
    data = json.dumps(
        {"penultimate_preset": VERSION + 1, "values": {"steps": 12, "loras": [1]}}
    ).encode()
    found = read(data, catalogue(), LIMITS)
    assert (found.values, found.left_out, found.newer) == (
        {"steps": 12},
        (("loras", None),),
        True,
    )


def test_a_vae_that_does_not_fit_is_left_out() -> None:
    data = json.dumps({"model": "plain", "vae": "other"}).encode()
    found = read(data, catalogue(), LIMITS)
    assert found.values == {"model": "plain"}
    assert [name for name, _ in found.left_out] == ["vae"]


async def imported(world: World, **options: Any) -> str:
    result = await world.ann.slash(world.channel, "preset import", **options)
    accept(world)
    assert result.ephemeral
    return text(answer(result))


async def test_a_pasted_text_is_imported(world: World) -> None:
    said = await imported(world, text=exported().decode())
    assert said == (
        "Imported as **Fast**. Use it with `/imagine preset:Fast`.\n"
        "- clip skip 2\n- steps 12\n- sampler Euler a"
    )
    await world.ann.slash(world.channel, "imagine", prompt="x", preset="fast")
    assert (await world.job(1)).request.steps == 12


OTHERS = {
    "noise_source": "NV",
    "eta": 0.5,
    "eta_noise_seed_delta": 31337,
    "discard_penultimate": True,
    "emphasis": "No norm",
    "seed_resize_width": 256,
    "seed_resize_height": 512,
}


async def test_the_samplers_options_are_imported(world: World) -> None:
    values = OTHERS | {"ngms": -1.0, "sgm_noise_multiplier": "yes", "sigma_churn": 1e999}
    said = await imported(world, text=json.dumps({"name": "wild", "values": values}))
    assert "- eta 0.5" in said
    assert "- discard penultimate sigma yes" in said
    assert (await world.bot.store.presets.get(world.ann.id, "wild")).values == OTHERS
    assert "negative guidance minimum sigma must be from 0 to 15" in said
    assert "SGM noise multiplier must be yes or no" in said
    assert "sigma churn must be from 0 to 100" in said
    await world.ann.slash(world.channel, "imagine", prompt="x", preset="wild")
    request = (await world.job(1)).request
    assert {name: getattr(request, name) for name in OTHERS} == OTHERS


async def test_a_name_of_ones_own_replaces_what_has_it(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"steps": 3})
    assert "as **default**" in await imported(world, text=exported().decode(), name="default")
    assert await world.bot.store.presets.yours(world.ann.id) == FAST


async def test_every_reason_is_said(world: World) -> None:
    content = {
        "penultimate_preset": 9,
        "name": "x" * 99,
        "values": {"steps": 12, "size": "7x7", "clip_skip": "two"}
        | {f"key*{number}" + "y" * 100: 1 for number in range(8)},
    }
    said = await imported(world, text=json.dumps(content))
    assert "Imported as **imported**" in said
    assert "newer version" in said
    assert "multiple of 8" in said
    assert "clip skip must be from 1 to 12, not “two”" in said
    assert "has no setting called “key\\*0" in said
    assert "and 5 more." in said


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (None, "Attach a file"),
        ("hello", "isn’t JSON"),
        ("[]", "isn’t a preset"),
        ("{}", "no values that can be used here"),
        ('{"steps": 9000}', "no values that can be used here"),
    ],
)
async def test_bad_texts_get_a_sentence(world: World, pasted: str | None, words: str) -> None:
    options = {} if pasted is None else {"text": pasted}
    assert words in await imported(world, **options)
    assert await world.bot.store.presets.list(world.ann.id) == ()


async def test_export_and_import_of_the_file(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "Fast", FAST)
    result = await world.ann.slash(world.channel, "preset export", name="fast")
    assert result.ephemeral
    (file,) = answer(result).attachments
    assert file.filename == "preset.json"
    data = await file.read()
    assert any(item.get("file", {}).get("url", "") for item in components(answer(result)))
    assert read(data, catalogue(), LIMITS).values == FAST
    assert "as **Fast**" in await imported(world, file=("any.txt", data))
    assert "too large" in await imported(world, file=("a.json", b" " * (MAX_BYTES + 1)))


async def test_a_file_that_does_not_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(_: discord.Attachment) -> bytes:
        raise aiohttp.ClientConnectionError

    monkeypatch.setattr(discord.Attachment, "read", lost)
    said = await imported(world, file=("a.json", b"{}"))
    assert "couldn’t be downloaded" in said
