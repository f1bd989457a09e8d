"""What a device is good at: its precision, and how convolutions' weights lie in memory."""

from __future__ import annotations

from typing import Final

import torch

from core.errors import EngineStopped
from core.models.weights.ldm_keys import Config

_DTYPES: Final = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
# Cards of the Turing generation without tensor cores give NaN in half precision (A1111's
# --no-half, ComfyUI's should_use_fp16).
_NO_HALVES: Final = (
    *("GTX 1630", "GTX 1650", "GTX 1660", "T500", "T550", "T600", "T1000", "T1200", "T2000"),
    *("MX450", "MX550", "CMP 30HX"),
)


def find_device(name: str) -> torch.device:
    """Return the torch device of a setting, a card as the current one of this thread.

    Streams, events and graphs are made on the current one. Raises :class:`EngineStopped` if the
    device cannot be used.
    """
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else mps
    try:
        # Allocating resolves the device's index, and proves that the device is available.
        device = torch.empty(0, device=name).device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device
    except (RuntimeError, AssertionError) as error:
        detail = str(error).splitlines()[0]
        raise EngineStopped(f"the device {name!r} cannot be used ({detail})") from error


def unet_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the precision of the UNet and the text encoders; ``name`` is the setting.

    ``auto`` is A1111's: fp16, but fp32 on a CPU and on cards that are no good at halves.
    """
    if name != "auto":
        return _DTYPES[name]
    return torch.float32 if device.type == "cpu" or _no_halves(device) else torch.float16


def _no_halves(device: torch.device) -> bool:
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    # Before Pascal, cards only know single precision.
    old = torch.cuda.get_device_capability(device) < (5, 3)
    return old or any(name in torch.cuda.get_device_name(device) for name in _NO_HALVES)


def vae_dtype(unet: torch.dtype, device: torch.device, config: Config) -> torch.dtype:
    """Return a VAE's precision beside a UNet in ``unet``; SDXL's overflows in fp16.

    It takes bf16 where the card computes in it: older ones only emulate it, slower than fp32.
    """
    if unet == torch.float32 or device.type != "cuda":
        return torch.float32
    if not config.get("force_upcast", False):
        return torch.float16
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float32


def memory_format(device: torch.device, dtype: torch.dtype, component: str) -> torch.memory_format:
    """Return how a component's convolutions lie in memory.

    Tensor cores (Volta and later) want the channels last in half precision; without them, and on
    a CPU, that is slower.
    """
    convolves = component in ("unet", "vae") and dtype != torch.float32
    if device.type == "cuda" and convolves and torch.cuda.get_device_capability(device) >= (7, 0):
        return torch.channels_last
    return torch.contiguous_format
