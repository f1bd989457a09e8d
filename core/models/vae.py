"""``LoadedVae``: pictures to latents and back, one at a time, and quick previews without it.

One picture a call keeps the shapes fixed, so that its bytes never depend on its neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
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

# Latents are an eighth of the picture on each side.
FACTOR: Final = 8
# Pictures of more pixels go through the VAE in tiles: larger ones need > 10 GB in one piece.
TILING_ABOVE: Final = 1536 * 1536
TILE: Final = 1024
# Where a picture has no room, the largest of these that is smaller than it is tried.
SMALL_TILES: Final = (512, 256)
# Previews are enlarged to about this many pixels on the longer side.
PREVIEW_SIDE: Final = 256


class LoadedVae:
    """A VAE on its device. ``hash`` is its file's, as A1111 writes it.

    Half precision that overflows (every value NaN, as SDXL's first VAE does in fp16) is done
    again in fp32, and stays there. A picture without room is done again in small tiles, and
    pictures of its size stay with them: they look the same, but for a shade. In ``strict`` they
    do not, for then the bytes would depend on who else needs memory; like a UNet call of the
    strict setting, such a picture fails. Without room, all raise :class:`torch.OutOfMemoryError`.
    """

    # Any is an AutoencoderKL, whose attributes diffusers' mixins hide from the type checker.
    def __init__(
        self, vae: Any, name: str, file_hash: Future[str], *, strict: bool = False
    ) -> None:
        self.name = name
        self.module = vae
        self._strict = strict
        # The tiles of sizes (height, width) that had no room.
        self._tiles: dict[tuple[int, int], int] = {}
        self._hash = file_hash
        config = self.module.config
        self.scaling_factor = float(config.scaling_factor)
        self.shift_factor = float(config.shift_factor or 0.0)
        self.channels = int(config.latent_channels)
        self._to_rgb = self._fit_preview()

    @property
    def hash(self) -> str:
        """First ten digits of its file's sha256; waits when that is still being read."""
        return self._hash.result()

    @property
    def dtype(self) -> torch.dtype:
        """The precision it runs in at present."""
        dtype: torch.dtype = self.module.dtype
        return dtype

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Latents (C, h, w) → pixels (8h, 8w, 3)."""
        scaled = latents.to(self.module.device, torch.float32)[None]
        scaled = scaled / self.scaling_factor + self.shift_factor
        height, width = (side * FACTOR for side in latents.shape[-2:])
        picture = self._with_room(
            lambda: self._precisely(lambda z: self.module.decode(z).sample, scaled), height, width
        )[0]
        pixels = ((picture.float() + 1) * 127.5).nan_to_num().clamp(0, 255).round()
        result: Pixels = pixels.permute(1, 2, 0).to("cpu", torch.uint8).numpy()
        return result

    @torch.inference_mode()
    def encode(self, image: Pixels) -> Tensor:
        """Pixels (8h, 8w, 3) → latents (C, h, w) fp32 on the device: the posterior's mode."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.module.device)
        picture = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
        return self._with_room(lambda: self._encode(picture), *image.shape[:2])[0]

    def _encode(self, pictures: Tensor) -> Tensor:
        latents = self._precisely(lambda x: self.module.encode(x).latent_dist.mode(), pictures)
        return (latents.float() - self.shift_factor) * self.scaling_factor

    def _with_room(self, work: Callable[[], Tensor], height: int, width: int) -> Tensor:
        """Do the work in one piece, or in tiles if the picture is large or had no room."""
        size = (height, width)
        self._cut(self._tiles.get(size, TILE if height * width > TILING_ABOVE else 0))
        try:
            return work()
        except torch.OutOfMemoryError:
            smaller = next((tile for tile in SMALL_TILES if tile < max(size)), None)
            if self._strict or smaller is None or size in self._tiles:
                raise
        # Out here, what the failed attempt held is free.
        log.warning(
            "the VAE %r has no room for %d×%d: from now on in tiles of %d",
            *(self.name, width, height, smaller),
        )
        torch.cuda.empty_cache()
        self._tiles[size] = smaller
        self._cut(smaller)
        return work()

    def _cut(self, tile: int) -> None:
        """Tiles of so many pixels a side from now on; 0 is the picture in one piece."""
        self.module.use_tiling = tile > 0
        self.module.tile_sample_min_size = tile
        self.module.tile_latent_min_size = tile // FACTOR

    def _precisely(self, work: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        result = work(given.to(self.module.dtype))
        overflown = self.module.dtype != torch.float32 and bool(result.isnan().all())
        # NaN that came in is not the VAE's doing.
        if overflown and not bool(given.isnan().any()):
            self.module.to(torch.float32)
            result = work(given)
        return result

    def preview(self, latents: Tensor) -> Pixels:
        """Latents (C, h, w) on any device → a small picture, by a linear map and no decode.

        Touches no module, so that it may run beside the engine's own thread.
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
        """The least-squares map from a latent to its cell's colour, (C + 1, 3); the last row is 1.

        Fitted on a small synthetic picture, so it suits whatever VAE this is.
        """
        pictures = _swatches().to(self.module.device)
        latents = self._encode(pictures).permute(0, 2, 3, 1).reshape(-1, self.channels)
        colours = avg_pool2d(pictures, FACTOR).permute(0, 2, 3, 1).reshape(-1, 3)
        known = np.concatenate([latents.cpu().numpy(), np.ones((len(latents), 1))], axis=1)
        fitted = np.linalg.lstsq(np.nan_to_num(known), colours.cpu().numpy(), rcond=None)[0]
        to_rgb: NDArray[np.float32] = fitted.astype(np.float32)
        return to_rgb


def _swatches() -> Tensor:
    """A picture (1, 3, 64, 64) in −1…1: soft blobs of colour above, flat patches below."""
    generator = torch.Generator().manual_seed(0)
    soft, flat = torch.rand((2, 1, 3, 4, 4), generator=generator) * 2 - 1
    above = interpolate(soft[:, :, :2], (32, 64), mode="bicubic").clamp(-1, 1)
    return torch.cat([above, interpolate(flat[:, :, :2], (32, 64), mode="nearest")], dim=2)
