"""Other programs' spellings of a word's weight, rewritten in A1111's: ``(word:1.1)``.

What is plain text there and means something in A1111 is escaped.
"""

from __future__ import annotations

import re
from typing import Final

# A weight step of NovelAI's { } and [ ], and of InvokeAI's + and -.
_NOVELAI: Final = 1.05
_INVOKE: Final = {"+": 1.1, "-": 0.9}

# As ComfyUI writes it, and as SwarmUI does.
_EMBEDDING: Final = re.compile(r"(?:\bembedding:|<embed(?:ding)?:)([^\s,():<>]+)>?")
_NAI_NUMBER: Final = re.compile(r"(-?\d+(?:\.\d+)?)::(.*?)(?:::|\Z)", re.DOTALL)
_INVOKE_SUFFIX: Final = re.compile(r"\++|-+(?![\w-])|\d+(?:\.\d+)?|\.\d+")
_INVOKE_WORD: Final = re.compile(r"[^\s,()\[\]]+")
# How deep brackets may stand in each other; deeper ones are plain text.
_DEEPEST: Final = 50


def embeddings(*texts: str) -> str:
    """List the embeddings that ComfyUI's prompts name, each once, with commas between them."""
    names = (_file(name) for text in texts for name in _EMBEDDING.findall(text))
    return ", ".join(dict.fromkeys(names))


def from_comfyui(text: str) -> str:
    """ComfyUI knows ``(word:1.1)`` alone; embeddings are ``embedding:name``."""
    text = _EMBEDDING.sub(lambda found: _file(found[1]), " ".join(text.split()))
    text = re.sub(r"\b(AND|BREAK)\b", lambda word: word[0].lower(), text)
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", text)


def _file(name: str) -> str:
    return re.sub(r"\.(safetensors|pt|bin)$", "", re.split(r"[/\\]", name)[-1])


def from_novelai(text: str) -> str:
    """NovelAI writes ``{word}``, ``[word]`` or ``1.3::word::``; round brackets are plain."""
    text = re.sub(r"(?<!\\)[()]", r"\\\g<0>", text)
    text = _NAI_NUMBER.sub(lambda found: f"({found[2].strip()}:{float(found[1]):g})", text)
    parts: list[str] = []
    opened: list[tuple[str, int]] = []
    closing = {"}": "{", "]": "["}
    for sign in text:
        if sign in "{[" and len(opened) < _DEEPEST:
            opened.append((sign, len(parts)))
            parts.append("")
        elif sign in closing and opened and opened[-1][0] == closing[sign]:
            weight = _NOVELAI if sign == "}" else 1 / _NOVELAI
            _, start = opened.pop()
            parts[start] = "("
            parts.append(f":{weight:.4g})")
        else:
            parts.append(sign)
    for sign, start in opened:
        parts[start] = sign
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", "".join(parts))


def from_invokeai(text: str) -> str:
    """InvokeAI writes ``word+``, ``(some words)1.3`` or ``(words)--``; bare brackets are plain."""
    text = _INVOKE_WORD.sub(_weighted, _grouped(text))
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", text)


def _grouped(text: str) -> str:
    """Rewrite the brackets, each with the weight that follows it."""
    parts: list[str] = []
    opened: list[int] = []
    at = 0
    while at < len(text):
        sign = text[at]
        at += 1
        if sign == "\\" and at < len(text):
            parts.append(sign + text[at])
            at += 1
        elif sign == "(" and len(opened) < _DEEPEST:
            opened.append(len(parts))
            parts.append("")
        elif sign == ")" and opened:
            start, weight = opened.pop(), _INVOKE_SUFFIX.match(text, at)
            if weight is not None:
                at = weight.end()
                parts[start] = "("
                parts.append(f":{_steps(weight[0])})")
        else:
            parts.append(f"\\{sign}" if sign in "()" else sign)
    for start in opened:
        parts[start] = "\\("
    return "".join(parts)


def _weighted(word: re.Match[str]) -> str:
    """Rewrite a word that ends in steps, as ``fox++``."""
    for sign in _INVOKE:
        plain = word[0].rstrip(sign)
        if plain and plain != word[0]:
            return f"({plain}:{_steps(word[0][len(plain) :])})"
    return word[0]


def _steps(suffix: str) -> str:
    """The weight of ``++``, ``-`` or ``1.3``."""
    step = _INVOKE.get(suffix[0])
    return f"{step ** len(suffix):.4g}" if step else f"{float(suffix):g}"
