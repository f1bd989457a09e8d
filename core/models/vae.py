"""``LoadedVae``: encodes and decodes one picture per call, and previews latents without decoding.

One picture per call keeps the shapes fixed, so that its bytes do not depend on other pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from core.errors import NotFinite
from core.models.memory import memory_errors
from core.sampling.readback import ReadBack, read_back
from core.sampling.uploads import upload

if TYPE_CHECKING:
    from core.pictures.files import Pixels

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Pixels per latent, on each side.
FACTOR: Final = 8
# Pictures of more pixels are always tiled: without tiles they take over 10 GB.
TILING_ABOVE: Final = 1536 * 1536
TILE: Final = 1024
# Tried after running out of memory: the largest that is smaller than the picture.
SMALL_TILES: Final = (512, 256)
# What :class:`Arriving` says of an overflow in the VAE.
OVERFLOWN: Final = 1
# Pixels of a preview's longer side, about.
PREVIEW_SIDE: Final = 256


class Arriving(Generic[_T]):
    """What a VAE makes, on its way from the device.

    ``wrong`` is a number on the device: 0, or :data:`OVERFLOWN` where a channel has nothing finite,
    or more if something was not before the VAE. ``take`` gives what was made; ``again`` makes it in
    another way, and is None where there is none. ``name`` is the VAE's.
    """

    def __init__(
        self,
        name: str,
        wrong: Tensor,
        take: Callable[[], _T],
        again: Callable[[], Arriving[_T]] | None,
    ) -> None:
        self._name, self._take, self._again = name, take, again
        self._wrong = ReadBack(wrong)

    def done(self) -> bool:
        """Return whether :meth:`result` need not wait."""
        return self._wrong.done()

    def wait(self) -> None:
        """Wait until it is :meth:`done`."""
        self._wrong.result()

    def result(self) -> _T:
        """Return what was made, waited for; call it where the VAE is used, for it may run again.

        Raises :class:`NotFinite` where a channel is nothing but NaN and infinity.
        """
        wrong = int(self._wrong.result())
        if wrong == OVERFLOWN and self._again is not None:
            return self._again().result()
        if wrong:
            raise NotFinite("VAE" if wrong == OVERFLOWN else "model", self._name)
        return self._take()


class LoadedVae:
    """A VAE on its device. ``name`` and ``hash`` are its file's, as A1111 writes them.

    When half precision overflows (a channel is all NaN, as SDXL's first VAE has it), the call is
    repeated in fp32, and the VAE stays in it; :class:`NotFinite` is raised if that does not help.
    When a picture does not fit in memory, ``free`` is called and the call repeated; then in small
    tiles, as are all later ones of its size; colours may differ slightly. Not so if ``strict``: the
    bytes would depend on the memory in use. Raises :class:`torch.OutOfMemoryError` when a picture
    still does not fit.
    """

    # Any is an AutoencoderKL, whose attributes diffusers' mixins hide from the type checker.
    def __init__(
        self,
        vae: Any,
        name: str,
        file_hash: Future[str],
        *,
        strict: bool = False,
        free: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.module = vae
        self._strict, self._free = strict, free
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
    def decode_later(self, latents: Tensor) -> Arriving[Pixels]:
        """Begin to decode latents (C, h, w); does not wait for a graphics card to do it.

        Pixels are truncated on the device, so that a quarter of the bytes come back.
        """
        scaled = latents.to(self.module.device, torch.float32)[None]
        scaled = scaled / self.scaling_factor + self.shift_factor
        height, width = (side * FACTOR for side in latents.shape[-2:])
        picture = self._with_tiling(
            lambda: self.module.decode(scaled.to(self.module.dtype)).sample, height, width
        )[0]
        given = 1 + (~scaled.isfinite().all()).int()
        wrong = given * _overflown(picture)
        pixels = ((picture.float() + 1) * 127.5).nan_to_num().clamp(0, 255).to(torch.uint8)
        read = read_back(pixels.permute(1, 2, 0).contiguous())
        return Arriving(self.name, wrong, read.numpy, self._in_fp32(self.decode_later, latents))

    def _in_fp32(self, make: Callable[..., _T], *given: Any) -> Callable[[], _T] | None:
        """Return what makes it again in fp32; None where that is the precision already."""
        if self.module.dtype == torch.float32:
            return None

        def again() -> _T:
            self.module.to(torch.float32)
            return make(*given)

        return again

    def encode(self, image: Pixels, noise: Tensor | None = None) -> Tensor:
        """Encode RGB pixels (H, W, 3) to latents (C, H // 8, W // 8), fp32 on the device.

        The posterior is sampled with ``noise``, standard normal in the latents' shape on any
        device, as A1111 does; without it, it is the posterior's mean.
        """
        return self.encode_later(image, noise).result()

    @torch.inference_mode()
    def encode_later(self, image: Pixels, noise: Tensor | None = None) -> Arriving[Tensor]:
        """Begin to :meth:`encode`; does not wait for a graphics card to do it."""
        device = self.module.device
        picture = upload(torch.from_numpy(np.ascontiguousarray(image)), device)
        picture = picture.permute(2, 0, 1)[None].float() / 255 * 2 - 1
        drawn = None if noise is None else upload(noise, device)
        latents = self._with_tiling(lambda: self._encode(picture, drawn), *image.shape[:2])[0]
        again = self._in_fp32(self.encode_later, image, noise)
        return Arriving(self.name, _overflown(latents).int(), lambda: latents, again)

    def _encode(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        if self.module.use_tiling:
            # A last tile of less than a latent has none; untiled, A1111 lets such an edge count.
            height, width = (side // FACTOR * FACTOR for side in pictures.shape[-2:])
            pictures = pictures[..., :height, :width]
        posterior = self.module.encode(pictures.to(self.module.dtype)).latent_dist
        drawn = posterior.mean if noise is None else posterior.mean + posterior.std * noise
        latents: Tensor = (drawn.float() - self.shift_factor) * self.scaling_factor
        return latents

    def _with_tiling(self, work: Callable[[], Tensor], height: int, width: int) -> Tensor:
        """Run ``work``, tiled if the picture is large or did not fit in memory."""
        size = (height, width)
        self._set_tile(self._tiles.get(size, TILE if height * width > TILING_ABOVE else 0))
        try:
            with memory_errors():
                return work()
        except torch.OutOfMemoryError:
            pass
        # Outside of the except block the failed attempt's tensors are freed.
        self._free()
        try:
            with memory_errors():
                return work()
        except torch.OutOfMemoryError:
            smaller = next((tile for tile in SMALL_TILES if tile < max(size)), None)
            if self._strict or smaller is None or size in self._tiles:
                raise
        log.warning(
            "the VAE %r: no memory for %d×%d, from now on in tiles of %d",
            *(self.name, width, height, smaller),
        )
        self._tiles[size] = smaller
        self._set_tile(smaller)
        return work()

    def _set_tile(self, tile: int) -> None:
        """Set the tiles' side in pixels; 0 turns tiling off."""
        self.module.use_tiling = tile > 0
        self.module.tile_sample_min_size = tile
        self.module.tile_latent_min_size = tile // FACTOR

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
        latents = self._encode(pictures)
        if _overflown(latents[0]) and self.module.dtype != torch.float32:
            self.module.to(torch.float32)
            latents = self._encode(pictures)
        latents = latents.permute(0, 2, 3, 1).reshape(-1, self.channels)
        colours = avg_pool2d(pictures, FACTOR).permute(0, 2, 3, 1).reshape(-1, 3)
        known = np.concatenate([latents.cpu().numpy(), np.ones((len(latents), 1))], axis=1)
        fitted = np.linalg.lstsq(np.nan_to_num(known), colours.cpu().numpy(), rcond=None)[0]
        to_rgb: NDArray[np.float32] = fitted.astype(np.float32)
        return to_rgb


def _overflown(made: Tensor) -> Tensor:
    """Return whether a channel of ``made`` (C, h, w) has nothing finite; () on its device."""
    return ~made.isfinite().flatten(1).any(1).all()


def _sample_image() -> Tensor:
    """Make a picture (1, 3, 64, 64) in −1…1: smooth gradients above, flat patches below."""
    generator = torch.Generator().manual_seed(0)
    soft, flat = torch.rand((2, 1, 3, 4, 4), generator=generator) * 2 - 1
    above = interpolate(soft[:, :, :2], (32, 64), mode="bicubic").clamp(-1, 1)
    return torch.cat([above, interpolate(flat[:, :, :2], (32, 64), mode="nearest")], dim=2)
