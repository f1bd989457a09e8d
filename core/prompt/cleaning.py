"""A prompt's text as CLIP's tokenizer is given it: mangled Unicode mended, entities undone.

Apart from the encoder, so that whoever looks for words looks at what will be drawn.
"""

from __future__ import annotations

import html

import ftfy


def clean(text: str, *, open_clip: bool = False) -> str:
    """Mend ``text`` as A1111's tokenizers do first; transformers 5 no longer does.

    ``open_clip``: HTML entities are undone twice more, as OpenCLIP's own tokenizer does.
    """
    # What ftfy leaves alone, and it is slow: plain ASCII on one line, without entities.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text
    text = ftfy.fix_text(text)
    return html.unescape(html.unescape(text)) if open_clip else text
