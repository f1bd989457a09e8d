"""Clean a prompt's text for CLIP's tokenizer: broken Unicode repaired, HTML entities unescaped.

It is apart from the encoder, so that a search for words sees what the encoder sees.
"""

from __future__ import annotations

import html

import ftfy


def clean(text: str, *, open_clip: bool = False) -> str:
    """Clean ``text`` as A1111's tokenizers do first; transformers 5 no longer does.

    With ``open_clip`` HTML entities are unescaped twice more, as OpenCLIP's own tokenizer does.
    """
    # ftfy is slow, and changes nothing in plain ASCII on one line without entities.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text
    text = ftfy.fix_text(text)
    return html.unescape(html.unescape(text)) if open_clip else text
