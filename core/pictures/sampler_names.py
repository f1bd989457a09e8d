"""Samplers' and schedule types' names as other programs write them, and as A1111 once did.

k-diffusion's and ComfyUI's (``dpmpp_2m_sde_gpu``), diffusers' (``EulerDiscreteScheduler``),
InvokeAI's (``dpmpp_2m_k``), A1111's aliases (``k_euler_a``) and forks' (``DPM++ 2M Karras v2``).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from core.errors import UnknownName
from core.options import AUTOMATIC, SAMPLERS, SCHEDULE_TYPES
from core.request import split_sampler

_MAX_LENGTH: Final = 100


class Named(NamedTuple):
    """What a name means; ``exact`` is False where it is only the nearest there is."""

    sampler: str
    schedule_type: str
    exact: bool = True


def _key(name: str) -> str:
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    plain = name[:_MAX_LENGTH].casefold().replace("++", "pp")
    return re.findall(r"[^\W_]+", re.sub("discrete|multistep|scheduler", "", plain))


# Each name joined without its signs. Those of the second table step otherwise than A1111's.
_SAMPLERS: Final = {_key(name): name for name in SAMPLERS} | {
    "eulerancestral": "Euler a",
    "dpm2ancestral": "DPM2 a",
    "dpmpp2sancestral": "DPM++ 2S a",
    "dpmad": "DPM adaptive",
}
_NEAREST: Final = {
    "ddpm": "Euler a",
    "dpm2m": "DPM++ 2M",
    "dpmsolver": "DPM++ 2M",
    "dpmsolverpp": "DPM++ 2M",
    "dpmsolversinglestep": "DPM++ 2S a",
    "dpmsolversde": "DPM++ SDE",
    "dpmpp": "DPM++ 2M",
    "heunpp2": "Heun",
    "ipndm": "LMS",
    "kdpm2": "DPM2",
    "kdpm2ancestral": "DPM2 a",
    "pndm": "PLMS",
}
_SCHEDULES: Final = {_key(name): name for name in SCHEDULE_TYPES} | {
    "ddimuniform": "DDIM",
    "exp": "Exponential",
    "k": "Karras",
    "ka": "Karras",
}
_NEAREST_SCHEDULES: Final = {
    "ays": "Align Your Steps",
    "aysgits": "Align Your Steps",
    "beta57": "Beta",
    "turbo": "SGM Uniform",
}


def read_sampler(name: str) -> Named:
    """Read a sampler's name, with its schedule type where it has one, else Automatic.

    Raises :class:`UnknownName` where not even its beginning is a sampler's.
    """
    words = _words(name)
    if len(words) > 1 and words[0] in ("k", "sample"):
        words = words[1:]
    # diffusers' classes are one word, and not quite A1111's samplers.
    exact = "scheduler" not in name.casefold()
    for end in range(len(words), 0, -1):
        key, rest = "".join(words[:end]), words[end:]
        sampler = _SAMPLERS.get(key) or _NEAREST.get(key)
        if sampler is not None:
            kind, whole = _schedule_in(rest)
            return Named(sampler, kind, exact and whole and key in _SAMPLERS)
    raise UnknownName("sampler", name)


def sampler_of(name: str) -> tuple[str, str]:
    """Read a sampler and its schedule type as members pick them, else as other programs write
    exactly these. Raises :class:`UnknownName`.
    """
    try:
        return split_sampler(name)
    except UnknownName:
        named = read_sampler(name)
        if not named.exact:
            raise
        return named.sampler, named.schedule_type


def read_schedule(name: str) -> tuple[str, bool]:
    """Read a schedule type's name; the bool is False where it is only the nearest.

    Raises :class:`UnknownName` where it has no schedule type in it.
    """
    words = _words(name)
    kind, exact = _schedule_in(words)
    if kind == AUTOMATIC and not (words and exact):
        raise UnknownName("schedule type", name)
    return kind, exact


def _schedule_in(words: list[str]) -> tuple[str, bool]:
    """Find the longest schedule type among the words, and whether there is nothing else."""
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            key = "".join(words[start : start + length])
            if kind := _SCHEDULES.get(key) or _NEAREST_SCHEDULES.get(key):
                return kind, length == len(words) and key in _SCHEDULES
    return AUTOMATIC, not words
