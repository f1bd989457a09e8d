"""What is found in what was unpickled; tests/bot/cli/test_convert.py reads whole files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.models.weights import pickled
from core.models.weights.pickled import NotConvertible, weights

VECTORS = torch.arange(6.0).reshape(2, 3)
LAYERS = {"a.weight": torch.ones(2, 2), "b.bias": torch.zeros(2)}

EMBEDDINGS: dict[str, Any] = {
    "A1111's": {"string_to_token": {"*": 265}, "string_to_param": {"*": VECTORS}, "name": "x"},
    "an older one": {"string_to_param": nn.ParameterDict({"*": nn.Parameter(VECTORS)})},
    "diffusers' concept": {"<x>": VECTORS},
}
WRAPPED: dict[str, Any] = {
    "plain": LAYERS,
    "an epoch's": {"state_dict": LAYERS, "epoch": 3, "optimizer_states": [{}]},
    "averaged": {"params": {"a.weight": torch.ones(1)}, "params_ema": LAYERS},
    "twice": {"model": {"state_dict": LAYERS}},
    "with a loss": {"state_dict": LAYERS | {"loss.logvar": torch.zeros(1)}},
    "with what is no weight": LAYERS | {"step": 3, 7: torch.ones(1), "s": torch.eye(2).to_sparse()},
}


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_an_embedding_is_its_vectors(kind: str, tmp_path: Path) -> None:
    torch.save(EMBEDDINGS[kind], tmp_path / "x.pt")
    (found,) = weights(pickled._unpickled(tmp_path / "x.pt")).items()
    assert found[0] == "emb_params"
    assert torch.equal(found[1], VECTORS)


def test_one_vector_is_a_row() -> None:
    assert weights({"<x>": VECTORS[0]})["emb_params"].shape == (1, 3)


def test_an_embedding_of_sdxl_keeps_both_its_parts() -> None:
    assert set(weights({"clip_l": VECTORS, "clip_g": VECTORS})) == {"clip_l", "clip_g"}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_are_found_in_what_programs_wrap_around_them(kind: str) -> None:
    found = weights(WRAPPED[kind])
    assert found.keys() == LAYERS.keys()
    assert torch.equal(found["a.weight"], LAYERS["a.weight"])


@pytest.mark.parametrize("data", [{}, [], None, 3, {"a": 1}, {"state_dict": {}}, torch.ones(2)])
def test_what_has_no_weights_by_name_is_told(data: object) -> None:
    with pytest.raises(NotConvertible, match="it holds no weights by name"):
        weights(data)


@pytest.mark.parametrize("count", [0, 2])
def test_an_embedding_is_of_one_word(count: int) -> None:
    words = {str(number): VECTORS for number in range(count)}
    with pytest.raises(NotConvertible, match=f"an embedding of {count} words"):
        weights({"string_to_param": words})
