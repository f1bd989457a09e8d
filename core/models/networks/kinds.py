"""The kinds of network layer: how its tensors change a weight.

Formulas and scales are A1111 1.10's, except where noted. ``parts`` are a layer's tensors by the
words of :mod:`core.models.weights.network_file`; everything is computed in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

LayerParts = Mapping[str, Tensor]
# Parts that are one number, which is read: they stay on the CPU.
VALUES: Final = ("alpha", "scale", "on_input")
# What is raised where the shapes do not fit: too few dimensions, a rank of 0, torch's own.
MISFITS: Final = (IndexError, ZeroDivisionError, ValueError, RuntimeError)


def is_low_rank(parts: LayerParts) -> bool:
    """Whether the layer is up·down and nothing else: it can be added to single rows of a call."""
    return {"up", "down"} <= parts.keys() <= {"up", "down", "mid", "alpha", "scale"}


def factors(parts: LayerParts, dyn: int | None = None) -> tuple[Tensor, Tensor]:
    """Return ``up`` (out, rank) and ``down`` (rank, in, …) of a LoRA or LoCon, unscaled.

    ``down`` has the kernel of a convolution; Tucker's ``mid`` is multiplied into it.
    """
    up, down = parts["up"].float().flatten(1), parts["down"].float()
    if "mid" in parts:
        mid = parts["mid"].float()
        return up, torch.einsum("nmkl,mj->njkl", mid, down.flatten(1))
    # A1111 cuts the ranks of layers without mid only.
    return (up, down) if dyn is None else (up[:, :dyn], down[:dyn])


def scale(parts: LayerParts) -> float:
    """Return what the change is multiplied by: ``scale``, else alpha ÷ rank, else 1."""
    if "scale" in parts:
        return float(parts["scale"])
    for part in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if part in parts:
            return float(parts["alpha"]) / parts[part].shape[0] if "alpha" in parts else 1.0
    # In full, norm, IA3 and GLoRA layers alpha has no meaning; in OFT it is a bound.
    return 1.0


def change(parts: LayerParts, weight: Tensor, dyn: int | None = None) -> Tensor | None:
    """Return what multiplier 1 adds to ``weight``, in its shape; None for an unknown kind.

    Raises one of :data:`MISFITS` where the shapes do not fit.
    """
    weight = weight.float()
    kind = next((make for needed, make in _KINDS if needed <= parts.keys()), None)
    if kind is None:
        return None
    delta = kind(parts, weight, dyn)
    if "bias" in parts:
        delta = delta.reshape(parts["bias"].shape) + parts["bias"].float()
    delta = _fitted(delta, weight) * scale(parts)
    return _decomposed(delta, weight, parts["dora_scale"]) if "dora_scale" in parts else delta


def bias_change(parts: LayerParts) -> Tensor | None:
    """Return what multiplier 1 adds to the bias, if the layer changes it."""
    found = parts.get("diff_b", parts.get("b_norm"))
    return None if found is None else found.float()


def _fitted(delta: Tensor, weight: Tensor) -> Tensor:
    if delta.numel() == weight.numel():
        return delta.reshape(weight.shape)
    if delta.ndim == weight.ndim == 4 and weight.shape[1] == 9 and delta.shape[1] == 4:
        # An inpainting model's first convolution also sees a mask and the masked image.
        padded = delta.new_zeros(weight.shape)
        padded[:, :4] = delta
        return padded
    raise ValueError(f"{tuple(delta.shape)} does not fit {tuple(weight.shape)}")


def _decomposed(delta: Tensor, weight: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA (Liu et al. 2024): the direction of the changed weight, at a trained magnitude.

    A magnitude (1, in) is one per input, as all tools agree; one per output, LyCORIS's since
    version 3 and PEFT's, is taken so, while A1111 divides it by the inputs' norms.
    """
    changed = weight + delta
    magnitude = magnitude.float()
    per_input = magnitude.ndim > 1 and magnitude.shape[0] == 1 and magnitude.shape[1] != 1
    if per_input and magnitude.numel() == weight.shape[1]:
        dims, shape = [dim for dim in range(weight.ndim) if dim != 1], [1, -1]
    else:
        dims, shape = list(range(1, weight.ndim)), [-1, 1]
    norm: Tensor = torch.linalg.vector_norm(changed, dim=dims, keepdim=True)
    magnitude = magnitude.reshape(shape + [1] * (weight.ndim - 2))
    directed: Tensor = changed * (magnitude / norm.clamp(min=torch.finfo(norm.dtype).tiny))
    return directed - weight


# One function a kind: (parts, weight in fp32, dyn) → the change, in any shape of as many numbers.


def _lora(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    up, down = factors(parts, dyn)
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _hadamard(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    """LoHa (Hyeon-Woo et al. 2022): the product, number by number, of two low-rank matrices."""
    one, two = (_hada_factor(parts, which) for which in ("1", "2"))
    return one * two


def _hada_factor(parts: LayerParts, which: str) -> Tensor:
    a, b = (parts[f"hada_w{which}_{side}"].float() for side in "ab")
    tucker = parts.get(f"hada_t{which}")
    return a @ b if tucker is None else _tucker(tucker.float(), a, b)


def _tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("ijkl,jr,ip->prkl", core, b, a)


def _kronecker(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    """LoKr: a Kronecker product, whose factors may be low-rank themselves."""
    one = _kron_factor(parts, "1")
    if "lokr_t2" in parts:
        a, b = (parts[f"lokr_w2_{side}"].float() for side in "ab")
        two = _tucker(parts["lokr_t2"].float(), a, b)
    else:
        two = _kron_factor(parts, "2")
    if two.ndim == 4:
        one = one[:, :, None, None]
    return torch.kron(one, two.contiguous())


def _kron_factor(parts: LayerParts, which: str) -> Tensor:
    if f"lokr_w{which}" in parts:
        return parts[f"lokr_w{which}"].float()
    return parts[f"lokr_w{which}_a"].float() @ parts[f"lokr_w{which}_b"].float()


def _ia3(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    """IA³ (Liu et al. 2022): each output's row, or each input's column, times a number."""
    dim = 1 if bool(parts["on_input"].reshape(-1)[0]) else 0
    shape = [-1 if place == dim else 1 for place in range(weight.ndim)]
    return weight * parts["weight"].float().reshape(shape)


def _full(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    return parts["diff"].float()


def _only_bias(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    return torch.zeros_like(weight)


def _norm(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    return parts["w_norm"].float()


def _glora(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    """GLoRA (Chavan et al. 2023): a low-rank change, and one that depends on the weight."""
    a1, a2, b1, b2 = (parts[name].float().flatten(1) for name in ("a1", "a2", "b1", "b2"))
    return b2 @ b1 + (weight.flatten(1) @ a2) @ a1


def _orthogonal(parts: LayerParts, weight: Tensor, dyn: int | None) -> Tensor:
    """OFT (Qiu et al. 2023) and BOFT (Liu et al. 2023): rotations of blocks of outputs."""
    out = weight.shape[0]
    if "oft_diag" in parts:
        rotation = parts["oft_diag"].float()
    else:
        rotation = _rotation(parts["oft_blocks"].float(), parts.get("alpha"), out)
    turned = weight.reshape(out, -1)
    if rotation.ndim == 4:
        for place, blocks in enumerate(rotation):
            turned = _butterfly(turned, blocks, 2**place * (blocks.shape[-1] // 2))
    else:
        count, size = rotation.shape[:2]
        turned = rotation.transpose(-1, -2) @ turned.reshape(count, size, -1)
    turned = turned.reshape(out, -1)
    if "rescale" in parts:
        turned = turned * parts["rescale"].float().reshape(-1, 1)
    return turned - weight.reshape(out, -1)


def _rotation(blocks: Tensor, alpha: Tensor | None, out: int) -> Tensor:
    """Cayley's transform of skew-symmetric blocks, whose norm ``alpha`` bounds."""
    skew = blocks - blocks.transpose(-1, -2)
    if alpha is not None and float(alpha) != 0:
        norm = torch.linalg.vector_norm(skew)
        skew = skew * ((norm.clamp(max=float(alpha) * out) + 1e-8) / (norm + 1e-8))
    eye = torch.eye(skew.shape[-1], device=skew.device)
    rotation: Tensor = (eye + skew) @ torch.linalg.inv(eye - skew)
    return rotation


def _butterfly(weight: Tensor, blocks: Tensor, half: int) -> Tensor:
    """Multiply blocks of rows that lie ``half`` apart, as in a step of the FFT."""
    count, size = blocks.shape[:2]
    rows = weight.reshape(-1, 2, half, weight.shape[1]).transpose(1, 2)
    turned = blocks @ rows.reshape(count, size, -1)
    turned = turned.reshape(-1, half, 2, weight.shape[1]).transpose(1, 2)
    return turned.reshape(weight.shape)


# In A1111's order: a layer with the tensors of two kinds is the first.
_KINDS: Final[tuple[tuple[set[str], Callable[..., Tensor]], ...]] = (
    ({"up", "down"}, _lora),
    ({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}, _hadamard),
    ({"weight", "on_input"}, _ia3),
    ({"lokr_w1", "lokr_w2"}, _kronecker),
    ({"lokr_w1", "lokr_w2_a", "lokr_w2_b"}, _kronecker),
    ({"lokr_w1_a", "lokr_w1_b", "lokr_w2"}, _kronecker),
    ({"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}, _kronecker),
    ({"diff"}, _full),
    ({"w_norm"}, _norm),
    ({"a1", "a2", "b1", "b2"}, _glora),
    ({"oft_blocks"}, _orthogonal),
    ({"oft_diag"}, _orthogonal),
    ({"diff_b"}, _only_bias),
)
