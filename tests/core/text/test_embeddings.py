"""Embeddings: files good and bad, names in prompts, and what is kept of them."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from core.errors import Refused
from core.models.weights.clip_tokenizer import clip_tokenizer
from core.prompt.parser import parse_weights, read
from core.text.conditioning import Conditioning, TextConditioner
from core.text.embeddings import FIRST_ID, MAX_VECTORS, bundled
from core.text.encoder import Changes
from tests.core.text.test_conditioning import text_model

WIDTH = 16


@pytest.fixture(scope="module")
def clip_l() -> Any:
    return text_model(12, "quick_gelu", 0)


def vectors(count: int, width: int = WIDTH, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Writes files of one tensor, or several, and returns them by name."""

    def write(**tensors: Tensor | dict[str, Tensor]) -> dict[str, Path]:
        files = {}
        for name, each in tensors.items():
            files[name] = tmp_path / f"{name}.safetensors"
            save_file(each if isinstance(each, dict) else {"emb_params": each}, files[name])
        return files

    return write


def conditioner(model: Any, files: dict[str, Path]) -> TextConditioner:
    return TextConditioner(clip_tokenizer(()), model, embeddings=files)


def context(encoded: Conditioning) -> Tensor:
    return encoded.at(0)[0][1]


def test_a_path_may_be_a_string(clip_l: Any, write: Callable[..., dict[str, Path]]) -> None:
    files = {name: str(path) for name, path in write(ink=vectors(2)).items()}
    conditioner = TextConditioner(clip_tokenizer(()), clip_l, embeddings=files)
    encoded = conditioner.encode(read("ink", 20), 1)
    assert [each.name for each in encoded.embeddings] == ["ink"]


def test_its_vectors_are_what_the_encoder_sees(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    """As if the vocabulary had words of these vectors."""
    own = vectors(2)
    files = write(ink=own)
    encoded = conditioner(clip_l, files).encode(read("a (ink:1.5) b", 20, emphasis="Ignore"), 1)
    plain = conditioner(clip_l, {})
    chunks, _ = plain.encoders[0].chunks(parse_weights("a xy b"))
    table = clip_l.embeddings.token_embedding.weight
    x, y = chunks[0].tokens[2:4]
    before = table.data.clone()
    try:
        table.data[x], table.data[y] = own
        expected = context(plain.encode(read("a xy b", 20), 1))
    finally:
        table.data.copy_(before)
    torch.testing.assert_close(context(encoded), expected)
    (used,) = encoded.embeddings
    digest = hashlib.sha256(files["ink"].read_bytes()).hexdigest()
    assert (used.name, used.hash, len(used.ids)) == ("ink", digest[:12], 2)
    assert encoded.notes == ()


def test_the_longest_name_wins_in_any_case(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    files = write(ink=vectors(1), **{"ink-neg": vectors(2, seed=1), "Wild": vectors(3, seed=2)})
    own = conditioner(clip_l, files)
    for text, names in (
        ("INK-neg, wild", ["ink-neg", "Wild"]),
        ("ink- neg", ["ink-neg"]),
        ("ink(-neg)", ["ink"]),
        ("dirtyink", ["ink"]),
        ("inks", []),
        ("ink ink", ["ink"]),
        ("i nk", []),
    ):
        assert [each.name for each in own.encode(read(text, 20), 1).embeddings] == names, text


def test_a_schedule_and_and_parts_name_each_once(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    own = conditioner(clip_l, write(ink=vectors(1), oil=vectors(2)))
    encoded = own.encode(read("[ink:oil:0.5] AND oil", 20), 1)
    assert [each.name for each in encoded.embeddings] == ["ink", "oil"]
    assert own.encode(read("cat", 20), 1).embeddings == ()


def test_more_vectors_than_a_chunk_has_places_go_on_in_the_next(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    own = conditioner(clip_l, write(long=vectors(100)))
    chunks, count = own.encoders[0].chunks(parse_weights("a long b"))
    first = [sum(token >= FIRST_ID for token in each.tokens) for each in chunks]
    assert (first, count) == ([0, 75, 25], 176)
    assert context(own.encode(read("a long b", 20), 1)).isfinite().all()


def test_a_pair_is_sdxl_s(clip_l: Any, write: Callable[..., dict[str, Path]]) -> None:
    clip_g = text_model(14, "gelu", 1, CLIPTextModelWithProjection)
    left, right = vectors(2, seed=1), vectors(2, seed=2)
    files = write(pair={"clip_g": right, "clip_l": left}, one=vectors(2))
    sdxl = TextConditioner([clip_tokenizer(())] * 2, [clip_l, clip_g], embeddings=files)
    for place, expected in enumerate((left, right)):
        chunks, _ = sdxl.encoders[place].chunks(parse_weights("pair"))
        found = [sdxl.embeddings.vector(token, place) for token in chunks[0].tokens[1:3]]
        assert torch.equal(torch.stack(found), expected)
    encoded = sdxl.encode(read("a pair", 20), 1)
    assert [each.name for each in encoded.embeddings] == ["pair"]
    assert encoded.pooled is not None
    assert any(token >= FIRST_ID for token in chunks[0].tokens)
    (note,) = sdxl.encode(read("one", 20), 1).notes
    assert str(note) == "the embedding one is for other models, so its name was read as words"
    (note,) = conditioner(clip_l, files).encode(read("pair and pair", 20), 1).notes
    assert dict(note.values) == {"name": "pair"}


def test_a_name_that_does_not_fit_leaves_room_for_a_shorter_one(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    own = conditioner(clip_l, write(ink=vectors(1), **{"ink-well": vectors(1, WIDTH * 2)}))
    encoded = own.encode(read("ink-well", 20), 1)
    assert [each.name for each in encoded.embeddings] == ["ink"]
    assert [note.key for note in encoded.notes] == ["embedding_left_out"]


def test_a_name_of_one_letter_stays_a_word(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    encoded = conditioner(clip_l, write(a=vectors(1))).encode(read("a cat", 20), 1)
    assert torch.equal(
        context(encoded), context(conditioner(clip_l, {}).encode(read("a cat", 20), 1))
    )
    assert encoded.embeddings == ()


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a": vectors(1), "b": vectors(1)}, "unreadable"),
        ({"clip_l": vectors(2), "clip_g": vectors(3)}, "unreadable"),
        ({"emb_params": vectors(1)[None]}, "unreadable"),
        ({"emb_params": torch.tensor(1.0)}, "unreadable"),
        ({"emb_params": vectors(0)}, "unreadable"),
        ({"emb_params": torch.ones(2, WIDTH, dtype=torch.int64)}, "unreadable"),
        ({"emb_params": vectors(MAX_VECTORS + 1)}, "too_large"),
        ({"emb_params": vectors(1) * float("nan")}, "not_finite"),
        ({"emb_params": vectors(1) / 0}, "not_finite"),
        ({"emb_params": vectors(1) * 1e30}, "not_finite"),
    ],
)
def test_what_is_no_embedding_is_refused_when_named(
    clip_l: Any,
    write: Callable[..., dict[str, Path]],
    tensors: dict[str, Tensor],
    reason: str,
) -> None:
    own = conditioner(clip_l, write(broken=tensors))
    own.encode(read("a cat", 20), 1)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            own.encode(read("a broken cat", 20), 1)
        assert (refused.value.name, refused.value.reason) == ("broken", reason)


def damaged(path: Path, kind: str) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1, 16], "data_offsets": [0, 64]}}).encode()
    path.write_bytes(
        {
            "pickle": b"\x80\x04\x95" + bytes(100),
            "truncated": struct.pack("<Q", len(header)) + header + bytes(10),
            "empty": b"",
            "page": b"<!doctype html>",
        }[kind]
    )


@pytest.mark.parametrize("kind", ["pickle", "truncated", "empty", "page", "missing"])
def test_a_file_that_cannot_be_read_is_refused_when_named(
    clip_l: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "broken.safetensors"
    if kind != "missing":
        damaged(path, kind)
    with pytest.raises(Refused) as refused:
        conditioner(clip_l, {"broken": path}).encode(read("broken", 20), 1)
    assert refused.value.reason == "unreadable"


def test_a_huge_file_is_not_read(clip_l: Any, tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**31)
    with pytest.raises(Refused) as refused:
        conditioner(clip_l, {"huge": path}).encode(read("huge", 20), 1)
    assert (refused.value.reason, refused.value.detail) == ("too_large", "2048 MB")


def test_what_is_kept_knows_the_embeddings(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    own = conditioner(clip_l, write(ink=vectors(1)))
    first = context(own.encode(read("ink", 20), 1))
    assert torch.equal(first, context(own.encode(read("ink", 20), 1)))
    files = write(ink=vectors(2, seed=1))
    os.utime(files["ink"], ns=(1, 1))
    replaced = context(own.encode(read("ink", 20), 1))
    assert not torch.equal(first, replaced)
    own.use_embeddings({})
    word = context(own.encode(read("ink", 20), 1))
    assert torch.equal(word, context(conditioner(clip_l, {}).encode(read("ink", 20), 1)))
    # Another embedding of as many vectors, then the first again.
    own.use_embeddings(write(oil=vectors(1, seed=2)))
    assert not torch.equal(first, context(own.encode(read("oil", 20), 1)))
    own.use_embeddings(write(ink=vectors(1)))
    assert torch.equal(first, context(own.encode(read("ink", 20), 1)))


def test_what_is_kept_knows_the_networks_in_the_weights(clip_l: Any) -> None:
    own = conditioner(clip_l, {})
    weight = clip_l.encoder.layers[0].mlp.fc1.weight
    before = weight.data
    plain = context(own.encode(read("a", 20), 1))
    try:
        weight.data, clip_l.networks = before * 2, Changes(("ink", 1.0))
        assert not torch.equal(plain, context(own.encode(read("a", 20), 1)))
    finally:
        weight.data = before
        del clip_l.networks
    assert torch.equal(plain, context(own.encode(read("a", 20), 1)))


def test_embeddings_that_come_with_a_network_are_read_while_it_is_used(
    clip_l: Any, write: Callable[..., dict[str, Path]]
) -> None:
    own = conditioner(clip_l, write(ink=vectors(1)))
    tensors = {
        "bundle_emb.word.string_to_param.*": vectors(2, seed=1),
        "bundle_emb.ink.emb_params": vectors(3, seed=2),
        "bundle_emb.wide.emb_params": vectors(1, WIDTH * 2),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": torch.tensor(1.0),
    }
    found = bundled(tensors, "brush")
    assert sorted(found) == ["ink", "wide", "word"]
    before = own.encode(read("a word", 20), 1)
    clip_l.networks = Changes(bundled=found)
    try:
        encoded = own.encode(read("a word, ink, wide", 20), 1)
        chunks, _ = own.encoders[0].chunks(parse_weights("word"))
        again, _ = own.encoders[0].chunks(parse_weights("word"))
    finally:
        del clip_l.networks
    # The folder's own file goes before the network's.
    assert [each.name for each in encoded.embeddings] == ["word", "ink"]
    assert [len(each.ids) for each in encoded.embeddings] == [2, 1]
    assert encoded.embeddings[0].hash == "brush"
    assert [dict(note.values) for note in encoded.notes] == [{"name": "wide"}]
    own_vectors = [own.embeddings.vector(token, 0) for token in chunks[0].tokens[1:3]]
    assert torch.equal(torch.stack(own_vectors), tensors["bundle_emb.word.string_to_param.*"])
    assert chunks == again
    after = own.encode(read("a word", 20), 1)
    assert after.embeddings == ()
    assert torch.equal(context(before), context(after))
