"""A1111's own embeddings against ours, at every exit and in every family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.models.loading import CONFIGS
from core.models.weights.clip_tokenizer import clip_tokenizer, read_merges
from core.prompt.parser import Chunk, parse_weights, read
from core.text.conditioning import TextConditioner
from core.text.embeddings import FIRST_ID, Embedding, Embeddings, bundled
from core.text.encoder import Changes
from tests import golden_encoders
from tests.golden_data import HERE, arrays, kept, load

RELATIVE = 1e-5
# Embeddings that stand after the comma at which a chunk is divided.
LEFT_BEHIND = {"comma_emb_moved", "comma_cross_plain", "comma_then_emb_then_word"}
# Encoded there with the words of <lora:…>, which only a negative prompt keeps, and with the AND
# weight 9 of a final "16:9".
WORDS = "lora_syntax"
TRAPS = {WORDS, "colons"}


def rows(path: Path) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = load(path)["prompts"]
    return data


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(golden: Path) -> dict[str, Any]:
    if golden == HERE:
        merges = read_merges(CONFIGS / "tokenizer" / "merges.txt")
        return {
            "tokenizer": clip_tokenizer(merges),
            "tokenizer_2": clip_tokenizer(merges, pad="!"),
            "l": golden_encoders.clip_l(),
            "h": golden_encoders.clip_h(),
            "g": golden_encoders.clip_g(),
        }
    folder = golden / "models"
    return {
        "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        "tokenizer_2": CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        "l": CLIPTextModel.from_pretrained(folder / "tiny_clip_l"),
        "h": CLIPTextModel.from_pretrained(folder / "tiny_clip_h_diffusers23"),
        "g": CLIPTextModelWithProjection.from_pretrained(folder / "tiny_clip_g"),
    }


@pytest.fixture(scope="module")
def sd1(models: dict[str, Any]) -> TextConditioner:
    return TextConditioner(models["tokenizer"], models["l"])


@pytest.fixture(scope="module")
def taken(golden: Path) -> Callable[[Tensor], Tensor]:
    """What of an embedding can be compared: the part of the reference has not every number."""
    return kept if golden == HERE else lambda context: context


def assert_close(ours: Tensor, theirs: Any, what: str) -> None:
    assert tuple(ours.shape) == theirs.shape, what
    error = np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()
    assert error < RELATIVE, what


def test_tokens_and_multipliers(golden: Path, sd1: TextConditioner) -> None:
    (encoder,) = sd1.encoders
    for row in rows(golden / "sd1_prompts.json"):
        for part in row["parts"]:
            for entry in part["schedule"]:
                chunks, _ = encoder.chunks(parse_weights(entry["text"]))
                assert [list(chunk.tokens) for chunk in chunks] == [
                    chunk["tokens"] for chunk in entry["chunks"]
                ], row["name"]
                assert [list(chunk.weights) for chunk in chunks] == [
                    chunk["multipliers"] for chunk in entry["chunks"]
                ], row["name"]


def test_token_counts(golden: Path, sd1: TextConditioner) -> None:
    for row in rows(golden / "sd1_prompts.json"):
        _, count = sd1.encoders[0].chunks(parse_weights(row["prompt"]))
        if len(row["schedule_steps20"]) == 1 and row["name"] not in TRAPS:
            encoded = sd1.encode(read(row["prompt"], 20), 1)
            assert encoded.tokens == count == row["token_count_raw_text"], row["name"]
            assert encoded.chunks == row["chunks_raw_text"], row["name"]


@pytest.mark.parametrize("clip_skip", [1, 2, 12])
def test_sd1(
    golden: Path, sd1: TextConditioner, taken: Callable[[Tensor], Tensor], clip_skip: int
) -> None:
    theirs = arrays(golden / "sd1.npz")
    compared = 0
    for row in rows(golden / "sd1_prompts.json"):
        if row["name"] in TRAPS - {WORDS}:
            continue
        prompt = read(row["prompt"], 20, negative=row["name"] == WORDS)
        encoded = sd1.encode(prompt, clip_skip)
        assert [weight for weight, _ in encoded.parts] == [
            part["weight"] for part in row["and_parts"]
        ]
        for number, (_, entries) in enumerate(encoded.parts):
            for until, context in entries:
                key = f"{row['name']}/skip{clip_skip}/and{number}/until{until}"
                assert_close(taken(context), theirs[key], key)
                compared += 1
    assert compared >= 40


def with_embeddings(golden: Path, models: dict[str, Any]) -> dict[str, TextConditioner]:
    """Both families with all embeddings of the reference, of which each skips some."""
    folder = golden / "wider" / "embeddings"
    files = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    tokenizers = [models["tokenizer"], models["tokenizer_2"]]
    return {
        "sd1": TextConditioner(tokenizers[0], models["l"], embeddings=files),
        "sdxl": TextConditioner(tokenizers, [models["l"], models["g"]], embeddings=files),
    }


def places(chunk: Chunk, embeddings: Embeddings) -> list[list[Any]]:
    """Where in the chunk which embedding begins, as the reference says it."""
    return [
        [place - 1, embedding.name]
        for place, token in enumerate(chunk.tokens)
        for embedding in embeddings.used([token])
        if token == embedding.ids[0]
    ]


def hashes(embeddings: Sequence[Embedding]) -> str:
    """The embeddings as A1111's texts name them."""
    return ", ".join(f"{each.name.replace(',', '')}: {each.hash}" for each in embeddings)


def embedding_cases(golden: Path) -> list[dict[str, Any]]:
    """Those without LoRAs."""
    cases = load(golden / "wider" / "ti.json")["cases"]
    return [case for case in cases if "lora" not in case["name"] + case["family"]]


def test_names_of_embeddings(golden: Path, models: dict[str, Any]) -> None:
    conditioners = with_embeddings(golden, models)
    for case in embedding_cases(golden):
        conditioner = conditioners[case["family"]]
        for text in case["texts"]:
            chunks, count = conditioner.encoders[0].chunks(parse_weights(text["text"]))
            assert count == text["count"]
            for ours, theirs in zip(chunks, text["chunks"], strict=True):
                plain = [0 if token >= FIRST_ID else token for token in ours.tokens]
                assert plain == theirs["tokens"], case["name"]
                assert list(ours.weights) == theirs["multipliers"], case["name"]
                if case["name"] not in LEFT_BEHIND:
                    assert places(ours, conditioner.embeddings) == theirs["fixes"], case["name"]
        encoded = conditioner.encode(read(case["prompt"], case["steps"]), 1)
        said = dict.fromkeys((case["ti_hashes"] or "").split(", "))
        assert hashes(encoded.embeddings) == ", ".join(said), case["name"]


def test_embeddings(
    golden: Path, models: dict[str, Any], taken: Callable[[Tensor], Tensor]
) -> None:
    theirs = arrays(golden / "wider" / "ti.npz")
    conditioners = with_embeddings(golden, models)
    compared = 0
    for case in embedding_cases(golden):
        if case["name"] in LEFT_BEHIND:
            continue
        for clip_skip in case["clip_skips"]:
            prompt = read(case["prompt"], case["steps"])
            encoded = conditioners[case["family"]].encode(prompt, clip_skip)
            for until, context in encoded.parts[0][1]:
                key = f"{case['family']}/{case['name']}/skip{clip_skip}/until{until}"
                if key in theirs:
                    assert_close(taken(context), theirs[key], key)
                    compared += 1
            if f"{key}/pooled" in theirs:
                assert encoded.pooled is not None
                assert_close(encoded.pooled[0], theirs[f"{key}/pooled"], key)
    assert compared >= 20


def test_embeddings_that_come_with_a_network(golden: Path, models: dict[str, Any]) -> None:
    path = golden / "wider" / "lora" / "bundled_ti.safetensors"
    if not path.exists():
        pytest.skip("the part has no networks")
    theirs = arrays(golden / "wider" / "ti.npz")
    conditioner = with_embeddings(golden, models)["sd1"]
    changes = Changes(bundled=bundled(load_file(path), path.stem))
    for name, applied in (("lora_bundle_word", None), ("lora_bundle_active", changes)):
        models["l"].networks = applied
        for clip_skip in (1, 2):
            encoded = conditioner.encode(read("bundledword dog flatword", 20), clip_skip)
            key = f"sd1/{name}/skip{clip_skip}/until20"
            assert_close(encoded.at(0)[0][1], theirs[key], key)
    models["l"].networks = None
    assert hashes(encoded.embeddings) == "bundledword: bundled_ti, flatword: bundled_ti"


def test_vectors_move_with_the_comma_that_they_follow(golden: Path, models: dict[str, Any]) -> None:
    """A1111 moves their places to the next chunk and leaves the vectors behind."""
    conditioner = with_embeddings(golden, models)["sd1"]
    for case in embedding_cases(golden):
        if case["name"] in LEFT_BEHIND:
            chunks, _ = conditioner.encoders[0].chunks(parse_weights(case["prompt"]))
            ours = [places(chunk, conditioner.embeddings) for chunk in chunks]
            assert ours == [[], [[1, "tiny8"]]]


def test_emphasis(golden: Path, models: dict[str, Any], taken: Callable[[Tensor], Tensor]) -> None:
    theirs = arrays(golden / "wider" / "emphasis.npz")
    conditioners = with_embeddings(golden, models)
    compared = set()
    for case in load(golden / "wider" / "emphasis.json"):
        conditioner = conditioners[case["family"]]
        for clip_skip in (1, 2):
            key = f"{case['family']}/{case['mode']}/{case['index']}/skip{clip_skip}"
            if key in theirs:
                prompt = read(case["prompt"], 20, emphasis=case["mode"])
                context = conditioner.encode(prompt, clip_skip).at(0)[0][1]
                assert_close(taken(context), theirs[key], key)
                compared.add(key)
    assert compared == set(theirs)


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_sd2_and_sdxl(
    golden: Path, models: dict[str, Any], taken: Callable[[Tensor], Tensor], clip_skip: int
) -> None:
    sd2 = TextConditioner(models["tokenizer_2"], models["h"])
    sdxl = TextConditioner([models["tokenizer"], models["tokenizer_2"]], [models["l"], models["g"]])
    assert (sd2.family, sdxl.family) == ("sd2", "sdxl")
    theirs = arrays(golden / "sdxl_sd2.npz")
    for row in rows(golden / "sdxl_sd2_prompts.json"):
        key = f"{row['name']}/orig/skip{clip_skip}/and0/until20"
        encoded = sdxl.encode(read(row["prompt"], 20), clip_skip)
        assert_close(taken(encoded.at(0)[0][1]), theirs[f"sdxl/{key}"], key)
        assert encoded.pooled is not None
        assert_close(encoded.pooled[0], theirs[f"sdxl/{key}/pooled"], f"{key}/pooled")
        context = sd2.encode(read(row["prompt"], 20), clip_skip).at(0)[0][1]
        assert_close(taken(context), theirs[f"sd2/{key}"], key)


def test_sdxl_at_12_moves_both_encoders(
    golden: Path, models: dict[str, Any], taken: Callable[[Tensor], Tensor]
) -> None:
    """A1111 can move CLIP-L alone: that half must agree."""
    sdxl = TextConditioner([models["tokenizer"], models["tokenizer_2"]], [models["l"], models["g"]])
    theirs = arrays(golden / "sdxl_sd2.npz")
    for row in rows(golden / "sdxl_sd2_prompts.json"):
        key = f"sdxl/{row['name']}/orig/skip12/clip_l_skip/and0/until20"
        ours = taken(sdxl.encode(read(row["prompt"], 20), 12).at(0)[0][1])
        half = ours.shape[1] // 2
        assert_close(ours[:, :half], theirs[key][:, :half], key)
        assert not np.allclose(ours[:, half:].numpy(), theirs[key][:, half:], atol=1e-3)
