"""Every maker under a post and behind "More…", when what it needs is gone or not allowed.

One matrix: what a member reads, and that nothing else happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from core.models.catalogue import Catalogue
from tests.bot.actions.test_knobs import EDIT
from tests.bot.actions.test_more import START
from tests.simulation import World, answer, buttons, components, model, text, vae


async def file_gone(world: World) -> None:
    for picture in await world.bot.store.pictures.of_job(1):
        picture.path.unlink()


async def model_gone(world: World) -> None:
    world.bot.catalogue.update(Catalogue(models=(model("another"),), vaes=world.bot.catalogue.vaes))


async def job_gone(world: World) -> None:
    await world.bot.store.jobs.delete(1)


async def message_gone(world: World) -> None:
    await world.last.delete()


async def banned(world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, banned=(world.bob.id,))
    )


async def over_quota(world: World) -> None:
    # A tenth of a picture, as it is counted, fits into none of it.
    await world.bot.store.servers.update(world.guild.id, lambda server: replace(server, quota=1))
    await world.bob.slash(world.channel, "imagine", prompt="x", steps=20)


State = Callable[[World], Awaitable[None]]
FILE = "image file no longer exists"
MODEL = "no model called **plain**"
JOB = "data no longer exists"
BANNED = "banned from generating images"
QUOTA = "1 images for today"

# What draws from the request alone needs no file; what is there needs nothing to draw with.
STATES: dict[str, tuple[State, dict[str, str | None]]] = {
    "file": (file_gone, {"start": FILE, "dm": FILE, "": None}),
    "model": (model_gone, {"dm": None, "": MODEL}),
    "job": (job_gone, {"": JOB}),
    "message": (message_gone, {"": None}),
    "banned": (banned, {"dm": None, "": BANNED}),
    "quota": (over_quota, {"dm": None, "": QUOTA}),
}
# Where each stands, by its action.
POST = ("clip:1:2", "seed:1", "edit:1")
MORE = ("explore", "compare", "upscale", "upscale_twice", "vary_subtly", "vary_strongly", "start")
CONTROLS = (*POST, *(f"{action}:1" for action in (*MORE, "dm")))
# What stood under the message went with it.
CASES = [
    (control, state)
    for control in CONTROLS
    for state in STATES
    if control not in POST or state != "message"
]
FORMS: dict[str, dict[str, str]] = {"edit": EDIT, "start": START}


def drawn(world: World) -> int:
    return len(world.engine.seen)


@pytest.mark.parametrize(("control", "state"), CASES)
async def test_what_is_gone_is_one_sentence_and_nothing_else(
    world: World, state: str, control: str
) -> None:
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=(vae("vivid"),)))
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7))
    panel = answer(await world.bob.click(post, label="More…"))
    make, outcomes = STATES[state]
    await make(world)
    action = control.partition(":")[0]
    expected = outcomes.get(action, outcomes[""])
    before, messages = drawn(world), len(world.posts())
    shown = post if control in POST else panel
    result = await world.bob.click(shown, custom_id=f"p:{control}")
    if result.modal is not None:
        assert expected in (None, QUOTA), "a form that leads nowhere"
        result = await world.bob.submit_modal(result, FORMS[action])
    await world.env.settle()
    if expected is None:
        assert drawn(world) == before + (action != "dm")
        assert len(world.posts()) == messages + (action != "dm")
        return
    said = answer(result)
    assert said.ephemeral
    assert expected in text(said)
    assert not components(said) or list(buttons(said)) == ["Try again"]
    assert result.followups == []
    assert drawn(world) == before
    assert len(world.posts()) == messages
    assert [job.state for job in await world.bot.store.jobs.of_user(world.bob.id)] in (
        [],
        ["delivered"],
    )
    assert world.bob.user.dm_channel.history() == []


@pytest.mark.parametrize("state", ["file", "model", "job", "banned", "quota"])
@pytest.mark.parametrize("emoji", ["🎲", "⬆️", "✉️"])
async def test_a_reaction_is_told_the_same_in_a_direct_message(
    world: World, state: str, emoji: str
) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7))
    make, outcomes = STATES[state]
    await make(world)
    before, messages = drawn(world), len(world.posts())
    await world.bob.react(post, emoji)
    await world.env.settle()
    expected = outcomes.get("dm" if emoji == "✉️" else "", outcomes[""])
    told = world.bob.user.dm_channel.history()
    if state == "job":
        # Without its record nothing tells whose post it was, or that it was one of ours.
        assert told == []
    elif expected is None:
        assert drawn(world) == before + (emoji != "✉️")
        assert len(told) == (emoji == "✉️")
        return
    else:
        assert [expected in text(message) for message in told] == [True]
    assert drawn(world) == before
    assert len(world.posts()) == messages


@pytest.mark.parametrize("state", ["model", "banned"])
@pytest.mark.parametrize("name", ["Use as start image", "Vary"])
async def test_a_menu_says_the_same(world: World, state: str, name: str) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7)
    make, outcomes = STATES[state]
    message = world.last
    await make(world)
    result = await world.bob.context_menu(world.channel, name, message)
    assert result.modal is None
    assert answer(result).ephemeral
    assert str(outcomes[""]) in text(answer(result))
    assert drawn(world) == 1
    assert world.env.errors
