"""A server's rules on LoRAs and embeddings: however a prompt names one, they hold."""

from __future__ import annotations

import discord
import pytest
from discord import Locale

from bot.errors import sentence
from bot.exceptions import NotAllowed
from bot.rules import policy
from bot.rules.policy import Asker
from bot.rules.server import Server
from bot.settings import Settings
from cogs.config.exchange import imported
from tests.bot.ordering.test_adding import items, offered, refusal, stock
from tests.bot.rules.test_policy import rule
from tests.simulation import World, answer, components, stocked, text

__all__ = ["stock"]


@pytest.mark.parametrize("prompt", ["x <lora:oil:0.5>", "x <LYCO:OIL>", "<lora:Oil:lbw=OUTALL> x"])
async def test_a_lora_that_is_not_used_here(stock: World, prompt: str) -> None:
    await rule(stock, loras=("ink",))
    said = await refusal(stock, prompt=prompt)
    assert sentence(NotAllowed("lora", "oil", ("ink",))) in said
    assert await items(stock, prompt="x <lora:ink:1>")
    # It is not here at all, which a note says.
    assert await items(stock, prompt="x <lora:gone:1>")


async def test_the_option_and_axes_obey(stock: World) -> None:
    await rule(stock, loras=("ink",))
    assert "**oil**" in await refusal(stock, lora="oil")
    assert "**oil**" in await refusal(stock, "explore", x_axis="LoRA", x_values="ink, oil")
    assert list(await offered(stock, "lora")) == ["ink"]


async def test_roles_for_one(stock: World) -> None:
    role = stock.guild.create_role("Painters")
    await rule(stock, lora_roles={"OIL": (role.id,)}, embedding_roles={"easynegative": (role.id,)})
    assert f"<@&{role.id}>" in await refusal(stock, lora="oil")
    assert f"<@&{role.id}>" in await refusal(stock, negative_prompt="EASYNEGATIVE")
    assert "oil" not in await offered(stock, "lora")
    painter = stock.guild.add_member(stock.env.create_user("painter"), roles=[role])
    await painter.slash(stock.channel, "imagine", prompt="x", lora="oil")
    assert stock.engine.seen[-1].request.prompt == "x <lora:oil:1>"


async def test_embeddings(stock: World) -> None:
    await rule(stock, embeddings=("EasyNegative",))
    said = await refusal(stock, prompt="a (cat:1.2)")
    assert sentence(NotAllowed("embedding", "cat", ("EasyNegative",))) in said
    # A name within a word is none, and is not used.
    (item,) = await items(stock, prompt="to concatenate", negative_prompt="easynegative")
    assert [each.name for each in item.addons.embeddings] == ["EasyNegative"]
    # One for other models is only words.
    assert await items(stock, prompt="a vast plain")


async def test_a_resumed_job_uses_what_it_was_accepted_with(stock: World) -> None:
    """Barred since, the embedding named is still used; one within a word never was."""
    await rule(stock, embeddings=("EasyNegative",))
    stock.engine.hold()
    asked = {"prompt": "to concatenate <lora:oil:1>", "negative_prompt": "easynegative"}
    await stock.ann.slash(stock.channel, "imagine", **asked)
    await stock.engine.started(1)
    await rule(stock, embeddings=("cat",), loras=("ink",))
    before = stock.engine.seen[-1].items
    stock.found = stocked()
    await stock.restart()
    await stock.env.settle()
    assert stock.engine.seen[-1].items == before
    assert [each.name for each in before[0].addons.embeddings] == ["EasyNegative"]
    assert [each.name for each in before[0].addons.networks] == ["oil"]


async def test_the_second_pass_obeys(stock: World) -> None:
    await rule(stock, loras=("ink",))
    pasted = (
        "x\nSteps: 9, Sampler: Euler, Seed: 3, Size: 512x512, Denoising strength: 0.4, "
        "Hires upscale: 1.5, Hires upscaler: Latent, Hires prompt: y <lora:oil:1>"
    )
    assert "**oil**" in await refusal(stock, prompt=pasted)


def test_of_thousands_those_that_may_be_used() -> None:
    asker = Asker(1, frozenset({10}))
    names = [f"n{number}" for number in range(10_000)]
    server = Server(lora_roles={f"N{number}": (10 + number % 2,) for number in range(200)})
    allowed = policy.usable(server, asker, "lora", names)
    assert len(allowed) == 9_900
    assert "n1" not in allowed
    assert policy.usable(Server(loras=("N5",)), asker, "lora", names) == ["n5"]
    assert policy.usable(Server(), asker, "lora", names) == names


@pytest.mark.parametrize(
    ("panel", "name", "setting"), [("loras", "oil", "lora"), ("embeddings", "cat", "embedding")]
)
async def test_the_panels(stock: World, panel: str, name: str, setting: str) -> None:
    manages = discord.Permissions(manage_guild=True)
    managers = stock.guild.create_role("Managers", permissions=manages)
    owner = stock.guild.add_member(stock.env.create_user("owner"), roles=[managers])
    result = await owner.slash(stock.channel, f"config {panel}")
    post = answer(result)
    selects = [each for each in components(post) if each["type"] == 3]
    await owner.select(post, [name], custom_id=selects[0]["custom_id"])
    server = stock.bot.store.servers.get(stock.guild.id)
    assert getattr(server, panel) == (name,)
    await owner.select(post, [name], custom_id=selects[1]["custom_id"])
    role = next(each for each in components(post.message) if each["type"] == 6)
    await owner.select(post, [managers], custom_id=role["custom_id"])
    server = stock.bot.store.servers.get(stock.guild.id)
    assert getattr(server, f"{setting}_roles") == {name: (managers.id,)}
    assert f"**{name}**" in text(post.message)


def test_an_imported_file_gets_the_catalogue_spelling() -> None:
    data = b'{"version": 1, "loras": ["INK", "gone"], "embedding_roles": {"easynegative": ["7"]}}'
    locale = Locale.american_english
    changes, remarks = imported(data, None, locale, stocked(), Settings().limits, classifier=False)
    assert changes["loras"] == ("ink", "gone")
    assert changes["embedding_roles"] == {"EasyNegative": (7,)}
    assert not remarks
