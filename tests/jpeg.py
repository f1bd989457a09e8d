"""JPEGs with parameters inside, as A1111 writes them. The bot itself writes PNG and WebP only."""

from __future__ import annotations

import io

from PIL import Image


def write_jpeg(picture: Image.Image, text: str) -> bytes:
    """``picture`` with ``text`` as EXIF UserComment, of at most 64 KB."""
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + text.encode("utf-16-be")}
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()
