from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from core.errors import NotFinite
from core.models import vae as vae_module
from core.models.vae import LoadedVae
from core.models.weights.components import empty_module
from tools import random_models

pytestmark = pytest.mark.usefixtures("one_thread")


def digest() -> Future[str]:
    future: Future[str] = Future()
    future.set_result("0123456789")
    return future


def tiny(
    dtype: torch.dtype = torch.float32,
    scale: float = 1.0,
    *,
    strict: bool = False,
    free: Callable[[], None] = lambda: None,
    **config: float,
) -> LoadedVae:
    """A VAE of random weights; ``scale`` multiplies the decoder's first layer."""
    recipe = random_models.tiny("sd1")
    settings = recipe.configs["vae"] | config
    module: Any = empty_module("vae", settings)
    generator = torch.Generator().manual_seed(0)
    state = random_models.random_state(module, generator, dtype)
    state["decoder.conv_in.weight"] *= scale
    module.load_state_dict(state, assign=True)
    return LoadedVae(module.eval(), "tiny", digest(), strict=strict, free=free)


def latents(height: int = 8, width: int = 8) -> Tensor:
    return torch.randn((4, height, width), generator=torch.Generator().manual_seed(1))


def picture(height: int = 64, width: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


# --- there and back -------------------------------------------------------------------------


def test_decode_is_diffusers_own_truncated_as_in_a1111() -> None:
    loaded = tiny()
    given = latents(8, 12)
    with torch.inference_mode():
        sample = loaded.module.decode(given[None] / 0.18215).sample
    expected = VaeImageProcessor().postprocess(sample, output_type="np")
    pixels = loaded.decode(given)
    assert pixels.shape == (64, 96, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, (expected[0] * 255).astype(np.uint8))


def test_pixels_are_clamped_then_truncated_whatever_comes() -> None:
    shown = torch.tensor([-2.0, -1, 0, 0.999, 1, 3, torch.nan, torch.inf, -torch.inf])
    loaded = tiny()
    loaded.module.decode = lambda _: SimpleNamespace(sample=shown.expand(1, 3, 1, 9))
    assert loaded.decode(latents())[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255, 0, 255, 0]


def test_encode_is_the_posteriors_mean_scaled() -> None:
    loaded = tiny()
    pixels = picture(64, 96)
    given = VaeImageProcessor().preprocess(pixels[None].astype(np.float32) / 255)
    with torch.inference_mode():
        mean = loaded.module.encode(given).latent_dist.mean
    encoded = loaded.encode(pixels)
    assert encoded.shape == (4, 8, 12)
    assert torch.allclose(encoded, mean[0] * 0.18215, atol=1e-6)
    # The mean, not a sample: twice the same.
    assert torch.equal(encoded, loaded.encode(pixels))


def test_encode_samples_the_posterior_with_the_given_noise() -> None:
    loaded = tiny()
    pixels = picture(64, 96)
    noise = torch.randn((4, 8, 12), generator=torch.Generator().manual_seed(3))
    given = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 * 2 - 1
    with torch.inference_mode():
        mean, logvar = loaded.module._encode(given).chunk(2, dim=1)
    expected = (mean + (logvar.clamp(-30, 20) / 2).exp() * noise)[0] * 0.18215
    assert torch.allclose(loaded.encode(pixels, noise), expected, atol=1e-6)


@pytest.mark.parametrize("tile", [0, 64])
@pytest.mark.parametrize(("height", "width"), [(65, 103), (71, 96), (52, 100)])
def test_sides_that_are_no_multiple_of_8_encode_to_whole_latents(
    height: int, width: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tile:
        monkeypatch.setattr(vae_module, "TILING_ABOVE", 0)
        monkeypatch.setattr(vae_module, "TILE", tile)
    encoded = tiny().encode(picture(height, width))
    assert encoded.shape == (4, height // 8, width // 8)
    assert encoded.isfinite().all()


def test_scale_and_shift_are_the_configs() -> None:
    plain, moved = tiny(), tiny(scaling_factor=0.5, shift_factor=0.25)
    encoded = plain.encode(picture()) / 0.18215
    assert torch.allclose(moved.encode(picture()), (encoded - 0.25) * 0.5, atol=1e-6)
    pixels = moved.decode((encoded - 0.25) * 0.5).astype(int)
    assert np.abs(pixels - plain.decode(encoded * 0.18215)).max() <= 1


def test_a_picture_is_the_same_whatever_came_before() -> None:
    loaded = tiny()
    first = loaded.decode(latents())
    loaded.decode(latents(16, 24))
    assert np.array_equal(loaded.decode(latents()), first)


def test_the_hash_is_waited_for() -> None:
    assert tiny().hash == "0123456789"


# --- overflow -------------------------------------------------------------------------------


def test_a_decode_that_overflows_is_done_again_in_fp32_and_stays() -> None:
    broken = tiny(torch.float16, scale=3e4)
    assert broken.dtype == torch.float16
    with torch.inference_mode():
        assert broken.module.decode(latents()[None].half() / 0.18215).sample.isnan().all()
    pixels = broken.decode(latents())
    assert broken.dtype == torch.float32
    assert pixels.std() > 10
    assert np.array_equal(pixels, broken.decode(latents()))


def test_half_precision_that_works_is_kept() -> None:
    half, single = tiny(torch.float16), tiny()
    difference = half.decode(latents()).astype(int) - single.decode(latents())
    assert np.abs(difference).max() <= 3
    assert half.dtype == torch.float16
    assert half.encode(picture()).dtype == torch.float32


def test_nan_from_outside_changes_nothing() -> None:
    half = tiny(torch.float16)
    with pytest.raises(NotFinite) as caught:
        half.decode(torch.full((4, 8, 8), torch.nan))
    assert caught.value.part == "model"
    assert half.dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_nan_that_fp32_does_not_mend_is_the_vae_s(dtype: torch.dtype) -> None:
    broken = tiny(dtype)
    broken.module.decoder.conv_out.bias.data[:] = torch.nan
    broken.module.quant_conv.bias.data[:] = torch.nan
    for call in (lambda: broken.decode(latents()), lambda: broken.encode(picture())):
        with pytest.raises(NotFinite) as caught:
            call()
        assert caught.value.part == "VAE"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_nan_in_one_channel_is_the_vae_s(dtype: torch.dtype) -> None:
    broken = tiny(dtype)
    broken.module.decoder.conv_out.bias.data[1] = torch.nan
    broken.module.quant_conv.bias.data[2] = torch.nan
    for call in (lambda: broken.decode(latents()), lambda: broken.encode(picture())):
        with pytest.raises(NotFinite) as caught:
            call()
        assert caught.value.part == "VAE"


def test_a_preview_is_fitted_in_fp32_where_one_channel_overflows() -> None:
    module = tiny(torch.float16).module
    encode = module.encode

    def overflows(pictures: Tensor) -> Any:
        posterior = encode(pictures).latent_dist
        mean = posterior.mean.clone()
        if mean.dtype == torch.float16:
            mean[:, 1] = torch.nan
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean))

    module.encode = overflows
    assert LoadedVae(module, "tiny", digest()).dtype == torch.float32


def test_a_decode_that_is_read_later_is_the_same_and_overflows_as_it_does() -> None:
    loaded, broken = tiny(), tiny(torch.float16, scale=3e4)
    pending = loaded.decode_later(latents())
    assert pending.done()
    assert np.array_equal(pending.result(), loaded.decode(latents()))
    begun = [broken.decode_later(latents()) for _ in range(2)]
    assert broken.dtype == torch.float16, "found only when it is read"
    first, second = (each.result() for each in begun)
    assert broken.dtype == torch.float32
    assert np.array_equal(first, second)
    assert first.std() > 10


# --- tiles ----------------------------------------------------------------------------------


def test_large_pictures_go_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae_module, "TILE", 128)
    loaded = tiny()
    whole = loaded.decode(latents(24, 32))
    assert not loaded.module.use_tiling
    monkeypatch.setattr(vae_module, "TILING_ABOVE", 128 * 128)
    tiled = loaded.decode(latents(24, 32))
    assert loaded.module.use_tiling
    assert tiled.shape == whole.shape == (192, 256, 3)
    assert not np.array_equal(tiled, whole)
    assert np.array_equal(tiled, loaded.decode(latents(24, 32)))
    assert loaded.encode(tiled).shape == (4, 24, 32)
    loaded.decode(latents(16, 16))
    assert not loaded.module.use_tiling


def test_ordinary_sizes_are_never_tiled() -> None:
    """A tile's own group norms shift its colours a little: only where memory asks for it."""
    assert 1024 * 1536 <= vae_module.TILING_ABOVE < 2048 * 2048


class Card:
    """Makes a VAE's coder run out of memory for inputs of more than ``room`` values a side."""

    def __init__(self, module: Any, room: int) -> None:
        self.room = room
        self.refused = 0
        # diffusers' own tiled ways call these for each tile.
        module.decoder.register_forward_pre_hook(self.check)
        module.encoder.register_forward_pre_hook(self.check)

    def check(self, _: Any, given: tuple[Tensor, ...]) -> None:
        height, width = given[0].shape[-2:]
        if max(height, width) > self.room:
            self.refused += 1
            raise torch.OutOfMemoryError


def test_what_has_no_room_is_decoded_in_tiles_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loaded = tiny()
    given, small = latents(48, 80), latents(16, 16)
    whole, whole_small = loaded.decode(given), loaded.decode(small)
    # Tiles of 512 pixels are 64 latents.
    card = Card(loaded.module, 64)
    tiled = loaded.decode(given)
    assert tiled.shape == whole.shape == (384, 640, 3)
    assert not np.array_equal(tiled, whole)
    assert np.abs(tiled.astype(int) - whole).mean() < 20
    assert [record.message for record in caplog.records] == [
        "the VAE 'tiny': no memory for 640×384, from now on in tiles of 512"
    ]
    assert np.array_equal(loaded.decode(given), tiled)
    assert card.refused == 2, "once more after what can be freed was"
    assert len(caplog.records) == 1
    # Other sizes, and other VAEs, are as they were.
    assert np.array_equal(loaded.decode(small), whole_small)
    assert np.array_equal(tiny().decode(given), whole)


@pytest.mark.parametrize("strict", [False, True])
def test_what_has_room_once_others_are_freed_is_not_tiled(
    caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    def free() -> None:
        card.room = 99

    whole, loaded = tiny().decode(latents(48, 80)), tiny(strict=strict, free=free)
    card = Card(loaded.module, 64)
    assert np.array_equal(loaded.decode(latents(48, 80)), whole)
    assert card.refused == 1
    assert not caplog.records


def test_what_has_no_room_is_encoded_in_tiles_from_then_on() -> None:
    loaded = tiny()
    card = Card(loaded.module, 256)
    first = loaded.encode(picture(320, 384))
    assert first.shape == (4, 40, 48)
    assert torch.equal(loaded.encode(picture(320, 384)), first)
    assert card.refused == 2


def test_large_pictures_are_cut_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae_module, "TILING_ABOVE", 0)
    monkeypatch.setattr(vae_module, "TILE", 320)
    monkeypatch.setattr(vae_module, "SMALL_TILES", (256,))
    loaded = tiny()
    card = Card(loaded.module, 32)
    assert loaded.decode(latents(40, 44)).shape == (320, 352, 3)
    assert card.refused == 2


@pytest.mark.parametrize(("side", "room"), [(64, 8), (32, 8)])
def test_what_has_no_room_in_tiles_either_is_too_large(side: int, room: int) -> None:
    loaded = tiny()
    card = Card(loaded.module, room)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.decode(latents(side, side))
    # What is as small as the smallest tile cannot be cut.
    assert card.refused == (3 if side > 32 else 2)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.decode(latents(side, side))
    # And what had no room once is not tried whole again.
    assert card.refused == (5 if side > 32 else 4)


def test_strict_bytes_never_depend_on_memory() -> None:
    loaded = tiny(strict=True)
    whole = loaded.decode(latents(40, 40))
    card = Card(loaded.module, 32)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            loaded.decode(latents(40, 40))
    card.room = 64
    assert np.array_equal(loaded.decode(latents(40, 40)), whole)


# --- previews -------------------------------------------------------------------------------


class Cells:
    """A VAE whose latents are each cell's mean colour, mixed: a linear map reads it exactly."""

    dtype = torch.float32
    device = torch.device("cpu")
    use_tiling = False
    config = SimpleNamespace(scaling_factor=0.5, shift_factor=0.1, latent_channels=4)
    mix = torch.tensor([[1.0, 0.5, 0.0, 0.2], [0.0, 1.0, -0.5, 0.3], [0.3, 0.0, 1.0, -0.4]])

    def encode(self, pictures: Tensor) -> SimpleNamespace:
        cells = torch.einsum("bchw,cd->bdhw", avg_pool2d(pictures, 8), self.mix)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=cells))


def test_a_preview_shows_the_colours() -> None:
    loaded = LoadedVae(Cells(), "cells", digest())
    across, down = np.meshgrid(np.arange(16) * 16, np.arange(8) * 32)
    colours = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    large = np.kron(colours, np.ones((8, 8, 1), np.uint8))
    preview = loaded.preview(loaded.encode(large))
    assert preview.shape == (64, 128, 3)
    cells = torch.from_numpy(preview.copy()).permute(2, 0, 1)[None].float()
    middle = interpolate(cells, (8, 16), mode="area")[0].permute(1, 2, 0).numpy()
    assert np.abs(middle - colours).mean() < 3


@pytest.mark.parametrize(
    ("side", "expected"), [(8, 64), (16, 128), (64, 256), (128, 256), (256, 512)]
)
def test_a_preview_is_small(side: int, expected: int) -> None:
    preview = tiny().preview(latents(side, side))
    assert preview.shape == (expected, expected, 3)
    assert preview.dtype == np.uint8


def test_a_preview_of_nan_is_a_picture() -> None:
    assert tiny().preview(torch.full((4, 8, 8), torch.nan)).shape == (64, 64, 3)


def test_every_shipped_model_has_a_scale() -> None:
    for family, factor in (("sd1", 0.18215), ("sd2", 0.18215), ("sdxl", 0.13025)):
        assert random_models.full(family).configs["vae"]["scaling_factor"] == factor
