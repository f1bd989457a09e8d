"""What kind of file one ``.safetensors`` is, to name one in the wrong folder. No torch."""

from __future__ import annotations

from typing import Final

from core.errors import Refused
from core.models.weights.safetensors_header import Header

# Parts of tensor names that only one kind of file has, searched in this order.
_MARKS: Final = (
    (
        ("control_model.", "controlnet_cond_embedding.", "input_hint_block.", "lllite_"),
        "ControlNet",
    ),
    (("image_proj.", "ip_adapter."), "IP-Adapter"),
    (("lora_unet_", "lora_te", "lora_up.", "lora_down.", ".lora_A.", ".lora_B."), "LoRA"),
    (("lora.up.", "lora.down.", "lora_linear_layer.", "lycoris_", "oft_unet_"), "LoRA"),
    (("hada_w1", "lokr_w1", "oft_blocks", "oft_diag"), "LoRA"),
    (("model.diffusion_model.", "cond_stage_model.", "conditioner.embedders."), "model"),
    (("decoder.conv_in.", "first_stage_model."), "VAE"),
    ((".rdb1.", ".RDB1.", "model.1.sub.", "conv_after_body.", "conv_before_upsample."), "upscaler"),
    ((".trans_block.msa.",), "upscaler"),
)
_EMBEDDING: Final = ("emb_params", "clip_l", "clip_g", "string_to_param")
# The setting that names a kind's folder, and what to call such a file.
_FOLDERS: Final = {
    "model": ("MODELS_DIR", "a checkpoint"),
    "VAE": ("VAES_DIR", "a VAE"),
    "LoRA": ("LORAS_DIR", "a LoRA"),
    "embedding": ("EMBEDDINGS_DIR", "an embedding"),
    "upscaler": ("UPSCALERS_DIR", "an upscaler"),
}


def kind_of(header: Header) -> str | None:
    """Return ``model``, ``VAE``, ``LoRA``, ``embedding``, ``upscaler`` or another kind's name.

    None: nothing tells.
    """
    names = "\n".join(header.tensors)
    if names and all(name.startswith(_EMBEDDING) for name in header.tensors):
        return "embedding"
    for marks, kind in _MARKS:
        if any(mark in names for mark in marks):
            return kind
    return None


def check_kind(header: Header, kind: str) -> None:
    """Raise :class:`Refused`, with what to do, for a file of another kind than ``kind``."""
    found = kind_of(header)
    if found is None or found == kind:
        return
    if found in _FOLDERS:
        folder, what = _FOLDERS[found]
        raise Refused(kind, header.path.stem, "wrong_kind", f"{what}: move it to {folder}")
    raise Refused(kind, header.path.stem, "family", f"of the kind {found}")
