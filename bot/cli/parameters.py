"""``python run.py parameters FILE…``: what images and texts say, and what of it this bot uses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from bot.settings import Settings
from core.errors import UnreadablePicture
from core.models.catalogue import Catalogue, Model, Vae
from core.models.files_at_hand import files_at_hand
from core.models.weights.hashes import Hashes
from core.options import RANGES
from core.pictures import foreign
from core.pictures.at_hand import AtHand
from core.pictures.files import MAX_BYTES, is_picture, read_infotext
from core.pictures.infotext import looks_like_infotext, parse
from core.pictures.metadata import COMMENT
from core.pictures.reading import Reading, read
from core.request import Enlarge, HiresFix

_File = TypeVar("_File", Model, Vae)

NO_PARAMETERS: Final = "{file} has no generation parameters."
UNREADABLE: Final = "{file} cannot be read: {why}."
# The limits in the settings are for members; at the terminal only the options' ranges hold.
MAX_SIDE: Final = int(RANGES["width"].high)
FOR_MEMBERS: Final = (
    "hires fix makes {width}×{height} pixels; members may have {high} a side (MAX_SIZE), so it is "
    "left out for them"
)
REPEATED: Final = "nothing is left out: this bot can repeat the image"


def main(settings: Settings, files: Sequence[str], *, as_json: bool = False) -> int:
    """Print what each file says; return 0, or 1 where one has no parameters, or 2 where one cannot
    be read, each with a sentence."""
    catalogue = settings.catalogue()
    code = 0
    for file in files:
        try:
            text = text_in(_bytes(Path(file)))
        except (OSError, UnreadablePicture) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            print(UNREADABLE.format(file=file, why=why), file=sys.stderr)
            code = 2
            continue
        if text is None:
            print(NO_PARAMETERS.format(file=file), file=sys.stderr)
            code = max(code, 1)
            continue
        at_hand = _at_hand(text, catalogue, settings)
        reading = read(text, at_hand, max_side=MAX_SIDE)
        if as_json:
            ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
            said = {"file": file} | to_json(reading, settings.max_size)
            print(json.dumps(said, ensure_ascii=ascii_only), flush=True)
        else:
            print(
                "\n".join([file, *(f"  {line}" for line in _lines(reading, settings.max_size))]),
                flush=True,
            )
    return code


def text_in(data: bytes) -> str | None:
    """Return the parameters in an image, or in a text in UTF-8 or UTF-16, another program's JSON
    among them; None if it has none.

    Raises :class:`~core.errors.UnreadablePicture` for an image that is damaged or too large.
    """
    if is_picture(data):
        return read_infotext(data)
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadablePicture("kind") from None
    return text if looks_like_infotext(text) else foreign.to_infotext({COMMENT: text})


def to_json(reading: Reading, max_size: int) -> dict[str, Any]:
    """Convert a reading to JSON's types; a side over ``max_size`` pixels has a remark."""
    values = {
        name: asdict(value) if isinstance(value, HiresFix | Enlarge) else value
        for name, value in reading.values.items()
    }
    left_out = [
        {"key": each.key, "value": each.value, "why": str(each.why)} for each in reading.left_out
    ]
    remarks = [*map(str, reading.remarks), *_over(reading.values, max_size)]
    return {"values": values, "left_out": left_out, "remarks": remarks}


def _over(values: Mapping[str, Any], max_size: int) -> Iterator[str]:
    """Yield the remark on a second pass that is larger than members may have."""
    hires = values.get("hires")
    if isinstance(hires, HiresFix):
        width, height = hires.size(values.get("width", 0), values.get("height", 0)).picture
        if max(width, height) > max_size:
            yield FOR_MEMBERS.format(width=width, height=height, high=max_size)


def _bytes(path: Path) -> bytes:
    """Read a file, at most one byte more than is looked at. Raises :class:`OSError`."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _at_hand(text: str, catalogue: Catalogue, settings: Settings) -> AtHand:
    """The files at hand; those that the text names with a hash are hashed, if they were not yet."""
    parsed, hashes = parse(text), Hashes(settings.cache_dir)
    known = files_at_hand(catalogue)
    named = {
        found.name
        for key, files in (("Model", known.models), ("VAE", known.vaes))
        if f"{key} hash" in parsed and (found := files and files.find(str(parsed.get(key, ""))))
    }
    models = tuple(_hashed(model, named, hashes) for model in catalogue.models)
    vaes = tuple(_hashed(vae, named, hashes) for vae in catalogue.vaes)
    return files_at_hand(replace(catalogue, models=models, vaes=vaes)) if named else known


def _hashed(file: _File, named: set[str], hashes: Hashes) -> _File:
    if file.name not in named or file.digits or not file.path.is_file():
        return file
    return replace(file, digits=hashes.of(file.path))


def _lines(reading: Reading, max_size: int) -> Iterator[str]:
    said = to_json(reading, max_size)
    for name, value in said["values"].items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items() if each not in ("", 0))
        yield f"{name}: {' '.join(str(value).split())}"
    for each in said["left_out"]:
        yield f"left out: {each['key']} “{each['value'][:80]}”: {each['why']}"
    for remark in said["remarks"]:
        yield f"remark: {remark}"
    if not said["left_out"]:
        yield REPEATED
