"""Pictures and latents enlarged, against A1111's own results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from core.errors import TooLarge
from core.pictures import upscale
from core.pictures.upscaling import in_tiles, resize
from core.sampling.latents import latent_upscale
from tests.golden_data import FOLDERS, arrays, load, names

if TYPE_CHECKING:
    from core.pictures.files import Pixels

Case = tuple[Path, dict[str, Any]]


def cases(group: str) -> list[Any]:
    return [
        pytest.param((folder / "wider" / "upscale.npz", case), id=f"{names(folder)} {case['id']}")
        for folder in FOLDERS
        for case in load(folder / "wider" / "upscale.json")[group]
    ]


def picture(width: int, height: int) -> Pixels:
    """The picture that the golden set enlarges."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    red = 127 + 120 * np.sin(x / 17 + y / 29)
    green = 127 + 120 * np.cos(x / 23 - y / 13)
    blue = (255 * x / (width - 1) + 255 * y / (height - 1)) / 2
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def repeat(factor: int, radius: int = 0, calls: list[Any] | None = None) -> Callable[..., Tensor]:
    """A model that blurs, then repeats each pixel; ``calls`` gets the sizes that it saw."""

    def model(given: Tensor) -> Tensor:
        assert given.dtype == torch.float32
        assert given.shape[:2] == (1, 3)
        if calls is not None:
            calls.append([*given.shape[2:]])
        if radius:
            given = avg_pool2d(given, 2 * radius + 1, 1, radius)
        return interpolate(given, scale_factor=factor, mode="nearest")

    return model


def furthest(got: Pixels, wanted: Pixels) -> int:
    assert got.dtype == np.uint8
    assert got.shape == wanted.shape
    return int(np.abs(got.astype(int) - wanted).max())


@pytest.mark.parametrize("given", cases("tiles"))
def test_tiles_are_joined_as_in_a1111(given: Case) -> None:
    path, case = given
    calls: list[Any] = []
    model = repeat(case["factor"], case["blur_radius"], calls)
    image = Image.fromarray(picture(case["width"], case["height"]))
    average = "variant" in case
    larger = np.asarray(
        in_tiles(image, model, case["factor"], case["tile"], case["overlap"], average=average)
    )
    wanted = arrays(path)[case["id"]]
    if case["tile"] > min(image.size):
        # There A1111 adds black on the left and top, which darkens the edge.
        assert calls == [[image.height, image.width]]
        assert furthest(larger[16:, 16:], wanted[16:, 16:]) <= 2
    else:
        assert calls == case["calls"]
        assert furthest(larger, wanted) == 0


@pytest.mark.parametrize("given", cases("upscales"))
def test_a_picture_reaches_its_size_as_in_a1111(given: Case) -> None:
    path, case = given
    pixels = picture(case["width"], case["height"])
    width, height = case["target"] if "target" in case else case["size"]
    calls: list[Any] = []
    if case["upscaler"] == "Fake4x":
        got = upscale(pixels, width, height, repeat(4, calls=calls), 4)
        assert len(calls) == case["model_passes"]
    else:
        got = resize(pixels, width, height, case["upscaler"])
    known = arrays(path)
    wanted = [known[key] for key in (case["id"], f"pillow13/{case['id']}") if key in known]
    assert min(furthest(got, each) for each in wanted) <= 2


@pytest.mark.parametrize("given", cases("latents"))
def test_latents_reach_their_size_as_in_a1111(given: Case) -> None:
    path, case = given
    known = {key: torch.from_numpy(array) for key, array in arrays(path).items() if key[0] == "l"}
    got = latent_upscale(known["latent_in"], case["size"], case["upscaler"])
    assert torch.allclose(got, known[case["id"]], atol=1e-6, rtol=0)


def test_a_whole_picture_is_one_tile_of_0() -> None:
    calls: list[Any] = []
    larger = upscale(picture(400, 240), 800, 480, repeat(2, calls=calls), 2, tile=0)
    assert calls == [[240, 400]]
    assert larger.shape == (480, 800, 3)


def test_the_channels_come_as_blue_green_red() -> None:
    seen: list[Tensor] = []

    def model(given: Tensor) -> Tensor:
        seen.append(given)
        return interpolate(given, scale_factor=2, mode="nearest")

    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    larger = upscale(red, 16, 16, model, 2)
    assert (larger == [200, 0, 0]).all()
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx([0, 0, 200 / 255])


def test_values_are_rounded_and_nan_is_black() -> None:
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7, torch.nan, torch.inf, 0.5])

    def model(given: Tensor) -> Tensor:
        return values.expand(1, 3, 8, 8)

    assert upscale(picture(4, 4), 8, 8, model, 2)[0, :, 0].tolist() == [
        *(0, 0, 1, 255, 255, 0, 255, 128)
    ]


def test_a_model_in_half_precision_on_another_device_is_fine() -> None:
    pixels = picture(40, 30)
    half = upscale(pixels, 80, 60, lambda given: repeat(2)(given).half(), 2)
    assert furthest(half, upscale(pixels, 80, 60, repeat(2), 2)) <= 1


def test_a_side_over_the_limit_is_refused_before_the_model_runs() -> None:
    calls: list[Any] = []
    with pytest.raises(TooLarge, match="16400×160 is over 8192"):
        upscale(picture(1025, 10), 2050, 20, repeat(16, calls=calls), 16)
    assert calls == []


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(("width", "height"), [(5, 4), (193, 1), (200, 9), (196, 200)])
def test_every_size_is_enlarged(width: int, height: int, average: bool) -> None:
    pixels = np.full((height, width, 3), 77, np.uint8)
    larger = upscale(pixels, width * 3, height * 3, repeat(2), 2, average=average)
    assert larger.shape == (height * 3, width * 3, 3)
    assert (larger == 77).all()


def test_tiles_that_share_all_of_themselves_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="tiles of 8 pixels cannot share 8"):
        upscale(picture(40, 40), 80, 80, repeat(2), 2, tile=8, overlap=8)


def test_what_an_upscaler_by_1_made_comes_to_multiples_of_8_first() -> None:
    calls: list[Any] = []
    pixels = picture(20, 14)
    larger = upscale(pixels, 30, 21, repeat(1, calls=calls), 1)
    assert calls == [[14, 20]]
    image = Image.fromarray(pixels).resize((24, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(larger, np.array(image.resize((30, 21), Image.Resampling.LANCZOS)))
