"""Loading one component, a UNet, a VAE or a text encoder, from a config and weight files.

The module is created on the meta device, then each of its tensors is read, converted and
assigned: loading takes one copy of the weights, and a missing tensor is known by name. Both
layouts use the same code, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from core.errors import Refused
from core.models.unet_upsampling import double_then_cut
from core.models.weights.ldm_keys import Config, KeyMap
from core.models.weights.safetensors_header import Header, read_header

# Copies a tensor to where it is kept, in a precision and a memory format.
Put = Callable[[Tensor, torch.dtype, torch.memory_format], Tensor]


class Tensors(Protocol):
    """Weights by the names that diffusers and transformers use."""

    def read(self, name: str) -> Tensor | None:
        """Return the tensor on the CPU, perhaps memory-mapped; None if there is none."""
        ...


def empty_module(component: str, config: Config) -> nn.Module:
    """Create the module ``unet``, ``vae`` or ``text_encoder…`` on the meta device."""
    with torch.device("meta"):
        if component == "unet":
            unet = _from_config(UNet2DConditionModel, config)
            double_then_cut(unet)
            return unet
        if component == "vae":
            return _from_config(AutoencoderKL, config)
        text_config = CLIPTextConfig.from_dict(dict(config))
        if component == "text_encoder_2":
            return CLIPTextModelWithProjection(text_config)
        return CLIPTextModel(text_config)


def _from_config(module_class: Any, config: Config) -> nn.Module:
    module: nn.Module = module_class.from_config(dict(config))
    return module


def load_component(
    component: str,
    config: Config,
    tensors: Tensors,
    device: torch.device,
    dtype: torch.dtype,
    kind: str,
    name: str,
    *,
    layout: torch.memory_format = torch.contiguous_format,
    put: Put | None = None,
) -> Any:
    """Load a module with its weights, in eval mode, on ``device`` in ``dtype``.

    ``layout`` is the format of its convolutions' weights. With ``put`` the weights are kept where
    that puts them, on the CPU. Raises :class:`Refused`, for the ``kind`` of file called ``name``,
    when the config is invalid or a tensor is missing, has the wrong shape or values that are no
    numbers.
    """
    try:
        module = empty_module(component, config)
    except Exception as error:
        # The config is untrusted: any exception is its fault, for nothing is allocated yet.
        raise Refused(kind, name, "unreadable", f"its {component} config is damaged") from error
    return load_module(
        module, component, tensors, device, dtype, kind, name, layout=layout, put=put
    )


def load_module(
    module: nn.Module,
    component: str,
    tensors: Tensors,
    device: torch.device,
    dtype: torch.dtype,
    kind: str,
    name: str,
    *,
    layout: torch.memory_format = torch.contiguous_format,
    put: Put | None = None,
) -> Any:
    """Give ``module`` its weights, as :func:`load_component` does."""
    state, missing = {}, []
    for key, wanted in module.state_dict().items():
        tensor = tensors.read(key)
        if tensor is None:
            missing.append(key)
        elif tensor.shape != wanted.shape:
            detail = f"{component} {key} is {tuple(tensor.shape)}, not {tuple(wanted.shape)}"
            raise Refused(kind, name, "unreadable", detail)
        else:
            # Not memory-mapped: the file may be replaced while the engine runs.
            kept = put(tensor, dtype, layout) if put else tensor.to(dtype, copy=True)
            if not _finite(kept):
                raise Refused(kind, name, "damaged", f"{component} {key}")
            state[key] = kept if put else _laid_out(kept.to(device), layout)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Refused(kind, name, "missing", f"{component} {missing[0]}{more}")
    module.load_state_dict(state, assign=True)
    _fill_buffers(module, device)
    return module.eval().requires_grad_(False)


def _finite(tensor: Tensor) -> bool:
    """Return whether no value is NaN or infinite: one would make every picture black.

    The least and the greatest are NaN where any value is. On one thread that takes 0.13 s for the
    860 million values of SD 1's UNet in fp16, an eighth of copying them; isfinite takes 4.6 s.
    """
    if tensor.ndim == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.numel() == 0 or bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def _laid_out(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor


def _fill_buffers(module: nn.Module, device: torch.device) -> None:
    # CLIP's position ids, the only buffers here, are not stored with the weights.
    for part in module.modules():
        ids = getattr(part, "position_ids", None)
        if isinstance(ids, Tensor) and ids.is_meta:
            part.position_ids = torch.arange(ids.shape[-1], device=device).expand(ids.shape)


# Attention names in VAE folders from before diffusers 0.18.
_OLD_ATTENTION: Final = {
    ".to_q.": ".query.",
    ".to_k.": ".key.",
    ".to_v.": ".value.",
    ".to_out.0.": ".proj_attn.",
}


class _Files:
    """Open ``.safetensors`` files, read as one. Raises :class:`Refused` on a read error."""

    def __init__(self, headers: Iterable[Header], kind: str, name: str) -> None:
        self._kind, self._name = kind, name
        self._file_of: dict[str, Any] = {}
        for header in headers:
            opened = self._checked(partial(safe_open, header.path, framework="pt"))
            self._file_of |= dict.fromkeys(header.tensors, opened)

    def read(self, key: str) -> Tensor | None:
        place = self._file_of.get(key)
        if place is None:
            return None
        tensor: Tensor = self._checked(lambda: place.get_tensor(key))
        return tensor

    def _checked(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (SafetensorError, OSError) as error:
            raise Refused(self._kind, self._name, "unreadable", str(error)) from error


class DiffusersTensors:
    """Weights stored under diffusers' and transformers' names, current or former."""

    def __init__(self, paths: Iterable[Path], kind: str, name: str) -> None:
        self._files = _Files((read_header(path, kind, name) for path in paths), kind, name)

    def read(self, name: str) -> Tensor | None:
        """Return the tensor of this name or of a former one; None if there is none."""
        tensor = self._files.read(name)
        # transformers 5.6 removed the prefix ``text_model.`` from CLIPTextModel.
        if tensor is None:
            tensor = self._files.read(f"text_model.{name}")
        if tensor is None:
            for new, old in _OLD_ATTENTION.items():
                if new in name:
                    tensor = self._files.read(name.replace(new, old))
        if tensor is not None and ".attentions." in name and name.startswith(("enc", "dec")):
            tensor = tensor.flatten(1) if tensor.ndim > 2 else tensor
        return tensor


class LdmTensors:
    """Weights stored under the original LDM names, after ``prefix``."""

    def __init__(
        self, header: Header, prefix: str, key_of: KeyMap, config: Config, name: str, kind: str
    ) -> None:
        self._files = _Files([header], kind, name)
        self._prefix, self._key_of, self._config = prefix, key_of, config

    def read(self, name: str) -> Tensor | None:
        """Return the tensor of this diffusers name in diffusers' shape; None if there is none."""
        piece = self._key_of(name, self._config)
        tensor = self._files.read(self._prefix + piece.key)
        if tensor is None:
            return None
        if piece.third is not None:
            tensor = tensor.chunk(3)[piece.third]
        if piece.pointwise:
            # Some files store a 1×1 convolution, others a linear layer.
            tensor = tensor.flatten(1)
        return tensor.T if piece.transposed else tensor
