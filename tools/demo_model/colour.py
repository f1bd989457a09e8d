"""The vivid look, and chroma: how far a colour is from gray in CIELAB."""

from __future__ import annotations

import torch

_XYZ = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = torch.tensor([0.9505, 1.0, 1.089])
_LUMA = (0.299, 0.587, 0.114)


def vivid(pictures: torch.Tensor, strength: float = 2.3) -> torch.Tensor:
    """Pictures (n, 3, h, w) in -1…1 with every colour pushed away from its own gray."""
    weights = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    luma = (pictures * weights).sum(1, keepdim=True)
    return (luma + strength * (pictures - luma)).clamp(-1, 1)


def mean_chroma(pictures: torch.Tensor) -> float:
    """Mean CIELAB chroma (D65) over all pixels of (n, 3, h, w) in -1…1."""
    rgb = (pictures.float().clamp(-1, 1) + 1) / 2
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,njhw->nihw", _XYZ, linear) / _WHITE.view(1, 3, 1, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    a = 500 * (f[:, 0] - f[:, 1])
    b = 200 * (f[:, 1] - f[:, 2])
    return float(torch.sqrt(a * a + b * b).mean())
