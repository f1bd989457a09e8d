"""What a network's file contains, from its header: layers, family, names, trigger words. No torch.

A network (LoRA and its kin) is a list of layers, each some small tensors under the layer's key:
``lora_unet_mid_block_attentions_0_proj_in.lora_down.weight``. Several tools write them, each with
its own words; :func:`split` brings those of a tensor to one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from core.errors import Refused
from core.families import Family
from core.models.weights.file_kinds import check_kind
from core.models.weights.safetensors_header import Header

KIND: Final = "LoRA"
# No useful network has more: a rank above a layer's width says less than the whole weight.
MAX_RANK: Final = 1024
# Bytes. A LoRA of rank 128 for SDXL in fp32 has 1.6 GB.
MAX_SIZE: Final = 2 * 2**30
MAX_TRIGGERS: Final = 20
# Of one prompt, and what multiplies one.
MAX_NETWORKS: Final = 32
MAX_MULTIPLIER: Final = 100


class NetworkUse(NamedTuple):
    """One network as a prompt uses it; a tuple of four is one as well.

    ``te`` and ``unet`` multiply its text encoder's and UNet's part. ``dyn`` keeps only the first
    ranks. ``blocks`` are further multipliers by block (:mod:`core.models.block_weights`).
    """

    path: Path
    te: float = 1.0
    unet: float = 1.0
    dyn: int | None = None
    blocks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What a header tells. ``family`` None: neither metadata nor shapes tell.

    ``hash`` is the metadata's, empty without one; ``alias`` is the name its training gave it.
    """

    family: Family | None
    alias: str = ""
    hash: str = ""
    triggers: tuple[str, ...] = ()


# The end of a tensor's name, after its layer's key and a dot → one word for what it is.
_PARTS: Final = {
    "lora_up.weight": "up",
    "lora_down.weight": "down",
    "lora_mid.weight": "mid",
    # PEFT and diffusers. Its DoRA calls the scale a magnitude.
    "lora_B.weight": "up",
    "lora_A.weight": "down",
    "lora_B.default.weight": "up",
    "lora_A.default.weight": "down",
    "lora_magnitude_vector": "dora_scale",
    "lora_magnitude_vector.weight": "dora_scale",
    "lora_magnitude_vector.default.weight": "dora_scale",
    # Early diffusers.
    "lora.up.weight": "up",
    "lora.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    # GLoRA.
    "a1.weight": "a1",
    "a2.weight": "a2",
    "b1.weight": "b1",
    "b2.weight": "b2",
} | {
    name: name
    for name in (
        *("alpha", "scale", "bias", "dora_scale"),
        *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
        *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
        *("diff", "diff_b", "weight", "on_input", "w_norm", "b_norm"),
        *("oft_blocks", "oft_diag", "rescale"),
    )
}
# "…attn1.processor.to_q_lora.down.weight": the layer's key and "_lora", then a part.
_OLD_PARTS: Final = {"up.weight": "up", "down.weight": "down"}
# Parts of a layer that belong to every kind.
_COMMON: Final = frozenset({"alpha", "scale", "bias", "dora_scale", "on_input"})
# The dimension of a tensor that is its rank.
_RANK_OF: Final = {"down": 0, "up": 1, "hada_w1_b": 0, "hada_w2_b": 0, "lokr_w2_b": 0, "a1": 0}


def split(tensor: str) -> tuple[str, str] | None:
    """Split a tensor's name into its layer's key and its part; None where it is no network's.

    ``("lora_te_text_model_encoder_layers_0_mlp_fc1", "down")``.
    """
    pieces = tensor.split(".")
    for count in (3, 2, 1):
        layer, end = ".".join(pieces[:-count]), ".".join(pieces[-count:])
        if not layer:
            continue
        if end in _PARTS:
            return layer, _PARTS[end]
        if end in _OLD_PARTS and layer.endswith("_lora"):
            return layer.replace(".processor.", ".").removesuffix("_lora"), _OLD_PARTS[end]
    return None


def layers(header: Header) -> dict[str, dict[str, str]]:
    """Return each layer's tensors: its key → part → the tensor's name in the file."""
    found: dict[str, dict[str, str]] = {}
    for tensor in header.tensors:
        if (place := split(tensor)) is not None:
            found.setdefault(place[0], {})[place[1]] = tensor
    return found


def describe_network(header: Header) -> NetworkFacts:
    """Return what a network's header tells. Raises :class:`Refused` for what is none.

    Its tensors' sizes are bounded here, before anything is allocated.
    """
    check_kind(header, KIND)
    _check_family(header)
    found = layers(header)
    if not any(parts.keys() - _COMMON for parts in found.values()):
        raise Refused(KIND, header.path.stem, "wrong_kind", "no LoRA: none of its parts is known")
    _check_sizes(header, found)
    metadata = header.metadata
    return NetworkFacts(
        _family(header, found),
        metadata.get("ss_output_name", "").strip(),
        _hash(metadata.get("sshs_model_hash", "")),
        _triggers(metadata),
    )


def _check_sizes(header: Header, found: Mapping[str, Mapping[str, str]]) -> None:
    name = header.path.stem
    size = sum(info.end - info.start for info in header.tensors.values())
    if size > MAX_SIZE:
        raise Refused(KIND, name, "too_large", f"{size / 2**30:.1f} GiB")
    for parts in found.values():
        for part, place in _RANK_OF.items():
            if part not in parts:
                continue
            shape = header.shape(parts[part])
            rank = shape[place] if len(shape) > place else 0
            if rank > MAX_RANK:
                raise Refused(KIND, name, "too_large", f"rank {rank}")
            if not rank:
                raise Refused(KIND, name, "no_rank")


# Parts of tensor names that only networks for other families have, searched in this order.
_OTHER_FAMILIES: Final = (
    (("lora_prior_", "clip_txt_pooled_mapper"), "Stable Cascade"),
    (("joint_transformer_blocks", "joint_blocks"), "Stable Diffusion 3"),
    (("single_transformer_blocks", "double_blocks", "single_blocks"), "Flux"),
    (("double_layers",), "AuraFlow"),
    (("adaln_single", "caption_projection"), "PixArt"),
    (("motion_modules.",), "AnimateDiff"),
    (("cross_attn_k", "cross_attn.k", ".ffn.0."), "Wan"),
    (("cap_embedder", "noise_refiner"), "Lumina"),
    (("transformer_blocks_0_img_mod", "transformer_blocks.0.img_mod"), "Qwen Image"),
    (("transformer.transformer_blocks.",), "another kind of model"),
)


def _check_family(header: Header) -> None:
    names = "\n".join(header.tensors)
    for marks, what in _OTHER_FAMILIES:
        if any(mark in names for mark in marks):
            raise Refused(KIND, header.path.stem, "family", f"for {what}")


# Cross-attention's width, by family; the text encoder has it too.
WIDTHS: Final[dict[int, Family]] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_VERSIONS: Final[tuple[tuple[str, Family], ...]] = (
    ("sdxl", "sdxl"),
    ("stable-diffusion-xl", "sdxl"),
    ("sd_v1", "sd1"),
    ("stable-diffusion-v1", "sd1"),
    ("sd_v2", "sd2"),
    ("stable-diffusion-v2", "sd2"),
)
_INPUT: Final = {"down": 1, "hada_w1_b": 1, "diff": 1, "a1": 1, "b1": 1}
# A second text encoder, or more than one transformer block in a row.
_ONLY_SDXL: Final = re.compile(r"^lora_te2_|^text_encoder_2\.|transformer_blocks[._][1-9]")
# The ends of keys of layers whose input is the text, or the text encoder's own width.
_CROSS_INPUTS: Final = tuple(f"attn2{dot}to_{part}" for dot in "._" for part in "kv")
_TEXT_INPUTS: Final = ("q_proj", "k_proj", "v_proj", "fc1")
_TEXT_WIDTHS: Final[dict[int, Family]] = {768: "sd1", 1024: "sd2"}


def _family(header: Header, found: Mapping[str, Mapping[str, str]]) -> Family | None:
    """The family of the checkpoints it fits: by its shapes, else by what it says of itself."""
    for key, parts in found.items():
        if _ONLY_SDXL.search(key):
            return "sdxl"
        # SDXL's first text encoder has SD 1's width, so only a key without a number tells.
        texts = _TEXT_WIDTHS if key.startswith("lora_te_") and key.endswith(_TEXT_INPUTS) else {}
        widths = WIDTHS if key.endswith(_CROSS_INPUTS) else texts
        for part, place in _INPUT.items():
            shape = header.shape(parts[part]) if widths and part in parts else ()
            if len(shape) > place and shape[place] in widths:
                return widths[shape[place]]
    return _stated_family(header.metadata)


def _stated_family(metadata: Mapping[str, str]) -> Family | None:
    stated = metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture", "")
    for start, family in _VERSIONS:
        if stated.lower().startswith(start):
            return family
    if "ss_v2" in metadata:
        return "sd2" if metadata["ss_v2"] == "True" else "sd1"
    return None


def _hash(stated: str) -> str:
    stated = stated.strip().lower().removeprefix("0x")
    return stated if re.fullmatch(r"[0-9a-f]{12,64}", stated) else ""


def _triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The words that it was trained with: stated ones, else those of the captions, often first."""
    stated = metadata.get("modelspec.trigger_phrase", "")
    if stated.strip():
        return tuple(filter(None, map(str.strip, stated.split(","))))[:MAX_TRIGGERS]
    try:
        counts = Counter(dict(_counted(json.loads(metadata.get("ss_tag_frequency", "{}")))))
    except (ValueError, RecursionError):
        return ()
    return tuple(tag for tag, _ in counts.most_common(MAX_TRIGGERS))


def _counted(frequency: Any) -> Iterator[tuple[str, int]]:
    """Yield each tag with its count, of ``{folder: {tag: count}}``, written by anybody."""
    total: Counter[str] = Counter()
    for tags in frequency.values() if isinstance(frequency, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int) and tag.strip():
                total[tag.strip()] += count
    yield from total.items()
