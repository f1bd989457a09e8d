"""Infotext, the parameters in an image file: a request written as A1111 does, and read back.

Ordinary prompts come out byte for byte as A1111 1.10 writes them; what its plain layout cannot
carry (a prompt that itself says "Negative prompt:" …) travels along as a quoted exact copy.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final, NamedTuple

from core.effects import has_effect, passes
from core.options import OPTIONS, Option
from core.pictures.pasted import tidy
from core.prompt.parser import BREAK, parse_weights
from core.request import Enlarge, GenerationRequest

VERSION: Final = f"Penultimate {metadata.version('penultimate')}"

NEGATIVE: Final = "Negative prompt:"

# Not A1111's: the prompts as JSON, only where the plain lines would be read differently.
EXACT: Final = {"Prompt": "Exact prompt", "Negative prompt": "Exact negative prompt"}

# What A1111 1.10 assumes where a text has no such pair, in its own types.
ASSUMED: Final[dict[str, Any]] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}

_ALWAYS: Final = sorted(
    (option for option in OPTIONS.values() if option.rank), key=lambda option: option.rank
)
_VARIATION: Final = (OPTIONS["variation_seed"], OPTIONS["variation_strength"])
# Written apart: with a file's hash, as a size, for img2img or the second pass.
_APART: Final = {"model", "vae", "denoising_strength"}
_DIFFERING: Final = [
    option
    for option in OPTIONS.values()
    if option.infotext
    and option.name not in _APART
    and not option.infotext.endswith(("-1", "-2"))
    and option not in (*_ALWAYS, *_VARIATION)
]
# A1111 writes those of its page before the second pass's, and the samplers' after them.
_LAST: Final = _DIFFERING.index(OPTIONS["noise_source"]) + 1
# A1111 looks for a VAE by its file's name; the bot loads only the first kind.
FILE_ENDINGS: Final = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_SIZE: Final = re.compile(r"(\d+)x(\d+)")
_QUOTED: Final = re.compile(r'"(?:\\.|[^\\"])+"')
# Up to 1.5 A1111 counted the steps of [from:to:when] otherwise.
_OLD_TIMELINES: Final = re.compile(r"v?(0|1\.[0-5])\.\d")
_STEPS: Final = re.compile(r"Steps:\s*\d+\s*,")
_NEEDS_QUOTES: Final = re.compile(r'[,:\n]|^["\s]|\s$|^\d+x\d+$')
# Not every file format can hold control characters, but tab and newline, or lone surrogates.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def format(
    request: GenerationRequest,
    *,
    index: int = 0,
    model_hash: str = "",
    vae: str = "",
    vae_hash: str = "",
    extra: Mapping[str, object] | None = None,
    version: str = VERSION,
) -> str:
    """Write the infotext of image ``index`` of a request.

    ``vae`` and ``vae_hash`` belong to the external VAE really used, if one was; hashes are the
    first ten digits of the file's SHA-256. ``extra`` pairs stand before those of the samplers'
    options; a (width, height) among them is written ``512x768``. An option without an effect is
    left out, as A1111 does.
    """
    request = request.alone(index)
    pairs = {option.infotext: _value(request, option) for option in _ALWAYS}
    file = vae + FILE_ENDINGS[0] if vae and not vae.endswith(FILE_ENDINGS) else vae
    files = {"Model hash": model_hash, "Model": request.model, "VAE hash": vae_hash, "VAE": file}
    pairs |= {key: value for key, value in files.items() if value}
    if request.variation_strength > 0:
        pairs |= {option.infotext: _value(request, option) for option in _VARIATION}
    if request.seed_resize_width and request.seed_resize_height:
        pairs["Seed resize from"] = request.seed_resize_width, request.seed_resize_height
    if request.hires is not None:
        pairs["Denoising strength"] = _number(request.hires.denoising_strength)
    elif request.init_image is not None:
        pairs["Denoising strength"] = _number(request.denoising_strength)
    pairs |= _differing(request, _DIFFERING[:_LAST]) | _hires(request) | dict(extra or {})
    pairs |= _differing(request, _DIFFERING[_LAST:]) | enlarging(request.enlarge)
    pairs["Version"] = version
    return compose(request.prompt, request.negative_prompt, pairs)


def enlarging(enlarge: Enlarge | None) -> dict[str, object]:
    """Write upscaling without redrawing as A1111's page Extras does."""
    if enlarge is None:
        return {}
    scale = _number(float(enlarge.scale))
    return {"Postprocess upscale by": scale, "Postprocess upscaler": enlarge.upscaler}


def added(text: str, pairs: Mapping[str, object], version: str = VERSION) -> str:
    """Add pairs to a text of parameters, which stays as it is; also to one that has none."""
    if looks_like_infotext(text):
        return f"{text.rstrip()}, {line(pairs)}"
    return compose(text, "", {**pairs, "Version": version})


def _differing(request: GenerationRequest, options: Iterable[Option]) -> dict[str, object]:
    """Collect what differs from what a text without it means; Beta's numbers in any case."""
    return {
        option.infotext: _value(request, option)
        for option in options
        if (getattr(request, option.name) != option.unsaid or option.name.startswith("beta_"))
        and has_effect(option.name, request)
    }


def _value(request: GenerationRequest, option: Option) -> object:
    match option.name:
        case "size":
            return request.width, request.height
        case "schedule_type":
            return passes(request)[0][1]
        case name:
            return _number(getattr(request, name))


def _number(value: object) -> object:
    """Write a whole number as A1111's page does, ``7``; anything else stays."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else value


def _hires(request: GenerationRequest) -> dict[str, object]:
    hires = request.hires
    if hires is None:
        return {}
    pairs: dict[str, object] = {}
    (_, own), (sampler, kind) = passes(request)
    if sampler != request.sampler:
        pairs["Hires sampler"] = sampler
    if kind != own:
        pairs["Hires schedule type"] = kind
    if hires.prompt not in ("", request.prompt):
        pairs["Hires prompt"] = hires.prompt
    if hires.negative_prompt not in ("", request.negative_prompt):
        pairs["Hires negative prompt"] = hires.negative_prompt
    if hires.cfg_scale not in (0, request.cfg_scale):
        pairs["Hires CFG Scale"] = _number(hires.cfg_scale)
    if hires.resize_width or hires.resize_height:
        pairs["Hires resize"] = hires.resize_width, hires.resize_height
    else:
        pairs["Hires upscale"] = _number(float(hires.scale))
    if hires.steps:
        pairs["Hires steps"] = hires.steps
    pairs["Hires upscaler"] = hires.upscaler
    if request.init_image is not None:
        # A1111 has no second pass after img2img: its one key is the second pass's strength.
        pairs["Init denoising strength"] = _number(request.denoising_strength)
    return pairs


def compose(prompt: str, negative: str, pairs: Mapping[str, object]) -> str:
    """Write prompts and parameters so that :func:`parse` reads the same strings."""
    last = line(pairs)
    text = _lay_out(prompt, negative, last)
    read = _split(text)
    exact = {
        EXACT[key]: wanted
        for key, wanted, plain in (
            ("Prompt", prompt, read.prompt),
            ("Negative prompt", negative, read.negative),
        )
        if wanted != plain
    }
    return _lay_out(prompt, negative, f"{last}, {line(exact)}") if exact else text


def _lay_out(prompt: str, negative: str, line: str) -> str:
    shown = f"{prompt}\n{NEGATIVE} {negative}" if negative else prompt
    return f"{_CONTROL.sub(' ', shown)}\n{line}".strip()


def line(pairs: Mapping[str, object]) -> str:
    """Write parameters as the last line of a text."""
    return ", ".join(
        f"{key}: {value[0]}x{value[1]}" if isinstance(value, tuple) else f"{key}: {quote(value)}"
        for key, value in pairs.items()
    )


def quote(value: object) -> str:
    """Write a parameter's value, in JSON's quotes where it would be misread without."""
    text = str(value)
    if not _NEEDS_QUOTES.search(text) and not _CONTROL.search(text):
        return text
    return json.dumps(text, ensure_ascii=bool(_CONTROL.search(text)))


def unquote(text: str) -> str:
    """Undo :func:`quote`; broken quotes are left as they are."""
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def parse(text: str) -> dict[str, Any]:
    """Read infotext as A1111's names and values: ``Prompt``, ``Negative prompt``, ``Steps`` ….

    What the text has is a ``str``; what A1111 assumes where it has none (:data:`ASSUMED`)
    has A1111's types. ``Size: 512x768`` is ``Size-1`` and ``Size-2``. Any text at all is read,
    in time linear in its length; one without parameters is all prompt. A text flattened to one
    line, as chat clients paste it, is read too.
    """
    prompt, negative, pairs = _split(text)
    values: dict[str, Any] = {}
    for pair in pairs:
        value = unquote(pair.raw)
        size = _SIZE.fullmatch(value)
        if size and value == pair.raw:
            values[f"{pair.key}-1"], values[f"{pair.key}-2"] = size.groups()
        else:
            values[pair.key] = value
    values["Prompt"] = values.pop(EXACT["Prompt"], prompt)
    values["Negative prompt"] = values.pop(EXACT["Negative prompt"], negative)
    _restore_first_pass(values)
    if "[" in values["Prompt"] and _OLD_TIMELINES.match(str(values.get("Version", ""))):
        values.setdefault("Old prompt editing timelines", True)
    if _has_weights(values["Prompt"]) or _has_weights(values["Negative prompt"]):
        values.setdefault("Emphasis", "Original")
    return values | {key: value for key, value in ASSUMED.items() if key not in values}


def read_line(text: str) -> dict[str, str]:
    """Read parameters as :func:`line` writes them, by A1111's keys; what is no pair is skipped."""
    return {pair.key: unquote(pair.raw).strip() for pair in _pairs(text)}


def looks_like_infotext(text: str) -> bool:
    """Whether a text has generation parameters, and is not just a prompt."""
    keys = {pair.key for pair in _split(text).pairs}
    return len(keys & {"Steps", "Sampler", "CFG scale", "Seed", "Size"}) >= 2


class _Pair(NamedTuple):
    key: str
    raw: str
    start: int
    end: int


class _Read(NamedTuple):
    prompt: str
    negative: str
    pairs: list[_Pair]


def _split(text: str) -> _Read:
    """Split off the prompt, the negative prompt, and a last line of at least three pairs."""
    text = tidy(text)
    *lines, last = (text if "\n" in text else _unflatten(text)).split("\n")
    pairs = list(_pairs(last))
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            part, line = negative, line.removeprefix(NEGATIVE).strip()
        if part or line:
            part.append(line)
    return _Read("\n".join(prompt), "\n".join(negative), pairs)


def _pairs(line: str, at: int = 0) -> Iterator[_Pair]:
    """Yield the ``key: value`` pairs of a line from ``at`` on, and skip what is between them.

    No regular expression: A1111's takes quadratic time on a long run of letters.
    """
    while (colon := line.find(":", at)) >= 0:
        start = colon
        while start > at and (line[start - 1].isalnum() or line[start - 1] in "_ -/"):
            start -= 1
        key = line[start:colon].lstrip(" -/")
        start, at = colon - len(key), colon + 1
        if len(key) < 2:
            continue
        while at < len(line) and line[at].isspace():
            at += 1
        quoted = _QUOTED.match(line, at)
        if quoted and line[quoted.end() : quoted.end() + 1] in ("", ","):
            end = quoted.end()
        else:
            comma = line.find(",", at)
            end = comma if comma >= 0 else len(line)
        yield _Pair(key.rstrip(), line[at:end], start, end)
        at = end + 1


def _unflatten(text: str) -> str:
    """Restore the newlines of a text that was pasted as one line."""
    starts = [match.start() for match in _STEPS.finditer(text)]
    if not starts:
        return text
    # A prompt may itself contain "Steps: 3, …": the parameters are those that are only pairs.
    start = next((start for start in starts if _is_clean(text, start)), starts[-1])
    if len(list(_pairs(text, start))) < 3:
        return text
    return f"{text[:start].replace(NEGATIVE, chr(10) + NEGATIVE)}\n{text[start:]}"


def _is_clean(text: str, start: int) -> bool:
    """Whether everything from ``start`` on is pairs, each key once, without a stray colon."""
    seen: set[str] = set()
    at = start
    for pair in _pairs(text, start):
        stray = text[at : pair.start].strip(" ") or (":" in pair.raw and pair.raw[0] != '"')
        if stray or pair.key in seen:
            return False
        seen.add(pair.key)
        at = pair.end + 1
    return len(seen) >= 3 and at >= len(text)


def _restore_first_pass(values: dict[str, Any]) -> None:
    """Convert old hires fix texts, which give the final size as ``Size``."""
    first = _size(values, "First pass size")
    final = _size(values, "Size") or (512, 512)
    if first is None:
        return
    if 0 in first and 0 not in final:
        # 0x0 meant the area of 512×512 in the final shape, in multiples of 64.
        scale = math.sqrt(512 * 512 / (final[0] * final[1]))
        first = math.ceil(scale * final[0] / 64) * 64, math.ceil(scale * final[1] / 64) * 64
    values["Size-1"], values["Size-2"] = first
    values["Hires resize-1"], values["Hires resize-2"] = final


def _has_weights(prompt: str) -> bool:
    return any(segment[1] != 1 and segment != BREAK for segment in parse_weights(prompt))


def _size(values: dict[str, Any], key: str) -> tuple[int, int] | None:
    try:
        width, height = int(values[f"{key}-1"]), int(values[f"{key}-2"])
    except (KeyError, ValueError):
        return None
    return (width, height) if max(width, height) < 10**6 else None
