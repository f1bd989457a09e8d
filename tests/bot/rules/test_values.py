"""Values of the wrong kind, from every file and row that people write: refused at the door, so that
no request is made that would fail, or take others with it, when it is drawn."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.exceptions import BadPreset, UnreadableSettings
from bot.ordering.layers import LAYERED, Layers
from bot.ordering.resolve import checked, explain, resolve
from bot.rules.policy import Asker, values_below
from bot.rules.policy_json import VERSION, from_json, read, to_json
from bot.rules.server import DEFAULTS, SETTINGS, Server
from bot.settings import Limits
from cogs.preset import preset_json
from core.errors import InvalidRequest, PenultimateError
from core.models.cards import read_card
from core.models.catalogue import Catalogue, Vae
from core.request import GenerationRequest, HiresFix
from tests.simulation import model
from tests.strategies import texts

CATALOGUE = Catalogue(
    models=(model("plain"), model("anime")), vaes=(Vae("vivid", Path("vivid"), "file", "sd1"),)
)
LIMITS = Limits()
REQUEST = GenerationRequest("x", "plain", 7)

WHOLE = ("clip_skip", "seed", "steps", "width", "height", "count", "variation_seed")

ODD = [None, True, 5, -1, 2.5, 8.0, 10**300, math.nan, math.inf, [], {}, ["x"], {"x": 1}]
WORDS = ["", "12", "plain", "ANIME", "Euler", "512x512", "vivid", "portrait", "\ud800", "x" * 4001]

values = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(WORDS),
    st.recursive(
        st.one_of(st.integers(), st.floats(), texts),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=4,
    ),
)
given_options = st.dictionaries(st.sampled_from(LAYERED), values, max_size=4)


def sound(request: GenerationRequest) -> None:
    """What an engine takes: whole numbers where it counts, and words that can be sent on."""
    for name in WHOLE:
        assert type(getattr(request, name)) is int
    for name in ("cfg_scale", "variation_strength", "denoising_strength"):
        assert math.isfinite(getattr(request, name))
    for name in ("model", "vae", "sampler", "schedule_type"):
        assert isinstance(getattr(request, name), str)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [4.5, 8.0, True, "8", None, [8], math.nan, math.inf])
def test_a_request_counts_in_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest):
        replace(REQUEST, **{name: value})


@pytest.mark.parametrize("name", ["cfg_scale", "variation_strength", "denoising_strength"])
@pytest.mark.parametrize("value", [True, "0.5", None, math.nan, math.inf, -math.inf])
def test_a_request_measures_in_numbers(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest):
        replace(REQUEST, **{name: value})


@pytest.mark.parametrize(
    "name", ["prompt", "negative_prompt", "model", "vae", "sampler", "schedule_type"]
)
@pytest.mark.parametrize("value", [None, 5, b"x", ["x"]])
def test_a_request_is_said_in_texts(name: str, value: Any) -> None:
    with pytest.raises(PenultimateError):
        replace(REQUEST, **{name: value})


@pytest.mark.parametrize(
    "hires",
    [
        HiresFix(scale=True),
        HiresFix(scale=math.nan),
        HiresFix(steps=1.5),  # type: ignore[arg-type]
        HiresFix(upscaler=["x"]),  # type: ignore[arg-type]
        {"scale": 2.0},
        5,
    ],
)
def test_a_hires_fix_too(hires: Any) -> None:
    with pytest.raises(PenultimateError):
        replace(REQUEST, hires=hires)


def test_what_a_newer_version_knows_of_a_request_is_ignored() -> None:
    kept = replace(REQUEST, hires=HiresFix()).to_dict()
    kept["hires"]["sharpness"] = kept["film"] = 1
    assert GenerationRequest.from_dict(kept) == replace(REQUEST, hires=HiresFix())


@given(st.dictionaries(st.sampled_from(list(REQUEST.to_dict())), values, max_size=4))
def test_a_kept_request_is_sound_or_refused(changes: dict[str, Any]) -> None:
    try:
        request = GenerationRequest.from_dict(REQUEST.to_dict() | changes)
    except PenultimateError:
        return
    sound(request)


# Layers, wherever they come from: an old database row, a preset, a server.


@given(given_options, st.sampled_from(["option", "preset", "yours", "channel", "server"]))
def test_layers_make_a_sound_request_or_an_error(options: dict[str, Any], layer: str) -> None:
    layers = Layers(**{layer: options})
    explain(layers, CATALOGUE, LIMITS)
    with suppress(PenultimateError):
        sound(resolve("a cat", layers, CATALOGUE, LIMITS).request)


@given(texts)
def test_a_pasted_text_makes_a_sound_request_or_an_error(text: str) -> None:
    prompt = f"{text}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: {text}"
    with suppress(PenultimateError):
        sound(resolve(prompt, Layers(), CATALOGUE, LIMITS).request)


@given(st.one_of(given_options, st.dictionaries(texts, values, max_size=3)))
def test_a_presets_file_is_used_as_far_as_it_can_be(options: dict[str, Any]) -> None:
    data = json.dumps({"penultimate_preset": 1, "values": options}).encode()
    try:
        imported = preset_json.read(data, CATALOGUE, LIMITS)
    except BadPreset:
        return
    sound(resolve("x", Layers(preset=imported.values), CATALOGUE, LIMITS).request)
    said = [dict(imported.values), imported.name, [str(error) for _, error in imported.left_out]]
    json.dumps([said, [name for name, _ in imported.left_out]], ensure_ascii=False).encode()


defaults = st.dictionaries(st.sampled_from(DEFAULTS), values, min_size=1, max_size=2)


def import_and_row(data: dict[str, Any]) -> None:
    text = json.dumps({"version": VERSION} | data)
    changes, _ = read(text)
    to_json(replace(Server(), **changes)).encode()
    for values in (changes.get("defaults", {}), *changes.get("channel_defaults", {}).values()):
        with suppress(PenultimateError):
            checked(values, CATALOGUE, LIMITS)
    with suppress(UnreadableSettings):
        server = from_json(text)
        names = ("Automatic", "None", "vivid")
        channel, below = values_below(server, Asker(1, channels=(100,)), CATALOGUE.models, names)
        with suppress(PenultimateError):
            sound(resolve("x", Layers(channel=channel, server=below), CATALOGUE, LIMITS).request)


@given(st.fixed_dictionaries({}, optional={"defaults": defaults, "steps": values}))
def test_a_servers_defaults_are_what_can_be_drawn(data: dict[str, Any]) -> None:
    import_and_row(data | {"channel_defaults": {"100": data.get("defaults", {})}})


@given(st.dictionaries(st.sampled_from(list(SETTINGS)), values, max_size=4))
def test_a_servers_file_of_anything_is_read(data: dict[str, Any]) -> None:
    import_and_row(data)


@pytest.mark.parametrize(
    "text",
    [
        "steps = " + "9" * 5000,
        "steps = " + "[" * 5000,
        "steps = 1e400",
        "steps = nan",
        "cfg_scale = nan",
        "cfg_scale = inf",
        "cfg_scale = true",
        "clip_skip = 2.5",
        "count = 1979-05-27",
        "sampler = 3",
        "vae = 5",
        "size = [512.5, 512]",
        "size = [true, 512]",
        "negative_prompt = 3",
        "prediction_type = []",
    ],
)
def test_a_card_that_is_wrong_is_a_warning(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.toml").write_text(text)
    card, warnings = read_card(tmp_path)
    assert warnings
    assert card == type(card)()
