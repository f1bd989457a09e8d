"""What a member wrote is shown as it was typed: no live link, mention or heading."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markdown import escape_markdown
from tests.simulation import World, answer, text

HOSTILE = "[a](https://evil.example) [b](https://evil.example) <@1> <#2> @everyone ||x|| # y"
NAME = "[a](http://e.x) [b](http://e.x)"

LIVE = {
    "a masked link": r"(?<!\\)\[[^\]]*\]\(",
    "a link": r"https?://",
    "a mention": r"(?<!\\)<[@#:t]",
    "a spoiler": r"(?<!\\)\|\|",
    "a heading": r"(?m)^\s*#{1,3} ",
    "a list": r"(?m)^\s*(?:[-+]|\d+[.)]) ",
}


def live(shown: str) -> list[str]:
    return [name for name, pattern in LIVE.items() if re.search(pattern, shown)]


@pytest.mark.parametrize(
    "typed",
    [
        "[a](https://x.y) [b](https://x.y)",
        "[a](<https://x.y>)",
        "[[a]](https://x.y)",
        "# big",
        "-# small",
        "> quoted",
        ">>> quoted",
        "- one",
        "1. one",
        "12) one",
        "<@123> <@&1> <#1> <:smile:1> <t:1:R> </imagine:1> <https://x.y>",
        "||hidden||",
        "`code` ```block```",
        "\\*not escaped\\*",
        "**bold** __under__ ~~through~~",
    ],
)
def test_nothing_of_it_is_markdown(typed: str) -> None:
    assert live(escape_markdown(typed)) == []


@given(st.text(st.sampled_from("[]()<>*_~|`\\#-+1. :/ah"), max_size=30))
def test_without_the_backslashes_it_is_what_was_typed(typed: str) -> None:
    shown = escape_markdown(typed)
    assert re.sub(r"\\([^0-9A-Za-z\s])", r"\1", shown) == typed
    assert live(shown) == []


def test_a_prompt_stays_readable() -> None:
    typed = "a cat, (masterpiece:1.2), 8k: sharp - not blurry #1"
    assert escape_markdown(typed) == typed


async def test_nowhere_in_the_bot_is_a_link_of_a_members_live(world: World) -> None:
    said: list[str] = []

    async def does(command: str, **options: Any) -> None:
        result = await world.ann.slash(world.channel, command, **options)
        await world.env.settle()
        said.append(text(answer(result)))

    made = await world.ann.slash(world.channel, "imagine", prompt=HOSTILE, negative_prompt=HOSTILE)
    said.append(text(answer(made)))
    await does("preset save", name=NAME, negative_prompt=HOSTILE)
    await does("preset list")
    await does("preset show", name=NAME)
    await does("preset share", name=NAME)
    await does("preset delete", name=NAME)
    await does("preset show", name=NAME)
    await does("settings")
    await does("history")
    await does("imagine", prompt=HOSTILE, model=NAME)
    await does("imagine", prompt="x", preset=NAME)
    await does("imagine", prompt="x", sampler=NAME)
    await does("explore", prompt=HOSTILE, x_axis=NAME, x_values="1,2")
    await does("explore", prompt=HOSTILE, x_axis="Prompt S/R", x_values=f"x,{NAME}")
    world.engine.hold()
    await does("imagine", prompt=HOSTILE)
    await does("queue")
    await does("cancel", job="all")
    for message in [*world.posts(), *world.channel.history(viewer=world.ann)]:
        said.append(text(message))
    list(world.env.errors)
    # What is copied stands in a block of code.
    shown = [re.sub(r"```.*?```", "", each, flags=re.DOTALL) for each in said]
    assert len(shown) > 15
    for each in shown:
        assert not re.search(LIVE["a masked link"], each), each
        assert "https://evil" not in each, each
