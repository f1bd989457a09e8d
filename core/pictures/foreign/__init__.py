"""Parameters in a file's texts, whichever program wrote them, as infotext.

A1111's are passed on as they are. Of the other programs a reader each translates what A1111 has a
name for, and names the rest by the program's own keys, so that nothing is lost on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from core.pictures.foreign import comfyui, invokeai, novelai, others
from core.pictures.foreign.translated import OBJECT, Translated
from core.pictures.infotext import NEGATIVE, looks_like_infotext
from core.pictures.metadata import COMMENTS

_READERS: Final[tuple[Callable[[Mapping[str, Any]], Translated | None], ...]] = (
    *(others.swarm, others.fooocus, others.draw_things, novelai.read, invokeai.read),
    *(others.easy_diffusion, comfyui.read),
)
# What may hold a whole object of values, or A1111's text.
_CARRIERS: Final = ("parameters", *COMMENTS)
# A reader takes an unexpected type in a file's JSON for the one that its program writes.
_READ_ERRORS: Final = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def to_infotext(texts: Mapping[str, str], size: tuple[int, int] | None = None) -> str | None:
    """Return the parameters in an image's texts (by keyword) as infotext; None if it has none.

    ``size`` is the image's (width, height), which some NovelAI texts do not say.
    """
    for carrier in _CARRIERS:
        text = texts.get(carrier, "")
        if looks_like_infotext(text) or (carrier != "parameters" and f"\n{NEGATIVE}" in text):
            return text
    entries = _entries(texts)
    for read in _READERS:
        try:
            found = read(entries)
            if found is None:
                continue
            if found.program == novelai.PROGRAM and found.pairs.get("Size") is None:
                found.pairs["Size"] = size
            return found.text()
        except _READ_ERRORS:
            continue
    # Converters move the text to keywords of their own.
    for text in texts.values():
        if not text.lstrip().startswith(("{", "[", "<")) and looks_like_infotext(text):
            return text
    plain = texts.get("parameters", "")
    return plain if plain.strip("\0 \n") and not isinstance(_decoded(plain), Mapping) else None


def _entries(texts: Mapping[str, str]) -> dict[str, Any]:
    """All that the texts say, by key: objects decoded, those in carriers taken apart as well."""
    entries: dict[str, Any] = {}
    for key, text in texts.items():
        value = _decoded(text)
        if key in _CARRIERS and isinstance(value, Mapping):
            inner = {str(name): _decoded(each) for name, each in value.items()}
            entries = inner | _graph(inner) | entries | {OBJECT: inner}
        elif key not in COMMENTS:
            entries[key] = value
    return entries


def _graph(values: Mapping[str, Any]) -> dict[str, Any]:
    """ComfyUI's graph or workflow, where all of an object is one."""
    if any(isinstance(each, Mapping) and "class_type" in each for each in values.values()):
        return {"prompt": values}
    return {"workflow": values} if {"nodes", "links"} <= values.keys() else {}


def _decoded(text: object) -> Any:
    """The object that a text is in JSON, else the text."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _lenient(text)
    return value if isinstance(value, dict) else text


def _lenient(text: str) -> Any:
    # ComfyUI writes NaN where a node has not changed, which not every writer after it keeps valid.
    try:
        value = json.loads(text.replace(": NaN", ": null"), strict=False)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


__all__ = ["to_infotext"]
