"""Prompts encoded by small random encoders, against transformers' own passes and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from core.errors import InvalidRequest, Refused
from core.models.weights.clip_tokenizer import clip_tokenizer
from core.prompt.parser import Chunk, parse_weights, read
from core.text.conditioning import Conditioning, TextConditioner
from core.text.encoder import Cache
from tests.strategies import any_text

START, END = 512, 513


def text_model(
    layers: int, act: str, seed: int, kind: type[Any] = CLIPTextModel, **options: Any
) -> Any:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=16,
        intermediate_size=32,
        projection_dim=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        hidden_act=act,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        **options,
    )
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def clip_l() -> Any:
    return text_model(12, "quick_gelu", 0)


@pytest.fixture(scope="module")
def clip_g() -> Any:
    return text_model(14, "gelu", 1, CLIPTextModelWithProjection)


@pytest.fixture(scope="module")
def sd1(clip_l: Any) -> TextConditioner:
    """Every printable character is one token."""
    return TextConditioner(clip_tokenizer(()), clip_l)


@pytest.fixture(scope="module")
def sdxl(clip_l: Any, clip_g: Any) -> TextConditioner:
    return TextConditioner([clip_tokenizer(())] * 2, [clip_l, clip_g])


def context(encoded: Conditioning, call: int = 0, part: int = 0) -> Tensor:
    return encoded.at(call)[part][1]


def pooled(encoded: Conditioning) -> Tensor:
    assert encoded.pooled is not None
    return encoded.pooled


def own_pass(model: Any, chunks: Sequence[Chunk]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([chunk.tokens for chunk in chunks]), output_hidden_states=True)


def test_every_exit_is_transformers_own(sd1: TextConditioner, clip_l: Any) -> None:
    chunks, _ = sd1.encoders[0].chunks(parse_weights("a cat"))
    states = own_pass(clip_l, chunks).hidden_states
    every = sd1.encode_all_exits(read("a cat", 20))
    assert list(every) == list(range(1, 13))
    for clip_skip, encoded in every.items():
        expected = clip_l.final_layer_norm(states[-clip_skip])[0]
        assert torch.equal(context(encoded), expected)


def test_stopping_early_is_bit_identical(clip_l: Any) -> None:
    prompt = "a (red:1.3) cat, [dog:fox:0.5] BREAK [b] AND c:0.5"
    every = TextConditioner(clip_tokenizer(()), clip_l).encode_all_exits(read(prompt, 20))
    for clip_skip, whole in every.items():
        alone = TextConditioner(clip_tokenizer(()), clip_l).encode(read(prompt, 20), clip_skip)
        assert alone.notes == whole.notes
        for (weight, entries), (expected_weight, expected) in zip(
            alone.parts, whole.parts, strict=True
        ):
            assert weight == expected_weight
            for (until, ours), (expected_until, theirs) in zip(entries, expected, strict=True):
                assert until == expected_until
                assert torch.equal(ours, theirs)


def count_layers(model: Any) -> tuple[list[int], Any]:
    ran: list[int] = []
    layers = getattr(model, "text_model", model).encoder.layers
    handles = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(layers)
    ]

    def release() -> None:
        for handle in handles:
            handle.remove()

    return ran, release


def test_no_layer_runs_that_is_not_needed(clip_l: Any, clip_g: Any) -> None:
    ran, release = count_layers(clip_l)
    sd1 = TextConditioner(clip_tokenizer(()), clip_l)
    sd1.encode(read("a cat", 20), 12)
    assert ran == [0]
    sd1.encode_all_exits(read("a cat", 20))
    sd1.encode(read("a cat", 20), 12)
    # One more pass for the exits not known yet, and none for what is in the cache.
    assert ran == [0, *range(12)]
    release()
    ran, release = count_layers(clip_g)
    sdxl = TextConditioner([clip_tokenizer(())] * 2, [clip_l, clip_g])
    sdxl.encode(read("a" * 76, 20), 12)
    # The first chunk runs to the end for the pooled vector, the second stops at its exit.
    assert ran == [*range(14), *range(3)]
    release()


def test_emphasis_keeps_the_mean(sd1: TextConditioner, clip_l: Any) -> None:
    chunks, _ = sd1.encoders[0].chunks(parse_weights("a cat"))
    plain = clip_l.final_layer_norm(own_pass(clip_l, chunks).hidden_states[-2])[0]
    weights = np.ones((77, 1), np.float32)
    weights[2:5] = 1.5
    weighted = plain.detach().numpy() * weights
    expected = weighted * (plain.detach().numpy().mean() / weighted.mean())
    ours = context(sd1.encode(read("a (cat:1.5)", 20), 2)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_emphasis_without_norm_only_multiplies(sd1: TextConditioner) -> None:
    plain = context(sd1.encode(read("a cat", 20), 2))
    weights = torch.ones(77, 1)
    weights[2:5] = 1.5
    ours = context(sd1.encode(read("a (cat:1.5)", 20, emphasis="No norm"), 2))
    assert torch.equal(ours, plain * weights)


def test_emphasis_can_be_ignored_or_unknown(sd1: TextConditioner) -> None:
    prompt = "a (cat:1.5) BREAK [dog:fox:0.5]"
    ignored = sd1.encode(read(prompt, 20, emphasis="Ignore"), 2)
    assert torch.equal(
        context(ignored), context(sd1.encode(read("a cat BREAK [dog:fox:0.5]", 20), 2))
    )
    # All but the schedule is words: a backslash before each sign says the same.
    words = sd1.encode(read(prompt, 20, emphasis="None"), 2)
    escaped = sd1.encode(read(r"a \(cat:1.5\) break [dog:fox:0.5]", 20), 2)
    assert words.chunks == 1
    assert torch.equal(context(words), context(escaped))
    assert read("((cat", 20, emphasis="None").notes == ()


def test_and_parts_are_as_long_as_the_longest(sd1: TextConditioner) -> None:
    """A1111 repeats the last vector; the entries of one part are filled up by empty chunks."""
    encoded = sd1.encode(read(f"{'a' * 160} AND b AND [c:{'d' * 80}:10]", 20), 1)
    assert {context(encoded, part=part).shape for part in range(3)} == {(231, 16)}
    short, scheduled = context(encoded, part=1), context(encoded, part=2)
    alone = context(sd1.encode(read(" b", 20), 1))
    assert torch.equal(short[:77], alone)
    assert torch.equal(short[77:], alone[-1:].expand(154, -1))
    assert torch.equal(scheduled[77:154], context(sd1.encode(read("", 20), 1)))
    assert torch.equal(scheduled[154:], scheduled[153:154].expand(77, -1))
    assert encoded.chunks == 3


def test_the_mean_spans_the_schedule_entries(sd1: TextConditioner, clip_l: Any) -> None:
    """Two calls of "a", one of "(b)": the mean counts "a" twice, and "a" is scaled too."""
    encoded = sd1.encode(read("[a|(b:2)]", 3), 1)
    states = [
        clip_l.final_layer_norm(
            own_pass(clip_l, sd1.encoders[0].chunks(parse_weights(text))[0]).hidden_states[-1]
        )[0]
        .detach()
        .numpy()
        for text in ("a", "b", "a")
    ]
    weighted = [state.copy() for state in states]
    weighted[1][1] *= 2
    scale = np.mean(states) / np.mean(weighted)
    assert [until for until, _ in encoded.parts[0][1]] == [1, 2, 3]
    for (_, ours), expected in zip(encoded.parts[0][1], weighted, strict=True):
        np.testing.assert_allclose(ours.numpy(), expected * scale, rtol=1e-4, atol=1e-5)
    assert encoded.parts[0][1][0][1] is not encoded.parts[0][1][1][1]


def test_weights_of_minus_one_are_no_break(sd1: TextConditioner) -> None:
    chunks, count = sd1.encoders[0].chunks(parse_weights("a (b:-1) c BREAK d"))
    assert len(chunks) == 2
    assert chunks[0].weights[1:4] == (1.0, -1.0, 1.0)
    assert count == 76


def test_shorter_texts_of_a_schedule_are_filled_up(sd1: TextConditioner) -> None:
    encoded = sd1.encode(read(f"[{'a' * 80}:b:10]", 20), 1)
    (_, long), (_, short) = encoded.parts[0][1]
    assert long.shape == short.shape == (154, 16)
    assert torch.equal(short[77:], context(sd1.encode(read("", 20), 1)))
    assert (encoded.tokens, encoded.chunks) == (80, 2)


def test_a_call_finds_its_text(sd1: TextConditioner) -> None:
    encoded = sd1.encode(read("[a:b:2] AND c:0.5", 4), 1)
    a, b, c = (context(sd1.encode(read(text, 4), 1)) for text in ("a", "b", " c"))
    expected = [a, a, a, b, b]
    for call, first in enumerate(expected):
        rows = encoded.at(call)
        assert [weight for weight, _, _ in rows] == [1.0, 0.5]
        assert torch.equal(rows[0][1], first)
        assert torch.equal(rows[1][1], c)
    # Past the end, as after the last step.
    assert torch.equal(context(encoded, 99), b)


def test_a_negative_prompt_knows_no_and(sd1: TextConditioner) -> None:
    assert len(sd1.encode(read("a AND b", 20), 1).parts) == 2
    assert len(sd1.encode(read("a AND b", 20, negative=True), 1).parts) == 1


def test_sdxl_moves_both_encoders_from_3_on(
    sdxl: TextConditioner, clip_l: Any, clip_g: Any
) -> None:
    (left,), _ = sdxl.encoders[0].chunks(parse_weights("a cat"))
    (right,), _ = sdxl.encoders[1].chunks(parse_weights("a cat"))
    assert left.tokens[:6] == right.tokens[:6]
    assert left.tokens[6:] == (END,) * 71
    assert right.tokens[6:] == (0,) * 71
    first = own_pass(clip_l, [left])
    second = own_pass(clip_g, [right])
    every = sdxl.encode_all_exits(read("a cat", 20))
    for clip_skip, encoded in every.items():
        exit_ = max(clip_skip, 2)
        expected = torch.cat(
            [first.hidden_states[-exit_][0], second.hidden_states[-exit_][0]], dim=1
        )
        assert torch.equal(context(encoded), expected)
        torch.testing.assert_close(pooled(encoded), second.text_embeds)
        assert torch.equal(pooled(encoded), pooled(every[1]))


def test_pooled_is_never_weighted_and_of_the_first_chunk(sdxl: TextConditioner) -> None:
    plain = pooled(sdxl.encode(read("a cat", 20), 2))
    assert torch.equal(plain, pooled(sdxl.encode(read("a (cat:1.5)", 20), 2)))
    assert torch.equal(plain, pooled(sdxl.encode(read("a cat BREAK dog", 20), 2)))
    assert not torch.equal(plain, pooled(sdxl.encode(read("a dog", 20), 2)))


def test_pooled_follows_parts_and_schedules(sdxl: TextConditioner) -> None:
    encoded = sdxl.encode(read("[a:b:2] AND c", 4), 2)
    assert pooled(encoded).shape == (3, 8)
    for call, texts in ((0, ("a", " c")), (3, ("b", " c"))):
        for (_, _, vector), text in zip(encoded.at(call), texts, strict=True):
            assert vector is not None
            assert torch.equal(vector, pooled(sdxl.encode(read(text, 4), 2))[0])


def test_only_an_empty_negative_of_sdxl_is_zeros(
    sdxl: TextConditioner, sd1: TextConditioner
) -> None:
    for text in ("", " \n", "[|]"):
        empty = sdxl.encode(read(text, 20, negative=True), 1)
        assert context(empty).shape == (77, 32)
        assert not context(empty).any()
        assert not pooled(empty).any()
    assert context(sdxl.encode(read("", 20), 1)).any()
    assert context(sdxl.encode(read("[:x:0.5]", 20, negative=True), 1)).any()
    assert context(sd1.encode(read("", 20, negative=True), 1)).any()


@pytest.mark.parametrize(("layers", "exit_"), [(23, 1), (24, 2)])
def test_sd2_is_always_at_the_penultimate(layers: int, exit_: int) -> None:
    model = text_model(layers, "gelu", 2)
    sd2 = TextConditioner(clip_tokenizer((), "!"), model)
    assert sd2.family == "sd2"
    states = own_pass(model, sd2.encoders[0].chunks(parse_weights("a cat"))[0]).hidden_states
    expected = model.final_layer_norm(states[-exit_])[0]
    for clip_skip, encoded in sd2.encode_all_exits(read("a cat", 20)).items():
        assert torch.equal(context(encoded), expected)
        assert [note.key for note in encoded.notes] == ["clip_skip_no_effect"] * (clip_skip > 1)


def test_the_family_can_be_said(clip_l: Any) -> None:
    sd2 = TextConditioner([clip_tokenizer(())], [clip_l], family="sd2")
    assert sd2.encoders[0].chunks(parse_weights("a"))[0][0].tokens == (START, 320, END, *[0] * 74)


@pytest.mark.parametrize("clip_skip", [0, -1, 13])
def test_no_layer_for_that_clip_skip(
    sd1: TextConditioner, sdxl: TextConditioner, clip_skip: int
) -> None:
    for conditioner in (sd1, sdxl):
        with pytest.raises(InvalidRequest, match="1 to 12"):
            conditioner.encode(read("a cat", 20), clip_skip)


def test_what_is_not_clip_is_refused() -> None:
    tiny = T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1, vocab_size=8)
    with pytest.raises(Refused, match="T5EncoderModel"):
        TextConditioner(clip_tokenizer(()), T5EncoderModel(tiny))


def test_notes_of_prompt_length_and_clip_skip(sdxl: TextConditioner) -> None:
    keys = [note.key for note in sdxl.encode(read("a" * 76 + "(", 20), 3).notes]
    assert keys == ["unclosed_bracket", "long_prompt", "clip_skip_sdxl"]
    (note,) = sdxl.encode(read("a" * 76, 20, negative=True), 3).notes
    assert str(note) == "the negative prompt is 76 tokens, 2 chunks of 75"
    assert sdxl.encode(read("a" * 75, 20), 1).notes == ()


def test_hires_steps_reach_the_schedule(sd1: TextConditioner) -> None:
    encoded = sd1.encode(read("[a:b:1.5]", 20, hires_steps=10), 1)
    assert [until for until, _ in encoded.parts[0][1]] == [5, 10]


def test_html_and_broken_letters_become_what_was_meant(sd1: TextConditioner) -> None:
    (encoder,) = sd1.encoders
    expected = encoder.tokenize(["a & b", "it's", "fi"])
    assert encoder.tokenize(["a &amp; b", "it’s", "ﬁ"]) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_precision_and_attention_of_the_encoder_are_kept(
    sd1: TextConditioner, dtype: torch.dtype, attention: Literal["sdpa", "eager"]
) -> None:
    model = text_model(12, "quick_gelu", 0, attn_implementation=attention).to(dtype)
    half = context(TextConditioner(clip_tokenizer(()), model).encode(read("a (cat:1.3)", 20), 2))
    assert half.dtype == dtype
    whole = context(sd1.encode(read("a (cat:1.3)", 20), 2))
    assert (half.float() - whole).abs().max() < 0.05 * whole.abs().max()


@pytest.mark.parametrize("weight", ["0", "-5", "9" * 30, "-" + "9" * 40])
def test_absurd_weights_stay_numbers(sd1: TextConditioner, weight: str) -> None:
    encoded = sd1.encode(read(f"(a cat{'b' * 100}:{weight})", 20), 1)
    assert context(encoded).isfinite().all()


def test_the_cache_lets_go_of_the_least_recently_used() -> None:
    cache = Cache(3 * 4 * 10)
    for name in ("a", "b", "c"):
        cache.put((name,), torch.zeros(10))
    assert cache.get(("a",)) is not None
    cache.put(("d",), torch.zeros(10))
    assert (cache.size, len(cache)) == (120, 3)
    assert cache.get(("b",)) is None
    cache.put(("d",), torch.zeros(5))
    assert cache.size == 100
    cache.put(("huge",), torch.zeros(100))
    assert (cache.size, len(cache)) == (0, 0)


def test_encoding_needs_no_cache(sd1: TextConditioner, clip_l: Any) -> None:
    small = TextConditioner(clip_tokenizer(()), clip_l, cache_bytes=0)
    prompt = "a (cat:1.2) BREAK " + "b" * 200
    assert torch.equal(
        context(small.encode(read(prompt, 20), 2)), context(sd1.encode(read(prompt, 20), 2))
    )
    assert small.cache.size == 0


def test_a_full_cache_stays_in_its_bounds(clip_l: Any) -> None:
    limit = 20 * 77 * 16 * 4
    bounded = TextConditioner(clip_tokenizer(()), clip_l, cache_bytes=limit)
    for number in range(10):
        bounded.encode_all_exits(read(f"cat {number}", 20))
        assert bounded.cache.size <= limit
    assert len(bounded.cache) == 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_text)
def test_any_text_is_encoded(sdxl: TextConditioner, text: str) -> None:
    encoded = sdxl.encode(read(text, 4), 12)
    for call in range(5):
        for weight, each, vector in encoded.at(call):
            assert isinstance(weight, float)
            assert each.shape[0] % 77 == 0
            assert each.shape[1] == 32
            assert each.isfinite().all()
            assert vector is not None


@pytest.mark.parametrize("text", ["(" * 100_000, "\0" * 100_000, "🦊" * 2000, "\ud800א (b:1.2)"])
def test_hostile_texts_are_encoded(sd1: TextConditioner, text: str) -> None:
    assert context(sd1.encode(read(text, 20), 12)).isfinite().all()
