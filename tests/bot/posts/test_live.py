"""The post while a job waits and runs: the newest news, not too often, never by a timer."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from discord import ui

from bot.posts.live import SECONDS_BETWEEN_EDITS, EngineState, LiveEvent, LivePost, live_view
from core.events import Progress, Queued, Restarting, Started
from tests.simulation import a_job, view_text


class Channel:
    """What the post is edited into, and a clock."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.files: list[int] = []
        self.now = 100.0
        self.broken = False

    async def edit(self, view: ui.LayoutView, files: list[discord.File] | None) -> None:
        if self.broken:
            response: Any = type("Response", (), {"status": 404, "reason": "Not Found"})()
            raise discord.NotFound(response, "gone")
        self.shown.append(view_text(view))
        self.files.append(len(files or ()))


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def post(channel: Channel) -> LivePost:
    post = LivePost(a_job(), channel.edit, lambda: "ready", lambda: channel.now)
    post.mark_shown(Queued(1, 1, 1, None))
    return post


async def test_the_first_progress_comes_at_once_and_the_next_ones_now_and_then(
    post: LivePost, channel: Channel
) -> None:
    for step in range(1, 21):
        await post.show(Progress(1, step, 20))
        channel.now += 0.5
    # 0 s, 2.5 s, 5 s, 7.5 s.
    assert [line.split()[1] for line in channel.shown] == ["1", "6", "11", "16"]


async def test_being_started_is_no_news_by_itself(post: LivePost, channel: Channel) -> None:
    await post.show(Started(1))
    assert channel.shown == []
    channel.now += SECONDS_BETWEEN_EDITS
    await post.show(Started(1))
    assert len(channel.shown) == 1


async def test_places_in_line_are_told_more_rarely(post: LivePost, channel: Channel) -> None:
    for position in range(9, 0, -1):
        await post.show(Queued(1, position, 9, None))
        channel.now += 2.5
    halfway, last = channel.shown
    assert halfway.startswith("**In the queue: 5 of 9**")
    assert last.startswith("**You’re next**")


async def test_a_restart_is_told_at_once(post: LivePost, channel: Channel) -> None:
    await post.show(Progress(1, 1, 20))
    await post.show(Restarting(1))
    assert "engine is restarting" in channel.shown[-1]


async def test_a_preview_is_sent_along(post: LivePost, channel: Channel) -> None:
    await post.show(Progress(1, 1, 20, b"png"))
    assert channel.files == [1]


async def test_a_post_that_is_gone_is_let_go(post: LivePost, channel: Channel) -> None:
    channel.broken = True
    await post.show(Progress(1, 1, 20))
    channel.broken = False
    await post.show(Restarting(1))
    assert channel.shown == []


@pytest.mark.parametrize(
    ("event", "state", "said"),
    [
        (Queued(1, 1, 1, None), "starting", "starting up"),
        (Queued(1, 3, 7, None), "starting", "In the queue: 3 of 7"),
        (Queued(1, 1, 1, None), "ready", "You’re next"),
        (Queued(1, 3, 7, 40.0), "ready", "<t:"),
        (Queued(1, 3, 7, None), "restarting", "engine is restarting"),
        (Progress(1, 5, 20), "ready", "▰▰▰▱▱▱▱▱▱▱▱▱ 5 / 20"),
    ],
)
def test_what_is_said(event: LiveEvent, state: EngineState, said: str) -> None:
    assert said in view_text(live_view(a_job(prompt="a red circle"), event, state))
    assert "a red circle" in view_text(live_view(a_job(prompt="a red circle"), event, state))


def test_a_post_that_will_soon_stand_still_says_so() -> None:
    said = "will arrive as a new message"
    assert said in view_text(live_view(a_job(), Progress(1, 5, 20), "ready", late=True))
    assert said not in view_text(live_view(a_job(), Progress(1, 5, 20), "ready"))


def test_markdown_in_a_prompt_is_harmless() -> None:
    view = live_view(a_job(prompt="# **big**\n> [x](http://x)"), Started(1), "ready")
    assert "\n-# \\# \\*\\*big" in view_text(view)
