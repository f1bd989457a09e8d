"""``LoadedVae``: encodes and decodes one picture per call, and previews latents without decoding.

One picture per call keeps the shapes fixed, so that its bytes do not depend on other pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

if TYPE_CHECKING:
    from core.pictures.files import Pixels

log = logging.getLogger(__name__)

# Pixels per latent, on each side.
FACTOR: Final = 8
# Pictures of more pixels are always tiled: without tiles they take over 10 GB.
TILING_ABOVE: Final = 1536 * 1536
TILE: Final = 1024
# Tried after running out of memory: the largest that is smaller than the picture.
SMALL_TILES: Final = (512, 256)
# Pixels of a preview's longer side, about.
PREVIEW_SIDE: Final = 256


class PendingPixels:
    """A picture on its way from the device: ``pixels`` (H, W, 3) in uint8, and whether it is wrong.

    ``overflown`` is a truth value on the device, None where it cannot be true; ``again`` then
    makes the picture.
    """

    def __init__(
        self, pixels: Tensor, overflown: Tensor | None, again: Callable[[], Pixels]
    ) -> None:
        self._again = again
        self._pixels = _read_back(pixels)
        self._overflown = None if overflown is None else _read_back(overflown)
        self._arrived: Any = None
        if pixels.device.type == "cuda":
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def ready(self) -> bool:
        """Return whether :meth:`result` need not wait."""
        return self._arrived is None or bool(self._arrived.query())

    def result(self) -> Pixels:
        """Return the pixels, waited for; call it where the VAE is used, for it may run again."""
        if self._arrived is not None:
            self._arrived.synchronize()
        if self._overflown is not None and bool(self._overflown):
            return self._again()
        pixels: Pixels = self._pixels.numpy()
        return pixels


def _read_back(tensor: Tensor) -> Tensor:
    """Copy to main memory; from a card into pinned memory, without waiting for it."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


class LoadedVae:
    """A VAE on its device. ``name`` and ``hash`` are its file's, as A1111 writes them.

    When half precision overflows (all values NaN, as in SDXL's first VAE), the call is repeated
    in fp32, and the VAE stays in it. When a picture does not fit in memory, the call is repeated
    in small tiles, as are all later ones of its size; colours may differ slightly. Not so if
    ``strict``: the bytes would depend on the memory in use. Raises
    :class:`torch.OutOfMemoryError` when a picture still does not fit.
    """

    # Any is an AutoencoderKL, whose attributes diffusers' mixins hide from the type checker.
    def __init__(
        self, vae: Any, name: str, file_hash: Future[str], *, strict: bool = False
    ) -> None:
        self.name = name
        self.module = vae
        self._strict = strict
        # Tile side by picture size (height, width), for sizes that did not fit untiled.
        self._tiles: dict[tuple[int, int], int] = {}
        self._hash = file_hash
        config = self.module.config
        self.scaling_factor = float(config.scaling_factor)
        self.shift_factor = float(config.shift_factor or 0.0)
        self.channels = int(config.latent_channels)
        self._to_rgb = self._fit_preview()

    @property
    def hash(self) -> str:
        """First ten hex digits of the file's sha256. Blocks while it is being computed."""
        return self._hash.result()

    @property
    def dtype(self) -> torch.dtype:
        """The current precision; fp32 after an overflow."""
        dtype: torch.dtype = self.module.dtype
        return dtype

    def decode(self, latents: Tensor) -> Pixels:
        """Decode latents (C, h, w) to RGB pixels (8h, 8w, 3), truncated as A1111 does."""
        return self.decode_later(latents).result()

    @torch.inference_mode()
    def decode_later(self, latents: Tensor) -> PendingPixels:
        """Begin to decode latents (C, h, w); does not wait for a graphics card to do it.

        Pixels are truncated on the device, so that a quarter of the bytes come back.
        """
        scaled = latents.to(self.module.device, torch.float32)[None]
        scaled = scaled / self.scaling_factor + self.shift_factor
        height, width = (side * FACTOR for side in latents.shape[-2:])
        picture = self._with_tiling(
            lambda: self.module.decode(scaled.to(self.module.dtype)).sample, height, width
        )[0]
        overflown = None
        if self.module.dtype != torch.float32:
            # NaN in the input is no overflow of the VAE's.
            overflown = picture.isnan().all() & ~scaled.isnan().any()
        pixels = ((picture.float() + 1) * 127.5).nan_to_num().clamp(0, 255).to(torch.uint8)
        pixels = pixels.permute(1, 2, 0).contiguous()
        return PendingPixels(pixels, overflown, partial(self._decode_in_fp32, latents))

    def _decode_in_fp32(self, latents: Tensor) -> Pixels:
        self.module.to(torch.float32)
        return self.decode(latents)

    @torch.inference_mode()
    def encode(self, image: Pixels, noise: Tensor | None = None) -> Tensor:
        """Encode RGB pixels (H, W, 3) to latents (C, H // 8, W // 8), fp32 on the device.

        The posterior is sampled with ``noise``, standard normal in the latents' shape on any
        device, as A1111 does; without it, it is the posterior's mean.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.module.device)
        picture = pixels.permute(2, 0, 1)[None].float() / 255 * 2 - 1
        return self._with_tiling(lambda: self._encode(picture, noise), *image.shape[:2])[0]

    def _encode(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        if self.module.use_tiling:
            # A last tile of less than a latent has none; untiled, A1111 lets such an edge count.
            height, width = (side // FACTOR * FACTOR for side in pictures.shape[-2:])
            pictures = pictures[..., :height, :width]

        def draw(pictures: Tensor) -> Tensor:
            posterior = self.module.encode(pictures).latent_dist
            mean: Tensor = posterior.mean
            return mean if noise is None else mean + posterior.std * noise.to(mean.device)

        return (self._with_fp32(draw, pictures).float() - self.shift_factor) * self.scaling_factor

    def _with_tiling(self, work: Callable[[], Tensor], height: int, width: int) -> Tensor:
        """Run ``work``, tiled if the picture is large or did not fit in memory."""
        size = (height, width)
        self._set_tile(self._tiles.get(size, TILE if height * width > TILING_ABOVE else 0))
        try:
            return work()
        except torch.OutOfMemoryError:
            smaller = next((tile for tile in SMALL_TILES if tile < max(size)), None)
            if self._strict or smaller is None or size in self._tiles:
                raise
        # Outside of the except block the failed attempt's tensors are freed.
        log.warning(
            "the VAE %r: no memory for %d×%d, from now on in tiles of %d",
            *(self.name, width, height, smaller),
        )
        torch.cuda.empty_cache()
        self._tiles[size] = smaller
        self._set_tile(smaller)
        return work()

    def _set_tile(self, tile: int) -> None:
        """Set the tiles' side in pixels; 0 turns tiling off."""
        self.module.use_tiling = tile > 0
        self.module.tile_sample_min_size = tile
        self.module.tile_latent_min_size = tile // FACTOR

    def _with_fp32(self, work: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        result = work(given.to(self.module.dtype))
        overflown = self.module.dtype != torch.float32 and bool(result.isnan().all())
        # NaN in the input is no overflow of the VAE's.
        if overflown and not bool(given.isnan().any()):
            self.module.to(torch.float32)
            result = work(given)
        return result

    def preview(self, latents: Tensor) -> Pixels:
        """Approximate latents (C, h, w) on any device as a small RGB picture, by a linear map.

        Uses no module, so that it can run outside of the engine's thread.
        """
        flat = latents.float().cpu().flatten(1).T.numpy()
        colours = np.nan_to_num(flat @ self._to_rgb[:-1] + self._to_rgb[-1])
        height, width = latents.shape[-2:]
        pixels = ((colours + 1) * 127.5).clip(0, 255).astype(np.uint8).reshape(height, width, 3)
        scale = min(FACTOR, max(2, PREVIEW_SIDE // max(height, width)))
        small = Image.fromarray(pixels)
        return np.asarray(small.resize((width * scale, height * scale), Image.Resampling.BICUBIC))

    @torch.inference_mode()
    def _fit_preview(self) -> NDArray[np.float32]:
        """Fit the linear map from a latent to its pixels' mean colour, (C + 1, 3).

        The last row is the constant term. Least squares over a synthetic picture, for any VAE.
        """
        pictures = _sample_image().to(self.module.device)
        latents = self._encode(pictures).permute(0, 2, 3, 1).reshape(-1, self.channels)
        colours = avg_pool2d(pictures, FACTOR).permute(0, 2, 3, 1).reshape(-1, 3)
        known = np.concatenate([latents.cpu().numpy(), np.ones((len(latents), 1))], axis=1)
        fitted = np.linalg.lstsq(np.nan_to_num(known), colours.cpu().numpy(), rcond=None)[0]
        to_rgb: NDArray[np.float32] = fitted.astype(np.float32)
        return to_rgb


def _sample_image() -> Tensor:
    """Make a picture (1, 3, 64, 64) in −1…1: smooth gradients above, flat patches below."""
    generator = torch.Generator().manual_seed(0)
    soft, flat = torch.rand((2, 1, 3, 4, 4), generator=generator) * 2 - 1
    above = interpolate(soft[:, :, :2], (32, 64), mode="bicubic").clamp(-1, 1)
    return torch.cat([above, interpolate(flat[:, :, :2], (32, 64), mode="nearest")], dim=2)
