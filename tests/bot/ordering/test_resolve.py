from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.exceptions import NoModels
from bot.ordering.layers import BOT, LAYERED, Layers, layers_of, model_values, size_of, values_of
from bot.ordering.resolve import checked, explain, resolve
from bot.settings import Limits
from bot.store import Store, Style
from core.errors import InvalidRequest, UnknownName, VaeMismatch
from core.models.cards import Card
from core.models.catalogue import Catalogue, Model, Vae
from core.options import MAX_SEED, SELDOM
from core.request import GenerationRequest, HiresFix

PLAIN = Model("plain", Path("plain"), "folder", "sd1", "epsilon", "sd1", (512, 512))
ANIME = replace(
    PLAIN,
    name="Anime",
    card=Card(
        size=(512, 768),
        values={
            "clip_skip": 2,
            "steps": 28,
            "cfg_scale": 5,
            "sampler": "DPM++ 2M Karras",
            "negative_prompt": "lowres",
            "vae": "vivid",
        },
    ),
)
VIVID = Vae("vivid", Path("vivid"), "file", "sd1")
XL_VAE = Vae("xl", Path("xl"), "file", "sdxl")
CATALOGUE = Catalogue(models=(PLAIN, ANIME), vaes=(VIVID, XL_VAE))
LIMITS = Limits()


def request(prompt: str = "a cat", **layers: Any) -> GenerationRequest:
    return resolve(prompt, Layers(**layers), CATALOGUE, LIMITS).request


def test_nothing_said_gives_the_bots_values() -> None:
    resolved = resolve("a cat", Layers(), CATALOGUE, LIMITS)
    expected = GenerationRequest("a cat", "plain", resolved.request.seed)
    assert resolved.request == expected
    assert (resolved.model, resolved.vae, resolved.private) == (PLAIN, None, False)
    assert set(resolved.sources) == set(LAYERED)
    assert resolved.sources["steps"] == "bot"
    assert resolved.sources["size"] == "model"


def test_the_bots_values_are_those_of_an_empty_request() -> None:
    empty = values_of(GenerationRequest("", "m", 0)) | {"seed": -1, "private": False}
    assert dict(BOT) == {name: empty[name] for name in BOT}


def test_the_card_speaks_where_nobody_else_does() -> None:
    drawn = request(option={"model": "anime", "seed": 1, "steps": 12})
    assert drawn == GenerationRequest(
        "a cat",
        "Anime",
        1,
        negative_prompt="lowres",
        vae="vivid",
        clip_skip=2,
        steps=12,
        cfg_scale=5.0,
        sampler="DPM++ 2M",
        schedule_type="Karras",
        width=512,
        height=768,
    )


def test_every_layer_goes_before_the_ones_below() -> None:
    order = ("option", "preset", "yours", "channel", "server")
    for first, source in enumerate(order):
        layers: dict[str, dict[str, Any]] = {
            name: {"clip_skip": 3 + place} for place, name in enumerate(order) if place >= first
        }
        layers["option"] = {"model": "Anime"} | layers.get("option", {})
        resolved = resolve("", Layers(**layers), CATALOGUE, LIMITS)
        assert resolved.request.clip_skip == 3 + first
        assert resolved.sources["clip_skip"] == source


def test_none_says_nothing_but_an_empty_text_does() -> None:
    option = {"model": "Anime", "negative_prompt": "", "steps": None}
    drawn = request(option=option, preset={"steps": 9})
    assert (drawn.negative_prompt, drawn.steps) == ("", 9)


def test_the_model_may_come_from_a_preset_and_brings_its_card() -> None:
    resolved = resolve("", Layers(yours={"model": "Anime"}), CATALOGUE, LIMITS)
    assert (resolved.request.clip_skip, resolved.vae) == (2, VIVID)
    assert resolved.sources["model"] == "yours"
    assert resolved.sources["vae"] == "model"


def test_seeds_are_drawn_here() -> None:
    seeds = {request(option={"seed": seed}).seed for seed in (-1, None, -1, None)}
    assert len(seeds) == 4
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert request(option={"seed": 0}).seed == 0


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("clip_skip", 13, InvalidRequest),
        ("size", "7x7", InvalidRequest),
        ("size", "huge", InvalidRequest),
        ("size", "513x512", InvalidRequest),
        ("model", "lost", UnknownName),
        ("vae", "lost", UnknownName),
        ("vae", "xl", VaeMismatch),
        ("sampler", "DPM+++", UnknownName),
        ("steps", 151, InvalidRequest),
        ("seed", 2**32, InvalidRequest),
    ],
)
def test_what_cannot_be(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        request(option={name: value})
    with pytest.raises(error):
        checked({name: value, "model": "plain"} | {name: value}, CATALOGUE, LIMITS)


def test_the_owners_limits_refuse_members_and_cut_recommendations() -> None:
    limits = replace(LIMITS, max_steps=20, max_size=640, max_count=2)
    for option in ({"steps": 21}, {"size": "512x648"}, {"count": 3}):
        for layer in ("option", "preset", "yours"):
            with pytest.raises(InvalidRequest):
                resolve("", Layers(**{layer: option}), CATALOGUE, limits)
    with pytest.raises(InvalidRequest, match="1 to 20"):
        resolve("", Layers(option={"steps": 28}), CATALOGUE, limits)
    anime = resolve("", Layers(option={"model": "Anime"}), CATALOGUE, limits).request
    assert (anime.steps, anime.width, anime.height) == (20, 512, 640)
    server = resolve("", Layers(server={"count": 8}), CATALOGUE, limits).request
    assert server.count == 2


@pytest.mark.parametrize(
    ("native", "text", "size"),
    [
        ((512, 512), "portrait", (416, 624)),
        ((1024, 1024), " Landscape ", (1256, 840)),
        ((128, 128), "square", (128, 128)),
        ((512, 768), "square", (624, 624)),
        ((512, 512), "640 × 448", (640, 448)),
    ],
)
def test_shapes_keep_the_area_of_the_model(
    native: tuple[int, int], text: str, size: tuple[int, int]
) -> None:
    model = replace(PLAIN, size=native)
    assert size_of(text, model) == size
    assert size[0] % 8 == size[1] % 8 == 0


@pytest.mark.parametrize("name", ["automatic", "NONE", "Vivid"])
def test_vae_names_are_spelt_one_way(name: str) -> None:
    assert request(option={"vae": name}).vae in ("Automatic", "None", "vivid")


def test_automatic_is_the_file_beside_the_model() -> None:
    sibling = Vae("beside", Path("beside"), "file", "sd1")
    catalogue = Catalogue(models=(replace(PLAIN, sibling_vae=sibling),))
    assert resolve("", Layers(), catalogue, LIMITS).vae == sibling
    assert resolve("", Layers(option={"vae": "None"}), catalogue, LIMITS).vae is None


def test_a_card_may_name_a_vae_that_is_not_here() -> None:
    catalogue = Catalogue(
        models=(replace(ANIME, card=Card(values={"vae": "lost"})),), vaes=(XL_VAE,)
    )
    assert resolve("", Layers(), catalogue, LIMITS).request.vae == "Automatic"
    catalogue = Catalogue(models=(replace(ANIME, card=Card(values={"vae": "xl"})),), vaes=(XL_VAE,))
    assert resolve("", Layers(), catalogue, LIMITS).request.vae == "Automatic"


def test_your_vae_is_not_forced_on_a_model_you_chose_above_it() -> None:
    yours = {"model": "Anime", "vae": "vivid"}
    xl = replace(PLAIN, name="xl model", family="sdxl", latent_space="sdxl")
    catalogue = Catalogue(models=(PLAIN, ANIME, xl), vaes=(VIVID, XL_VAE))

    def vae(**layers: dict[str, Any]) -> str:
        return resolve("", Layers(**layers), catalogue, LIMITS).request.vae

    assert vae(yours=yours) == "vivid"
    assert vae(yours=yours, option={"model": "xl model"}) == "Automatic"
    assert vae(yours=yours, option={"model": "plain"}) == "vivid"
    with pytest.raises(VaeMismatch):
        vae(yours={"model": "xl model", "vae": "vivid"})
    with pytest.raises(VaeMismatch):
        vae(yours={"model": "xl model"}, option={"vae": "vivid"})
    with pytest.raises(UnknownName):
        vae(yours={"vae": "lost"}, option={"model": "plain"})


def test_a_limit_between_two_sizes_leaves_a_size() -> None:
    limits = replace(LIMITS, max_size=700)
    anime = resolve("", Layers(option={"model": "Anime"}), CATALOGUE, limits).request
    assert (anime.width, anime.height) == (512, 696)


def test_no_models_at_all() -> None:
    with pytest.raises(NoModels):
        resolve("", Layers(), Catalogue(), LIMITS)


PASTED = (
    "masterpiece, 1girl\nNegative prompt: bad hands\nSteps: 30, Sampler: DPM++ 2M, "
    "Schedule type: Karras, CFG scale: 11, Seed: 2881122569, Size: 448x640, "
    "Model: anime, Clip skip: 2, Denoising strength: 0.5, Hires upscale: 2, "
    "Hires upscaler: Latent"
)


def test_a_pasted_picture_text_becomes_its_request() -> None:
    resolved = resolve(PASTED, Layers(), CATALOGUE, LIMITS)
    drawn = resolved.request
    assert (drawn.prompt, drawn.negative_prompt) == ("masterpiece, 1girl", "bad hands")
    assert (drawn.steps, drawn.cfg_scale, drawn.seed) == (30, 11.0, 2881122569)
    assert (drawn.sampler, drawn.schedule_type) == ("DPM++ 2M", "Karras")
    assert (drawn.width, drawn.height, drawn.clip_skip) == (448, 640, 2)
    assert (drawn.model, resolved.sources["model"]) == ("Anime", "pasted")
    assert drawn.hires == HiresFix(2.0, 0, 0.5, "Latent")


def test_options_go_before_the_pasted_text_and_that_before_presets() -> None:
    layers = Layers(option={"seed": 5}, preset={"steps": 4, "count": 2})
    drawn = resolve(PASTED.replace("\n", " "), layers, CATALOGUE, LIMITS).request
    assert (drawn.seed, drawn.steps, drawn.count) == (5, 30, 2)
    assert drawn.prompt == "masterpiece, 1girl"


def test_a_pasted_model_that_is_not_here_is_left_out_and_said() -> None:
    pasted = PASTED.replace("Model: anime", "Model: somewhere-else")
    resolved = resolve(pasted, Layers(), CATALOGUE, LIMITS)
    assert resolved.request.model == "plain"
    assert "unknown_name" in [note.key for note in resolved.notes]


def test_an_ordinary_prompt_is_not_taken_apart() -> None:
    resolved = resolve("a cat, Steps: many", Layers(), CATALOGUE, LIMITS)
    assert (resolved.request.prompt, resolved.notes) == ("a cat, Steps: many", ())


def test_what_a_pasted_text_does_not_say_is_a1111s_and_not_the_layers_below() -> None:
    below = {"eta": 0.5, "noise_source": "NV", "discard_penultimate": True, "ngms": 2.0}
    layers = Layers(preset=below, server={"emphasis": "Ignore"})
    assert request(preset=below).noise_source == "NV"
    drawn = resolve(PASTED, layers, CATALOGUE, LIMITS).request
    assert (drawn.eta, drawn.discard_penultimate, drawn.ngms) == (1.0, False, 0.0)
    assert (drawn.noise_source, drawn.emphasis) == ("GPU", "Original")
    said = PASTED + ", RNG: CPU, Eta: 0.25, Emphasis: No norm"
    drawn = resolve(said, layers, CATALOGUE, LIMITS).request
    assert (drawn.noise_source, drawn.eta, drawn.emphasis) == ("CPU", 0.25, "No norm")


BRACES = "a {red|blue} car\nNegative prompt: {bad|worse} hands\n" + PASTED.splitlines()[-1]


def test_braces_in_a_pasted_text_are_words() -> None:
    for seed in range(20):
        drawn = request(BRACES, option={"seed": seed})
        assert drawn.prompt == "a {red|blue} car"
        assert drawn.negative_prompt == "{bad|worse} hands"


def test_braces_of_a_style_and_of_an_option_around_a_pasted_text_are_choices() -> None:
    style = Style("film", "{day|night}, {prompt}", "{x|y}")
    layers = Layers(option={"negative_prompt": "{p|q}"})
    found = resolve(BRACES, layers, CATALOGUE, LIMITS, style=style).request
    assert found.prompt in ("day, a {red|blue} car", "night, a {red|blue} car")
    assert found.negative_prompt in ("p, x", "p, y", "q, x", "q, y")


def test_a_schedule_type_that_its_sampler_ignores_is_said() -> None:
    for sampler, notes in (("DDIM Karras", 1), ("DDIM", 0), ("UniPC Beta", 1), ("Euler Beta", 0)):
        found = resolve("x", Layers(option={"sampler": sampler}), CATALOGUE, LIMITS).notes
        assert [note.key for note in found] == ["schedule_unused"] * notes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta", -1.0),
        ("eta", 1e9),
        ("sigma_churn", float("inf")),
        ("eta_noise_seed_delta", 2**32),
        ("noise_source", "TPU"),
        ("ngms_all_steps", "yes"),
        ("seed_resize_width", 12),
    ],
)
def test_impossible_values_of_a_layer_are_sentences(name: str, value: Any) -> None:
    with pytest.raises((InvalidRequest, UnknownName)):
        request(yours={name: value})


def test_sigmas_that_cross_are_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match=r"schedule_min_sigma must be 0 to 0\.5, not 1"):
        request(yours={"schedule_min_sigma": 1.0, "schedule_max_sigma": 0.5})


# --- why this value ---------------------------------------------------------------------------


def test_what_is_explained_is_what_is_drawn() -> None:
    layers = Layers(yours={"model": "Anime", "size": "portrait"}, server={"steps": 200})
    explained = explain(layers, CATALOGUE, LIMITS)
    assert explained.error is None
    assert explained.model == ANIME
    assert dict(explained.sources) == {
        "negative_prompt": "model",
        "model": "yours",
        "vae": "model",
        "clip_skip": "model",
        "seed": "bot",
        "steps": "server",
        "cfg_scale": "model",
        "sampler": "model",
        "size": "yours",
        "count": "bot",
        "private": "bot",
    } | dict.fromkeys(SELDOM, "bot")
    values = explained.values
    assert (values["steps"], values["size"], values["seed"]) == (150, "portrait", -1)
    assert (values["sampler"], values["vae"]) == ("DPM++ 2M Karras", "vivid")


def test_what_cannot_be_used_is_explained_as_it_was_said() -> None:
    for yours, error in (
        ({"model": "lost"}, UnknownName),
        ({"vae": "xl"}, VaeMismatch),
        ({"steps": 151}, InvalidRequest),
    ):
        explained = explain(Layers(yours=yours), CATALOGUE, LIMITS)
        assert isinstance(explained.error, error)
        for name, value in yours.items():
            assert (explained.values[name], explained.sources[name]) == (value, "yours")
    for layers in (Layers(), Layers(yours={"model": "lost"})):
        with pytest.raises(NoModels):
            explain(layers, Catalogue(), LIMITS)


# --- what a preset keeps --------------------------------------------------------------------


def test_presets_keep_what_was_given_in_its_proper_spelling() -> None:
    values = {
        "model": "ANIME",
        "vae": "VIVID",
        "sampler": "dpm++ 2m  karras",
        "size": "512 × 640",
        "seed": -1,
        "clip_skip": 2,
        "private": False,
        "steps": None,
        "name": "not an option",
    }
    assert checked(values, CATALOGUE, LIMITS) == {
        "model": "Anime",
        "vae": "vivid",
        "sampler": "DPM++ 2M Karras",
        "size": "512x640",
        "seed": -1,
        "clip_skip": 2,
        "private": False,
    }


def test_a_shape_stays_a_word_in_a_preset() -> None:
    assert checked({"size": " Portrait"}, CATALOGUE, LIMITS) == {"size": "portrait"}


def test_a_presets_vae_need_not_fit_the_default_model() -> None:
    assert checked({"vae": "XL"}, CATALOGUE, LIMITS) == {"vae": "xl"}
    with pytest.raises(VaeMismatch):
        checked({"vae": "xl", "model": "plain"}, CATALOGUE, LIMITS)


def test_a_preset_keeps_choices_undrawn() -> None:
    values = {"negative_prompt": "{bad|worse} hands", "seed": 1}
    assert checked(values, CATALOGUE, LIMITS) == values


def test_a_style_goes_around_a_pasted_prompt_before_its_choices_are_drawn() -> None:
    style = Style("film", "{prompt}, {ink|oil}", "blurry")
    drawn = resolve(PASTED, Layers(), CATALOGUE, LIMITS, style=style).request
    assert drawn.prompt in ("masterpiece, 1girl, ink", "masterpiece, 1girl, oil")
    assert drawn.negative_prompt == "bad hands, blurry"


def test_choices_that_cannot_be_read_are_said() -> None:
    resolved = resolve("{a|b", Layers(), CATALOGUE, LIMITS)
    assert resolved.request.prompt == "{a|b"
    assert [note.key for note in resolved.notes] == ["choices_unclosed"]


def test_nothing_given_keeps_nothing() -> None:
    assert checked({}, CATALOGUE, LIMITS) == {}


def test_a_request_said_in_options_resolves_to_itself() -> None:
    drawn = request(option={"model": "Anime", "seed": 3, "size": "640x448", "sampler": "LMS"})
    assert request(option=values_of(drawn)) == drawn


def test_a_silent_card_recommends_only_the_size() -> None:
    assert {name for name, value in model_values(PLAIN).items() if value is not None} == {"size"}


async def test_layers_of_a_member(store: Store) -> None:
    await store.presets.save(1, "default", {"steps": 5, "clip_skip": 2})
    await store.presets.save(1, "Fast", {"steps": 6})
    layers = await layers_of(store, 1, {"count": 2}, "fast")
    resolved = resolve("", layers, CATALOGUE, LIMITS)
    assert (resolved.request.steps, resolved.sources["steps"]) == (6, "preset")
    assert (resolved.request.clip_skip, resolved.sources["clip_skip"]) == (2, "yours")
    assert (resolved.request.count, resolved.sources["count"]) == (2, "option")
    with pytest.raises(UnknownName):
        await layers_of(store, 1, {}, "lost")
