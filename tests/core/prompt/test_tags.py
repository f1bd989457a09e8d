"""Networks in a prompt: what their tags say, what cannot be read, and names of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from core.prompt import Use, networks
from core.prompt.tags import names_embedding, negative_notes
from tests.golden_data import load
from tests.strategies import any_text


def read(text: str) -> tuple[list[Use], list[str]]:
    """The networks and the keys of the notes of a text that is nothing but tags."""
    left, uses, notes = networks(text)
    assert left == ""
    return uses, [note.key for note in notes]


def expected(case: dict[str, Any]) -> list[Use]:
    """A case of the reference as ours: of each kind its words by place and by name."""
    uses = []
    for kind, each in case["parsed"].items():
        for words in each:
            positional, named = words["positional"], words["named"]
            te = named.get("te", (*positional, "1")[1])
            unet = named.get("unet", positional[2] if positional[2:] else te)
            dyn = int(named["dyn"]) if "dyn" in named else None
            uses.append(Use(kind.lower(), positional[0].strip(), float(te), float(unet), dyn))
    return uses


def test_every_tag_is_read_as_a1111_does(golden: Path) -> None:
    """Where one number is wrong it leaves all networks out; it knows no kind in capitals."""
    compared = 0
    for case in load(golden / "wider" / "lora.json")["cases"]:
        stripped, uses, _ = networks(case["prompt"])
        assert stripped == case["stripped"], case["name"]
        if case["activate_error"] is None and "foo" not in case["parsed"]:
            assert uses == expected(case), case["name"]
            compared += 1
    assert compared >= 20


@pytest.mark.parametrize(
    ("tag", "use"),
    [
        ("<lora:ink>", Use("lora", "ink")),
        ("<lora:ink:>", Use("lora", "ink")),
        ("<lora:ink::0.5>", Use("lora", "ink", 1.0, 0.5)),
        ("<lora:ink:0.5>", Use("lora", "ink", 0.5, 0.5)),
        ("<lora:ink:-.5:2:8>", Use("lora", "ink", -0.5, 2.0, 8)),
        ("<lora:ink:te=0>", Use("lora", "ink", 0.0, 0.0)),
        ("<lora:ink:unet=0.3:0.9>", Use("lora", "ink", 0.9, 0.3)),
        ("<lora:ink:0.9:te=0.3>", Use("lora", "ink", 0.3, 0.3)),
        ("<lora:ink: dyn = 4 >", Use("lora", "ink", dyn=4)),
        ("<lora:ink:０．５>", Use("lora", "ink", 0.5, 0.5)),
        ("<lyco:a, b=c:0.8>", Use("lyco", "a, b=c", 0.8, 0.8)),
        ("<LORA: ink :1>", Use("lora", "ink")),
        ("<lora:ink:0.7:lbw=1,0,0.5>", Use("lora", "ink", 0.7, 0.7, blocks="1,0,0.5")),
        ("<lora:ink:0.7:w=MIDD>", Use("lora", "ink", 0.7, 0.7, blocks="MIDD")),
        ("<lora:ink:0.7:OUTALL>", Use("lora", "ink", 0.7, 0.7, blocks="OUTALL")),
        ("<lora:ink:1e30>", Use("lora", "ink", 1e30, 1e30)),
        ("<lora:../../ink:1>", Use("lora", "../../ink")),
    ],
)
def test_what_a_tag_says(tag: str, use: Use) -> None:
    assert read(tag) == ([use], [])


@pytest.mark.parametrize(
    ("tag", "use", "argument"),
    [
        ("<lora:ink:strong>", Use("lora", "ink"), "strong"),
        ("<lora:ink:0.5:te=x>", Use("lora", "ink"), "x"),
        ("<lora:ink:0.5:unet=x>", Use("lora", "ink", 0.5, 0.5), "x"),
        ("<lora:ink:1:1:all>", Use("lora", "ink"), "all"),
        ("<lora:ink:dyn=0>", Use("lora", "ink"), "0"),
        ("<lora:ink:dyn=inf>", Use("lora", "ink"), "inf"),
        ("<lora:ink:dyn=nan>", Use("lora", "ink"), "nan"),
        ("<lora:ink:1:1:8:x>", Use("lora", "ink", dyn=8), "x"),
        ("<lora:ink:1:start=5>", Use("lora", "ink"), "start=5"),
    ],
)
def test_what_cannot_be_read_is_left_out_alone(tag: str, use: Use, argument: str) -> None:
    _, uses, (note,) = networks(f"{tag} cat <lora:b:2>")
    assert uses == [use, Use("lora", "b", 2.0, 2.0)]
    assert note.key == "lora_argument"
    assert dict(note.values) == {"argument": argument, "kind": "lora", "name": "ink"}


def test_other_kinds_and_tags_without_a_name_are_noted() -> None:
    assert read("<hypernet:x:1><lora: :1><lora::2>") == ([], ["lora_left_out"] * 3)
    assert networks("a <lora:ink:0.8>cat<b:x>, 1<2>1 <3")[0] == "a cat, 1<2>1 <3"


def test_the_same_name_twice_counts_twice() -> None:
    uses, notes = read("<lora:ink:0.5><lyco:ink:0.3>")
    assert [(use.kind, use.te) for use in uses] == [("lora", 0.5), ("lyco", 0.3)]
    assert notes == ["lora_twice"]


def test_tags_in_a_negative_prompt_are_noted() -> None:
    (note,) = negative_notes("bad <lora:ink:1> <b:x> 1<2")
    assert str(note) == "<lora:ink> in the negative prompt was read as words"


@given(any_text)
def test_any_text_is_read(text: str) -> None:
    left, uses, _ = networks(f"{text}<lora:{text}:{text}>")
    assert len(left) <= len(text) * 3 + 8
    assert all(use.name for use in uses)


def test_short_names_of_embeddings_would_be_words() -> None:
    assert [names_embedding(name) for name in ("", "a", "of", "cat", "墨")] == [
        False,
        False,
        False,
        True,
        True,
    ]
