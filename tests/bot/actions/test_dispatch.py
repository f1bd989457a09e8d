"""From a ``custom_id`` to the method marked with its action."""

from __future__ import annotations

from typing import Any

import pytest

from bot.actions.dispatch import control, form, standing
from bot.answers import Interaction
from bot.store import Job
from bot.translate import t
from tests.bot.actions.test_every_control import press, submit
from tests.simulation import World, answer, text


class Part:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @control("made_up", made_up_twice=2)
    async def _control(self, *asked: Any) -> None:
        *first, interaction, job, number = asked
        await self._note(interaction, "control", *first, job.id, number)

    @form("made_up")
    async def _form(self, interaction: Interaction, job: Job, number: int | None) -> None:
        await self._note(interaction, "form", job.id, number)

    @standing("made_up")
    async def _standing(self, interaction: Interaction, number: int | None) -> None:
        await self._note(interaction, "standing", number)

    async def _note(self, interaction: Interaction, *asked: Any) -> None:
        self.asked.append(asked)
        await interaction.response.send_message("done", ephemeral=True)


@pytest.fixture
async def post(world: World) -> Any:
    return answer(await world.ann.slash(world.channel, "imagine", prompt="x"))


async def test_a_marked_method_is_found(world: World, post: Any) -> None:
    part = Part()
    world.bot.actions.add(part)
    await press(world, world.ann, post, "p:made_up:1:7")
    await press(world, world.ann, post, "p:made_up_twice:1")
    await submit(world, world.ann, "p:made_up:1")
    await press(world, world.ann, post, "s:made_up:12")
    assert part.asked == [
        ("control", 1, 7),
        ("control", 2, 1, None),
        ("form", 1, None),
        ("standing", 12),
    ]


@pytest.mark.parametrize("custom_id", ["p:made_up:1", "s:made_up", "models:nope:1"])
async def test_an_unknown_action_is_harmless(world: World, post: Any, custom_id: str) -> None:
    for result in (
        await press(world, world.bob, post, custom_id),
        await submit(world, world.bob, custom_id),
    ):
        assert answer(result).ephemeral
        assert text(answer(result)) == t("error.gone.control")
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


async def test_a_custom_id_of_nobody_is_nobodys_business(world: World) -> None:
    # Another program's form in the same channel, say.
    result = await submit(world, world.bob, "somebody:elses")
    assert not result.acknowledged
    assert result.response is None


async def test_no_two_parts_take_one_action(world: World) -> None:
    world.bot.actions.add(Part())
    with pytest.raises(AssertionError, match="made_up"):
        world.bot.actions.add(Part())
