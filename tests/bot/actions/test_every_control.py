"""Everything that can be pressed, sent or reacted with: who may, and what happens when it is gone.

A control that is registered and has no line here fails. Each line's press is sent as somebody
would send it who makes up a ``custom_id`` of his own, from a public post.
"""

from __future__ import annotations

from typing import Any, Final

import discord
import pytest
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.components import walk_components
from simcord.enums import ComponentType, InteractionType
from simcord.results import InteractionResult

from bot.posts.controls import PATTERN, STANDING
from bot.rules.server import Server
from cogs import reactions
from cogs.config.actions import Actions
from cogs.models import SECTIONS
from tests.simulation import World, answer, text

# Who may: anybody who can see the post (what comes of it is theirs); its author, and whoever may
# manage messages there.
ANYBODY, AUTHOR = "anybody", "author or manager"

# What only those who may manage the server can press and send.
CONFIG: Final = [
    action
    for method in vars(Actions).values()
    for _, action, _ in getattr(method, "__actions__", ())
]

# Under ``p:<action>:<job>``: who may, the number at the end, and what is picked in a select.
CONTROLS: Final[dict[str, tuple[str, int | None, str | None]]] = {
    "clip": (ANYBODY, 2, None),
    "seed": (ANYBODY, None, None),
    "vae": (ANYBODY, None, "vivid"),
    "edit": (ANYBODY, None, None),
    "open": (ANYBODY, 0, None),
    "more": (ANYBODY, None, None),
    "which": (ANYBODY, None, "0"),
    "again": (ANYBODY, None, None),
    "preset": (ANYBODY, None, None),
    "parameters": (ANYBODY, None, None),
    "read": (ANYBODY, None, "0"),
    "take_seed": (ANYBODY, None, None),
    "free_seed": (ANYBODY, None, None),
    "keep": (ANYBODY, None, None),
    "cell_x": (ANYBODY, None, "0"),
    "cell_y": (ANYBODY, None, "0"),
    "explore": (ANYBODY, None, None),
    "compare": (ANYBODY, None, None),
    "vae_ab": (ANYBODY, None, "vivid"),
    "upscale": (ANYBODY, None, None),
    "upscale_twice": (ANYBODY, None, None),
    "enlarge": (ANYBODY, None, None),
    "enlarge_two": (ANYBODY, None, "Lanczos"),
    "enlarge_three": (ANYBODY, None, "Lanczos"),
    "enlarge_four": (ANYBODY, None, "Lanczos"),
    "vary_subtly": (ANYBODY, None, None),
    "vary_strongly": (ANYBODY, None, None),
    "start": (ANYBODY, None, None),
    "dm": (ANYBODY, None, None),
    "cancel": (AUTHOR, None, None),
    "delete": (AUTHOR, None, None),
    "delete_now": (AUTHOR, None, None),
    "remove": (AUTHOR, None, None),
}
# Those that make a job of a plain picture at once; the others ask, show, or tell what is missing.
DRAWS: Final = {"clip", "seed", "vae", "open", "again", "explore", "vae_ab"}
DRAWS_MORE: Final = {"upscale", "upscale_twice", "vary_subtly", "vary_strongly"} | {
    "enlarge_two",
    "enlarge_three",
    "enlarge_four",
}
# Forms under the same pattern, and what is typed into them: anybody may send them.
FORMS: Final[dict[str, dict[str, str]]] = {
    "edit": {
        "prompt": "y",
        "negative_prompt": "",
        "clip_skip": "2",
        "seed": "",
        "settings": "20, 7, 512x512",
    },
    "preset": {"name": "mine"},
    "vae": {"name": "vivid"},
    "vae_ab": {"name": "vivid"},
    "start": {
        "prompt": "y",
        "negative_prompt": "",
        "denoising_strength": "0.5",
        "clip_skip": "1",
        "seed": "",
    },
}

# Under ``s:<action>[:<number>]``. The member whose number it is; whoever presses, about what is
# theirs; a server's managers; the bot's owner (these two are in test_permissions.py).
NAMED, OWN, MANAGER, OWNER = "the one it names", "about one's own", "manager", "bot's owner"
STANDING_CONTROLS: Final[dict[str, str]] = {
    "set_model": NAMED,
    "set_vae": NAMED,
    "set_clip_skip": NAMED,
    "set_sampler": NAMED,
    "set_noise_source": NAMED,
    "set_size": NAMED,
    "set_count": NAMED,
    "set_private": NAMED,
    "set_public": NAMED,
    "find_model": NAMED,
    "find_vae": NAMED,
    "find_sampler": NAMED,
    "find_size": NAMED,
    "numbers": NAMED,
    "numbers_typed": NAMED,
    "reset": NAMED,
    "help": OWN,
    "history": OWN,
    "show": OWN,
    "import": OWN,
    "unshare": OWN,
    "start": OWN,
    "start_from": OWN,
    "enlarge_from": OWN,
    "models_search": OWN,
    "models_find": OWN,
    "enlarge_two": OWN,
    "enlarge_three": OWN,
    "enlarge_four": OWN,
    "take_back": OWN,
    "typed_again": OWN,
    "forget_me": OWN,
    "keep_me": OWN,
    "admin_status": OWNER,
    "admin_drain": OWNER,
    **dict.fromkeys(CONFIG, MANAGER),
}
# What a press says whose number is of nothing that there is (any more).
NOTHING_THERE: Final = {
    "help": "button or menu no longer works",
    "history": "Nothing here yet",
    "show": "no image called",
    "import": "no longer shared",
    "unshare": "no longer shared",
    "start": "has expired",
    "start_from": "",
    "enlarge_from": "",
    "enlarge_two": "button or menu no longer works",
    "enlarge_three": "button or menu no longer works",
    "enlarge_four": "button or menu no longer works",
    "models_search": "",
    "models_find": "",
    "take_back": "no job called",
    "typed_again": "",
    "keep_me": "Nothing was deleted",
}

REACTIONS: Final = {"🎲": ANYBODY, "⬆": ANYBODY, "⬇": ANYBODY, "✉": ANYBODY, "❌": AUTHOR}

GONE: Final = "data no longer exists"
UNKNOWN: Final = "button or menu no longer works"
INCIDENT: Final = "Something went wrong"


def made_up(world: World, post: Any, custom_id: str, value: str | None = None) -> None:
    """Put another ``custom_id`` into a control of a post; ``value`` makes it a select."""
    stored = world.env.backend.get_message(world.channel.id, post.id)
    kind = ComponentType.BUTTON if value is None else ComponentType.STRING_SELECT
    control = next(item for item in walk_components(stored.components) if item["type"] == kind)
    control |= {"custom_id": custom_id, "disabled": False}
    if value is not None:
        control["options"] = [{"label": value, "value": value}]


async def press(
    world: World, who: MemberActor, post: Any, custom_id: str, value: str | None = None
) -> InteractionResult:
    """Press, or pick in, a control that the bot never put there."""
    made_up(world, post, custom_id, value)
    if value is None:
        return await who.click(post, custom_id=custom_id)
    return await who.select(post, [value], custom_id=custom_id)


async def submit(
    world: World,
    who: MemberActor,
    custom_id: str,
    typed: dict[str, str] | None = None,
    where: ChannelHandle | None = None,
) -> InteractionResult:
    """Send a form that was never opened."""
    fields = [
        {"type": 18, "component": {"type": 4, "custom_id": name, "value": value}}
        for name, value in (typed or {}).items()
    ]
    data = {"custom_id": custom_id, "components": fields}
    channel = where or world.channel
    return await who._dispatch_interaction(InteractionType.MODAL_SUBMIT, channel, data)


def said(result: InteractionResult) -> str:
    """What came of a press, in words; a form that opens is none."""
    assert result.response is not None or result.modal is not None or result.acknowledged
    return text(answer(result)) if result.response is not None else ""


def custom_id(action: str, job_id: int) -> str:
    argument = CONTROLS[action][1] if action in CONTROLS else None
    return f"p:{action}:{job_id}" + ("" if argument is None else f":{argument}")


@pytest.fixture
async def post(world: World) -> Any:
    """A public picture of Ann's, job 1."""
    return answer(await world.ann.slash(world.channel, "imagine", prompt="a red circle"))


# Nothing can be pressed that is not in the tables.


async def test_every_control_and_form_of_a_job_has_a_line(world: World) -> None:
    assert set(world.bot.actions.controls) == set(CONTROLS)
    assert set(world.bot.actions.forms) == set(FORMS)


async def test_everything_that_belongs_to_no_job_has_a_line(world: World) -> None:
    pages = {f"models:{section}" for section in SECTIONS}
    assert set(world.bot.actions.standing) == set(STANDING_CONTROLS) | pages
    own = {name for name, who in STANDING_CONTROLS.items() if who == OWN}
    assert own == {*NOTHING_THERE, "forget_me"}


async def test_discord_py_knows_no_other_pattern(world: World) -> None:
    # There is no public way to ask for them.
    known = {pattern.pattern for pattern in world.bot._connection._view_store._dynamic_items}
    assert known == {PATTERN.pattern, STANDING.pattern}


def test_every_reaction_has_a_line() -> None:
    assert set(reactions.ACTIONS) == set(REACTIONS)


# A job's controls.


@pytest.mark.parametrize("action", CONTROLS)
async def test_of_a_job_that_is_gone_nothing_comes(world: World, post: Any, action: str) -> None:
    result = await press(world, world.bob, post, custom_id(action, 999), CONTROLS[action][2])
    assert answer(result).ephemeral
    assert GONE in said(result)
    assert len(world.engine.seen) == 1


@pytest.mark.parametrize("action", FORMS)
async def test_a_form_of_a_job_that_is_gone(world: World, post: Any, action: str) -> None:
    result = await submit(world, world.bob, f"p:{action}:999", FORMS[action])
    assert answer(result).ephemeral
    assert GONE in said(result)
    assert len(world.engine.seen) == 1


@pytest.mark.parametrize("action", CONTROLS)
async def test_nobody_else_reaches_a_private_job(world: World, post: Any, action: str) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="secret", private=True)
    result = await press(world, world.bob, post, custom_id(action, 2), CONTROLS[action][2])
    assert GONE in said(result)
    assert "secret" not in said(result)
    assert len(world.engine.seen) == 2
    assert (await world.job(2)).state == "delivered"


@pytest.mark.parametrize("action", FORMS)
async def test_nobody_elses_form_reaches_a_private_job(
    world: World, post: Any, action: str
) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="secret", private=True)
    result = await submit(world, world.bob, f"p:{action}:2", FORMS[action])
    assert GONE in said(result)
    assert "secret" not in said(result)
    assert len(world.engine.seen) == 2


@pytest.mark.parametrize("action", [name for name, line in CONTROLS.items() if line[0] == ANYBODY])
async def test_anybody_may_and_what_comes_of_it_is_theirs(
    world: World, post: Any, action: str
) -> None:
    # From another post, which has no control of that name.
    other = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    result = await press(world, world.bob, other, custom_id(action, 1), CONTROLS[action][2])
    assert INCIDENT not in said(result)
    assert "Only the person who made this" not in said(result)
    assert (await world.job(1)).user_id == world.ann.id
    new = await world.bot.store.jobs.get(3)
    assert (new is not None) == (action in DRAWS | DRAWS_MORE)
    assert new is None or (new.user_id, new.parent_id) == (world.bob.id, 1)


@pytest.mark.parametrize("action", FORMS)
async def test_anybody_may_send_a_form(world: World, post: Any, action: str) -> None:
    result = await submit(world, world.bob, f"p:{action}:1", FORMS[action])
    assert INCIDENT not in said(result)
    new = await world.bot.store.jobs.get(2)
    assert (new is None) == (action == "preset")
    assert new is None or (new.user_id, new.parent_id) == (world.bob.id, 1)
    assert await world.bot.store.presets.list(world.ann.id) == ()


@pytest.mark.parametrize("action", [name for name, line in CONTROLS.items() if line[0] == AUTHOR])
async def test_only_its_author_and_managers_take_away(world: World, post: Any, action: str) -> None:
    refused = await press(world, world.bob, post, custom_id(action, 1))
    assert answer(refused).ephemeral
    assert "Only the person who" in said(refused)
    assert (await world.job(1)).state == "delivered"
    for who in (world.moderator(), world.ann):
        made = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
        number = len(world.engine.seen)
        allowed = await press(world, who, made, custom_id(action, number))
        assert "Only the person who" not in said(allowed)
        there = await world.bot.store.jobs.get(number)
        assert (there is None) == (action == "delete_now")


# What belongs to no job.


@pytest.mark.parametrize(
    "action", [name for name, who in STANDING_CONTROLS.items() if who == NAMED]
)
async def test_a_panel_obeys_the_one_it_names(world: World, post: Any, action: str) -> None:
    name = f"s:{action}:{world.ann.id}"
    typed = {"typed": "anime", "steps": "9", "cfg_scale": "9"}
    for result in (
        await press(world, world.bob, post, name),
        await press(world, world.bob, post, name, "2"),
        await submit(world, world.bob, name, typed),
        await press(world, world.bob, post, f"s:{action}"),
    ):
        assert answer(result).ephemeral
        assert "Only the person who made this can change it" in said(result)
    for member in (world.ann, world.bob):
        assert await world.bot.store.presets.list(member.id) == ()


@pytest.mark.parametrize("action", NOTHING_THERE)
async def test_a_number_of_nothing_is_answered(world: World, post: Any, action: str) -> None:
    result = await press(world, world.bob, post, f"s:{action}:999")
    assert INCIDENT not in said(result)
    assert NOTHING_THERE[action] in said(result)
    assert (await world.job(1)).state == "delivered"
    assert len(world.engine.seen) == 1


async def test_what_deletes_everything_deletes_ones_own(world: World, post: Any) -> None:
    bobs = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    # As if the panel that asks had been seen by somebody else.
    await press(world, world.bob, bobs, f"s:forget_me:{world.ann.id}")
    assert await world.bot.store.jobs.get(2) is None
    assert (await world.job(1)).user_id == world.ann.id


# What no version of the bot, or another one, put there.


@pytest.mark.parametrize("action", STANDING_CONTROLS)
async def test_a_number_too_large_for_the_database_is_of_nothing(
    world: World, post: Any, action: str
) -> None:
    pressed = await press(world, world.bob, post, f"s:{action}:{'9' * 20}")
    assert UNKNOWN in said(pressed)
    assert UNKNOWN in said(await submit(world, world.bob, f"s:{action}:{'9' * 20}"))


@pytest.mark.parametrize("custom_id", ["s:nope", "s:nope:1", "p:nope:1", "p:nope:1:2"])
async def test_a_control_of_a_newer_version(world: World, post: Any, custom_id: str) -> None:
    assert UNKNOWN in said(await press(world, world.bob, post, custom_id))
    assert UNKNOWN in said(await submit(world, world.bob, custom_id))


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("config_forget:99", None),
        *((f"config_{name}", "x") for name in ("roles", "channels", "log", "quota_role")),
        ("config_roles", "9" * 5000),
        ("config_channels", "²"),
    ],
)
async def test_a_setting_is_not_changed_by_what_the_bot_never_offered(
    world: World, post: Any, control: str, value: str | None
) -> None:
    settings = Server(roles=(111,), channels=(222,), log_channel=333)
    await world.bot.store.servers.update(world.guild.id, lambda _: settings)
    manages = world.guild.create_role(
        "Managers", permissions=discord.Permissions(manage_guild=True)
    )
    owner = world.guild.add_member(world.env.create_user("owner"), roles=[manages])
    assert UNKNOWN in said(await press(world, owner, post, f"s:{control}", value))
    assert world.bot.store.servers.get(world.guild.id) == settings


@pytest.mark.parametrize("section", ["nope", "page"])
async def test_a_list_of_a_newer_version(world: World, post: Any, section: str) -> None:
    assert UNKNOWN in said(await press(world, world.bob, post, f"models:{section}:3"))


@pytest.mark.parametrize("action", [name for name, line in CONTROLS.items() if line[2]])
async def test_a_select_that_is_pressed_or_has_other_values(
    world: World, post: Any, action: str
) -> None:
    await world.ann.slash(
        world.channel, "explore", prompt="x", x_axis="seed", x_values="1,2", y_axis="steps"
    )
    for job_id in (1, 2):
        for value in (None, "9999", "-1", "x", "²", "9" * 30):
            other = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
            pressed = said(await press(world, world.bob, other, f"p:{action}:{job_id}", value))
            assert INCIDENT not in pressed
            if value is None and job_id == (2 if action.startswith("cell") else 1):
                assert UNKNOWN in pressed


@pytest.mark.parametrize("position", [0, 9999])
async def test_a_cell_that_there_is_not(world: World, post: Any, position: int) -> None:
    await world.ann.slash(world.channel, "explore", prompt="x", x_axis="seed", x_values="1,2")
    pressed = await press(world, world.bob, post, f"p:open:2:{position}")
    assert "image file no longer exists" in said(pressed)


@pytest.mark.parametrize("action", FORMS)
async def test_a_form_that_lacks_a_field(world: World, post: Any, action: str) -> None:
    for missing in FORMS[action]:
        typed = {name: value for name, value in FORMS[action].items() if name != missing}
        assert INCIDENT not in said(await submit(world, world.bob, f"p:{action}:1", typed))
    empty = said(await submit(world, world.bob, f"p:{action}:1"))
    assert INCIDENT not in empty
    assert ("has expired" in empty) == (action in ("edit", "start"))


async def test_a_page_past_the_end_is_the_last(world: World, post: Any) -> None:
    result = await press(world, world.bob, post, "models:models:999999")
    assert "plain" in text(world.posts()[0])
    assert result.acknowledged


# Reactions.


@pytest.mark.parametrize("emoji", REACTIONS)
async def test_a_reaction_to_a_job_that_is_gone_means_nothing(
    world: World, post: Any, emoji: str
) -> None:
    await world.bot.store.jobs.delete(1)
    await world.bob.react(post, emoji)
    assert len(world.engine.seen) == 1
    assert len(world.posts()) == 1
    assert not world.bob.user.dm_channel.history()


@pytest.mark.parametrize("emoji", ["🎲", "❌"])
async def test_taking_a_reaction_back_means_nothing(world: World, post: Any, emoji: str) -> None:
    await world.bob.react(post, emoji)
    seen, posts = len(world.engine.seen), len(world.posts())
    await world.bob.unreact(post, emoji)
    assert (len(world.engine.seen), len(world.posts())) == (seen, posts)


async def test_the_bots_own_reaction_means_nothing(world: World, post: Any) -> None:
    message = await world.bot.get_channel(world.channel.id).fetch_message(post.id)  # type: ignore[union-attr]
    assert isinstance(message, discord.Message)
    await message.add_reaction("🎲")
    await world.env.settle()
    assert len(world.engine.seen) == 1
