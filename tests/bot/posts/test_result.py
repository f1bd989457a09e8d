"""The result post's words: what is named, what is left out, what is bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.ordering.choices import vae_names
from bot.ordering.layers import BOT
from bot.posts.result import Post, alt_text, result_view, usual_values
from core.models.catalogue import Catalogue
from core.notes import Note
from tests.simulation import a_job, catalogue, model, vae, view_components, view_text

USUAL = dict(BOT) | {"model": "plain", "size": "512x512"}


def said(**values: Any) -> str:
    """The text of a post with these values in its request."""
    return view_text(result_view(Post(a_job(**values), ("1-1.png",), usual=USUAL)))


def test_seed_and_clip_skip_are_always_there_and_nothing_else_by_itself() -> None:
    assert said(prompt="a cat", seed=7) == "a cat\n-# **clip skip 1** · seed 7 · <@10>"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 33}, "steps 33"),
        ({"cfg_scale": 5.5}, "CFG scale 5.5"),
        ({"width": 768}, "size 768×512"),
        ({"sampler": "DPM++ 2M", "schedule_type": "Karras"}, "sampler DPM++ 2M Karras"),
        ({"vae": "vivid"}, "VAE vivid"),
        ({"model": "anime"}, "model anime"),
        ({"negative_prompt": "red"}, "negative prompt red"),
    ],
)
def test_what_differs_is_named(values: dict[str, Any], words: str) -> None:
    assert words in said(**values)


def test_notes_and_remarks_stand_below() -> None:
    job = replace(a_job(), notes=(Note.of("unclosed_bracket", bracket="("),))
    view = result_view(Post(job, ("1-1.png",), usual=USUAL, remarks=("As WebP.",)))
    assert view_text(view).splitlines()[-2:] == [
        "-# A “(” isn’t closed, so it applies up to the end of the prompt.",
        "-# As WebP.",
    ]


def test_a_note_of_another_version_is_left_out() -> None:
    notes = (Note("unreadable_value", (("name", "Steps"), ("allowed", "1 to 150"))),)
    known = (Note.of("not_used", names="Eta, RNG"),)
    text = view_text(result_view(Post(replace(a_job(), notes=notes + known), (), usual=USUAL)))
    assert "Steps" not in text
    assert text.endswith("-# Ignored parameters: Eta, RNG.")


def test_a_mention_stands_first() -> None:
    view = result_view(Post(a_job(), ("1-1.png",), usual=USUAL, mention=True))
    assert view_text(view).startswith("<@10>")


def test_alt_text_is_the_prompt_bounded() -> None:
    assert len(alt_text(a_job(prompt="word " * 700))) == 1024
    assert alt_text(a_job(prompt="  ")) == "—"


def test_the_cards_values_are_usual() -> None:
    found = catalogue()
    usual = usual_values(found, found.model("anime"))
    assert usual["negative_prompt"] == "lowres"
    assert usual["clip_skip"] == 2
    assert usual["model"] == "plain"
    assert usual_values(found, None)["steps"] == 20


def test_vaes_that_fit_are_offered() -> None:
    sibling = model("with", sibling_vae=vae("with.vae"))
    found = Catalogue(models=(model("plain"), sibling), vaes=(vae("a"), vae("b", "sdxl")))
    assert vae_names(found, found.model("plain")) == ("Automatic", "a")
    assert vae_names(found, sibling) == ("Automatic", "None", "a")
    assert vae_names(Catalogue(models=(model("plain"),)), model("plain")) == ()
    assert vae_names(found, None) == ()


def test_the_select_shows_the_present_value() -> None:
    view = result_view(Post(a_job(clip_skip=5), ("1-1.png",), usual=USUAL))
    select = next(item for item in view_components(view) if item["type"] == 3)
    assert [option["value"] for option in select["options"] if option["default"]] == ["5"]
