"""The networks and embeddings that a text of parameters names, with their hashes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.infotext import parse

# A tag: its kind, its name, and what else it says. Bounded, so that looking takes linear time.
# Discord's own are none: <a:name:id> is an emoji, <t:seconds:R> a time.
TAG: Final = re.compile(
    r"<(?!a:\w+:\d+>|t:-?\d+(?::\w)?>)(\w{1,40}):([^<>:]{1,200})((?::[^<>]{0,500})?)>"
)
# The keys of the Additional Networks extension, before A1111 had tags.
_ADDITIONAL: Final = re.compile(r"(.*?)\s*\(([0-9a-f]{8,64})\)")
_FILE: Final = ("Module", "Model")
_MAX_ADDITIONAL: Final = 5

# Negative embeddings so common that their names are known; texts before 2023-07 name none.
_COMMON: Final = re.compile(
    r"(?<![\w-])(easynegative(?:v2)?|bad-artist(?:-anime)?|bad-hands-5|badhandsv\d|badhandv4"
    r"|bad_prompt(?:_version2|_v2)?|bad-image-v2-\d+|bad-picture-chill-75v|baddream(?:v1)?"
    r"|verybadimagenegative_v[\d.]+|ng_deepnegative_v1_75t|deepnegative(?:_v1_75t)?"
    r"|fastnegative(?:embedding|v2)|unrealisticdream|realisticvision-negative-embedding"
    r"|negative_hand(?:-neg)?|aids?\d{3}|cyberrealistic_negative[\w-]*|unaestheticxl[\w.-]*"
    r"|negativexl_d|ac_neg[12]|boring_e621[\w.]*)(?![\w-])",
    re.IGNORECASE,
)


def additional(parsed: Mapping[str, Any]) -> tuple[list[str], set[str]]:
    """Write the Additional Networks' keys as tags; the tags, and the keys they were read from."""
    if str(parsed.get("AddNet Enabled", "")) != "True":
        return [], set()
    tags, used = [], {"AddNet Enabled"}
    for number in range(1, _MAX_ADDITIONAL + 1):
        module, model = (
            str(parsed.get(f"AddNet {key} {number}", "")) for key in ("Module", "Model")
        )
        if model in ("", "None") or module not in ("LoRA", "LoCon", "LyCORIS"):
            continue
        weights = [str(parsed.get(f"AddNet Weight {side} {number}", "1")) for side in "BA"]
        name = found[1] if (found := _ADDITIONAL.fullmatch(model)) else model
        both = weights[0] if weights[0] == weights[1] else ":".join(weights)
        tags.append(f"<lora:{re.sub('[<>:]', '', name)}:{both}>")
        used |= {f"AddNet {key} {number}" for key in (*_FILE, "Weight A", "Weight B")}
    return tags, used


def hashes_in(parsed: Mapping[str, Any]) -> dict[str, str]:
    """All hashes of a text: ``model``, ``vae``, ``lora:name``, ``embed:name``."""
    found: dict[str, str] = {}
    bare = str(parsed.get("Hashes", ""))
    try:
        values = json.loads(bare) if bare.startswith("{") else {}
    except (ValueError, RecursionError):
        values = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        found[re.sub(r"^(?:lyco|LORA):", "lora:", str(key))] = str(value)
    for key, kind in (("Lora hashes", "lora"), ("TI hashes", "embed")):
        for pair in str(parsed.get(key, "")).split(","):
            name, _, digits = pair.rpartition(":")
            if name.strip():
                found[f"{kind}:{name.strip()}"] = digits.strip()
    for number in range(1, _MAX_ADDITIONAL + 1):
        if model := _ADDITIONAL.fullmatch(str(parsed.get(f"AddNet Model {number}", ""))):
            found[f"lora:{model[1]}"] = model[2]
    for key, kind in (("Model hash", "model"), ("VAE hash", "vae")):
        if parsed.get(key):
            found[kind] = str(parsed[key])
    return found


def used_embeddings(text: str) -> list[str]:
    """Name the embeddings that an image was made with, by what its text says."""
    found = hashes_in(parse(text))
    return [key.removeprefix("embed:") for key in found if key.startswith("embed:")]


def embedding_names(parsed: Mapping[str, Any]) -> list[str]:
    """The embeddings that a text names, or uses under a name that everybody knows."""
    names = [key.removeprefix("embed:") for key in hashes_in(parsed) if key.startswith("embed:")]
    used = str(parsed.get("Used embeddings", ""))
    names += [name.strip() for name in re.sub(r"\[\w*\]", "", used).split(",") if name.strip()]
    known = {name.casefold() for name in names}
    for key in ("Prompt", "Negative prompt"):
        for name in _COMMON.findall(str(parsed.get(key, ""))):
            if name.casefold() not in known:
                known.add(name.casefold())
                names.append(name)
    return names
