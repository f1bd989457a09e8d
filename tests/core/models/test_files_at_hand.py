"""The catalogue under the names that texts have for its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.models.catalogue import Catalogue, Model, Vae
from core.models.files_at_hand import files_at_hand
from core.pictures.reading import read

TEXT = "a\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, RNG: CPU"


def model(path: str, name: str = "", digits: str = "") -> Model:
    at = Path(path)
    return Model(name or at.stem, at, "file", "sd1", "epsilon", "sd", (512, 512), digits=digits)


CATALOGUE = Catalogue(
    models=(
        model("/models/anime/paint/brush.safetensors", "Brush", "0123456789"),
        model("/models/photo.safetensors"),
    ),
    vaes=(Vae("kl", Path("/vaes/kl-f8.safetensors"), "file", "sd"),),
)


@pytest.mark.parametrize(
    ("pairs", "field", "name"),
    [
        ("Model: Brush", "model", "Brush"),
        ("Model: brush", "model", "Brush"),
        ("Model: paint_brush", "model", "Brush"),
        ("Model: anime_paint_brush", "model", "Brush"),
        ("Model hash: 0123456789, Model: gone", "model", "Brush"),
        ("Model: photo", "model", "photo"),
        ("VAE: kl-f8.ckpt", "vae", "kl"),
        ("VAE: kl", "vae", "kl"),
    ],
)
def test_a_file_has_several_names(pairs: str, field: str, name: str) -> None:
    found = read(f"{TEXT}, {pairs}", files_at_hand(CATALOGUE))
    assert found.left_out == ()
    assert found.values[field] == name


@pytest.mark.parametrize("name", ["anime", "paint", "models", "aint_brush", "/", ""])
def test_a_folder_alone_is_no_name(name: str) -> None:
    found = read(f"{TEXT}, Model: {name}", files_at_hand(CATALOGUE))
    assert "model" not in found.values
