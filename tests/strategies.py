"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from core.hires import UPSCALERS
from core.options import (
    MAX_SEED,
    OPTIONS,
    RANGES,
    SAMPLERS,
    SCHEDULE_TYPES,
    SELDOM,
    Option,
)
from core.request import GenerationRequest, HiresFix, Inputs, crossed

# Every character there is, half characters (surrogates) and controls among them.
any_text = st.text(st.characters(exclude_categories=()), max_size=60)

# Texts that speak the infotext's own language.
tricky_text = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Negative prompt:",
                "\nNegative prompt: y",
                "Steps: 3, Sampler: x, Seed: 1",
                "\nSteps: 3, Sampler: x, Seed: 1\n",
                'Exact prompt: "x"',
                "(a cat:1.2)",
                "BREAK",
                "512x512",
                '"',
                "\\",
                ",",
                ":",
                "\n",
                "\r\n",
                "\t",
                "\0",
                "\x85",
                "\u2028",
                " ",
                "\u3000",
                "日本",
                "é",
            ]
        ),
        any_text,
    ),
    max_size=6,
).map("".join)

texts = st.one_of(any_text, tricky_text)

names = st.one_of(
    st.sampled_from(
        ["model", "v1-5, pruned: a", '"quoted"', "512x768", " spaced ", "a\nb", "None"]
    ),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=20),
)


def _inside(name: str) -> st.SearchStrategy[float]:
    return st.floats(RANGES[name].low, RANGES[name].high)


seeds = st.integers(0, MAX_SEED)

hires = st.builds(
    HiresFix,
    scale=_inside("hires_scale"),
    steps=st.integers(0, 150),
    denoising_strength=_inside("hires_denoising_strength"),
    upscaler=st.sampled_from(UPSCALERS),
    prompt=texts,
    negative_prompt=texts,
    sampler=st.sampled_from(("", *SAMPLERS)),
    schedule_type=st.sampled_from(("", *SCHEDULE_TYPES)),
    cfg_scale=st.one_of(st.just(0.0), _inside("hires_cfg_scale")),
)


def _any_value(option: Option) -> st.SearchStrategy[Any]:
    if option.choices:
        return st.sampled_from(option.choices)
    if option.range is None:
        return st.booleans()
    if option.range.whole:
        step = option.range.multiple
        low, high = int(option.range.low), int(option.range.high)
        return st.integers(low // step, high // step).map(lambda number: number * step)
    return _inside(option.name)


seldom = st.fixed_dictionaries(
    {}, optional={name: _any_value(OPTIONS[name]) for name in SELDOM}
).filter(
    lambda made: not crossed(made.get("schedule_min_sigma", 0), made.get("schedule_max_sigma", 0))
)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    """Any valid request for one picture."""
    # Small enough for the hires pass to stay within the largest size.
    sides = st.integers(8, 64).map(lambda eighths: eighths * 8)
    others = {name: st.just(value) for name, value in draw(seldom).items()}
    return draw(
        st.builds(
            GenerationRequest,
            prompt=texts,
            negative_prompt=texts,
            model=names,
            seed=seeds,
            vae=st.sampled_from(["Automatic", "None"]),
            clip_skip=st.integers(1, 12),
            steps=st.integers(1, 150),
            cfg_scale=_inside("cfg_scale"),
            sampler=st.sampled_from(SAMPLERS),
            schedule_type=st.sampled_from(SCHEDULE_TYPES),
            width=sides,
            height=sides,
            variation_seed=seeds,
            variation_strength=st.one_of(st.just(0.0), _inside("variation_strength")),
            inputs=st.sampled_from([Inputs(), Inputs(b"an image")]),
            denoising_strength=_inside("denoising_strength"),
            hires=st.one_of(st.none(), hires),
            **others,
        )
    )
