"""Texts of parameters as people paste and programs append them, put into A1111's own layout.

That is: the prompt, the negative prompt, and one last line of parameters. A text that has this
layout comes back as it is.
"""

from __future__ import annotations

import json
import re
from typing import Final

# What stands in a text without being a parameter: words around a code block, or below the line.
FURTHER: Final = "Further text"

_BLOCK: Final = re.compile(r"```(?:[\w+-]{1,20}\n)?(.*?)(?:```|\Z)", re.DOTALL)
_FIRST: Final = re.compile(r"Steps:\s*\d+\s*(?:,|$)")
_INSIDE: Final = re.compile(r"\s(?=Steps:[^\S\n]*\d+[^\S\n]*,)")
_CORE: Final = ("Sampler:", "CFG scale:", "Seed:", "Size:")
_PAIR: Final = re.compile(r"[A-Za-z][\w /-]{1,60}:(?:\s|$)")
# A quoted value, of which quotes are doubled or escaped.
_QUOTED: Final = re.compile(r'(?<=: )"(?:\\.|""|[^"\\])*+"(?=\s*(?:,|\n|$))', re.DOTALL)
# Values that some programs write as bare JSON.
_JSON: Final = re.compile(r"\b(?:Hashes|Civitai resources|Civitai metadata): (?=[\[{])")
_MAX_JSON: Final = 8
# Written by extensions, each on lines of its own, commas and all.
_TEMPLATES: Final = ("Template:", "Negative Template:")
# Written below them by A1111, when it has enlarged the image.
_AFTER: Final = "Postprocess "


def tidy(text: str) -> str:
    """Put a text of parameters into A1111's layout; any other text is only stripped."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\ufeff\0 \n\t")
    text = _unfenced(text)
    if "Steps:" not in text:
        return text
    if "\n" in text and not _starts(text):
        text = _unwrapped(text)
    lines, starts = text.split("\n"), _starts(text)
    if not starts:
        return text if len(lines) > 1 else _with_json(text)
    above, line = lines[: starts[-1]], "\n".join(lines[starts[-1] :])
    if "\n" in line and sum(key in line for key in _CORE) < 2:
        return text
    return "\n".join([*above, _one_line(_with_json(_QUOTED.sub(_as_json, line)))])


def _starts(text: str) -> list[int]:
    """Find the lines that parameters begin with."""
    lines = enumerate(text.split("\n"))
    return [number for number, line in lines if _FIRST.match(line.strip())]


def _unfenced(text: str) -> str:
    """Take a text out of the marks of a code block or a quotation."""
    if text.startswith(">"):
        quoted = [re.sub(r"^>(?:>>)?(?: |$)", "", line) for line in text.split("\n")]
        text = "\n".join(quoted).strip() if "Steps:" in text else text
    block = _BLOCK.search(text) if "```" in text else None
    if block is None:
        return text.strip("` ") if text[:1] == text[-1:] == "`" else text
    inside, outside = block[1], text[: block.start()] + " " + text[block.end() :]
    if "Steps:" not in inside:
        return text.strip("` \n") if "Steps:" in text else text
    further = " ".join(outside.replace("`", " ").split())
    return inside.strip("` \n") + (f"\n{FURTHER}: {json.dumps(further)}" if further else "")


def _unwrapped(text: str) -> str:
    """Give the parameters a line of their own where they follow the prompt on its line."""
    inside = list(_INSIDE.finditer(text))
    if not inside or sum(key in text[inside[-1].end() :] for key in _CORE) < 2:
        return text
    at = inside[-1]
    line = text[: at.start()].rpartition("\n")[2]
    if line.endswith(",") and _PAIR.match(line):
        # Other parameters stand before it.
        return text
    above = text[: at.start()].replace(" Negative prompt:", "\nNegative prompt:")
    return f"{above}\n{text[at.end() :]}".strip()


def _one_line(text: str) -> str:
    """Join the lines of parameters; what is none of them goes under a key of its own."""
    first, *lines = text.split("\n")
    pairs, further, template = [first.strip()], list[str](), ""
    templates: dict[str, list[str]] = {}
    for line in map(str.strip, lines):
        template = next((key for key in _TEMPLATES if line.startswith(key)), template)
        if template and not line.startswith(_AFTER):
            templates.setdefault(template, []).append(line.removeprefix(template).strip())
        elif _PAIR.match(line):
            pairs.append(line)
        elif line:
            further.append(line)
    pairs += [f"{key} {json.dumps(chr(10).join(parts))}" for key, parts in templates.items()]
    if further:
        pairs.append(f"{FURTHER}: {json.dumps(chr(10).join(further))}")
    return ", ".join([*(part.rstrip(",") for part in pairs[:-1]), pairs[-1]])


def _as_json(value: re.Match[str]) -> str:
    """Write a quoted value with JSON's escapes, where it has others or a newline."""
    text = value[0]
    try:
        json.loads(text)
        return text
    except ValueError:
        pass
    try:
        return json.dumps(json.loads(text, strict=False), ensure_ascii=False)
    except ValueError:
        return json.dumps(text[1:-1].replace('""', '"'), ensure_ascii=False)


def _with_json(line: str) -> str:
    """Put values of bare JSON into quotes."""
    at = 0
    for _ in range(_MAX_JSON):
        found = _JSON.search(line, at)
        if found is None:
            break
        at = found.end()
        try:
            _, end = json.JSONDecoder().raw_decode(line, at)
        except (ValueError, RecursionError):
            continue
        quoted = json.dumps(line[at:end], ensure_ascii=False)
        line = line[:at] + quoted + line[end:]
        at += len(quoted)
    return line
