"""Another program's parameters on their way to infotext: what was taken, what is left to name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.pictures.infotext import compose

# The longest value that is written into a text; prompts may be longer.
MAX_VALUE: Final = 300

# The key of a whole object of values, among a file's entries.
OBJECT: Final = "\0object"

# ComfyUI's names; the others' are the same without their prefixes and suffixes.
SAMPLERS: Final = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "euler_a": "Euler a",
    "heun": "Heun",
    "lms": "LMS",
    "dpm_2": "DPM2",
    "dpm2": "DPM2",
    "kdpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "dpm2_a": "DPM2 a",
    "kdpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_2s_a": "DPM++ 2S a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "restart": "Restart",
    "ddim": "DDIM",
    "plms": "PLMS",
    "pndm": "PLMS",
    "unipc": "UniPC",
    "uni_pc": "UniPC",
    "lcm": "LCM",
}
SCHEDULES: Final = {
    "normal": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "ays": "Align Your Steps",
}


@dataclass(slots=True)
class Translated:
    """A picture's parameters under A1111's names; ``pairs`` without a value are left away."""

    program: str
    prompt: str
    negative: str
    pairs: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Write it as infotext, which names the program as its version."""
        # A1111's line begins with the steps, and is known by them.
        pairs = {"Steps": self.pairs.get("Steps"), **self.pairs}
        pairs = {_key(key): _value(value) for key, value in pairs.items()}
        pairs = {key: value for key, value in pairs.items() if key and value not in (None, "")}
        return compose(self.prompt, self.negative, {**pairs, "Version": self.program})


class ProgramValues:
    """A program's values by its own keys. It remembers which were taken, to name the others."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.taken: set[str] = set()

    def take(self, *keys: str) -> Any:
        """Return the value of the first of these keys that has one, else None."""
        self.taken |= set(keys)
        found = (self.values[key] for key in keys if self.values.get(key) not in (None, ""))
        return next(found, None)

    def text(self, *keys: str) -> str:
        """Return a value as a text, empty where there is none."""
        value = self.take(*keys)
        return "" if value is None else str(value)

    def number(self, *keys: str) -> int | float | str | None:
        """Return a number, or what stands in its place."""
        value = self.take(*keys)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        return value

    def rest(self, silent: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The values not taken, without those that switch something off or say nothing
        (``silent``) about the pixels."""
        return {
            key: value
            for key, value in self.values.items()
            if key not in self.taken and key not in silent and not is_off(value)
        }


def is_off(value: object) -> bool:
    """Whether a value says that something is not used."""
    off = value is None or value is False or value in ("", "None", "none", "False", "[]", "{}")
    return off or (isinstance(value, int | float | list | dict) and not value)


def sampler(name: object, schedule: object = "") -> tuple[str, str | None]:
    """Translate a sampler's name and its schedule's: (sampler, schedule type or None)."""
    kind = str(schedule or "").lower().strip()
    plain = re.sub(r"^(k|sample)_|_gpu$", "", str(name or "").lower().strip())
    if plain.endswith(("_k", "_karras")):
        plain, kind = re.sub(r"_k(arras)?$", "", plain), "karras"
    return SAMPLERS.get(plain, str(name or "")), SCHEDULES.get(kind, kind) or None


def stem(name: object) -> str | None:
    """Return a file's name as A1111 writes it: ``folder/model.safetensors`` → ``model``."""
    if not isinstance(name, str):
        return None
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin|sft)$", "", re.split(r"[/\\]", name)[-1])


def network(name: object, te: object, unet: object) -> str:
    """Write a LoRA's tag, of the strengths for the text encoder and the UNet."""
    plain = re.sub(r"[<>:,]", "", stem(name) or "")
    both = f"{number(te)}" if number(te) == number(unet) else f"{number(te)}:{number(unet)}"
    return f"<lora:{plain}:{both}>" if plain else ""


def number(value: object) -> str:
    """Write a strength; one that is no number counts as 1."""
    try:
        return f"{float(str(value)):g}"
    except ValueError:
        return "1"


def size(width: object, height: object) -> tuple[int, int] | None:
    """Return (width, height) in pixels where both are whole numbers."""
    try:
        return int(str(width)), int(str(height))
    except ValueError:
        return None


def short(value: object) -> str:
    """Write any value in few words: texts and numbers as they are, others as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _key(key: str) -> str:
    """Keep of a key what infotext can have in one."""
    return " ".join(re.sub(r"[^\w /-]", " ", key).strip(" -/").split())[:60]


def _value(value: object) -> object:
    if isinstance(value, tuple):
        return value if all(isinstance(each, int) for each in value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None if value is None else short(value)
