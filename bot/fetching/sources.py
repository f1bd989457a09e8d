"""What the SOURCE of ``python run.py fetch`` means: a repository, a file, a version or a hash."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

EXAMPLES: Final = (
    "a Hugging Face repository (owner/name) or a file in one (owner/name/file.safetensors), a page "
    "of either site, or Civitai's version number, hash or AIR"
)


class NotFetched(Exception):
    """Why nothing was fetched; ``str()`` is a sentence without its full stop."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on Hugging Face; ``path`` is a file or folder in it, empty for all of it."""

    repository: str
    path: str = ""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class CivitaiSource:
    """A version on Civitai: by its own id, as the newest of a model, or by a file's hash."""

    version: str = ""
    model: str = ""
    hash: str = ""


_NAME: Final = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY: Final = re.compile(rf"({_NAME}/{_NAME})(?:@([\w.-]+))?(?:/(.+))?")
# "urn:air:sdxl:checkpoint:civitai:827184@2514310", of which the beginning may be left out.
_AIR: Final = re.compile(r"(?:urn:)?(?:air:)?(?:[\w-]+:[\w-]+:)?civitai:(\d+)(?:@(\d+))?(?:\.\w+)?")
_AIR_HUB: Final = re.compile(r"(?:(?:urn:)?(?:air:)?(?:[\w-]+:[\w-]+:)?huggingface:|hf:)(.+)")
# AutoV1 or CRC32, AutoV2, AutoV3, SHA-256. Eight digits without a letter are a version.
_HASH: Final = re.compile(r"(?=.*[a-f]|.{9})(?:[0-9a-f]{8}|[0-9a-f]{10}|[0-9a-f]{12}|[0-9a-f]{64})")
_CIVITAI: Final = re.compile(r"(?:www\.)?civitai\.(?:com|red|green)")


def read_source(text: str) -> HubSource | CivitaiSource:
    """Read what an owner typed. Raises :class:`NotFetched`."""
    text = text.strip()
    if re.match(r"https?://", text, re.IGNORECASE):
        return _page(text)
    if found := _AIR.fullmatch(text):
        return CivitaiSource(version=found[2] or "", model="" if found[2] else found[1])
    if _HASH.fullmatch(text.lower()):
        return CivitaiSource(hash=text.lower())
    if text.isdecimal() and text.isascii():
        return CivitaiSource(version=text)
    if found := _AIR_HUB.fullmatch(text):
        text = found[1]
    if found := _REPOSITORY.fullmatch(text):
        return HubSource(found[1], _path(found[3] or ""), found[2] or "main")
    raise NotFetched(f"{text!r} is not understood; give {EXAMPLES}")


def _page(address: str) -> HubSource | CivitaiSource:
    parts = urlsplit(address)
    host, steps = (parts.hostname or "").lower(), unquote(parts.path).strip("/").split("/")
    if _CIVITAI.fullmatch(host):
        match steps:
            case ["api", "download", "models", version, *_] if version.isdecimal():
                return CivitaiSource(version=version)
            case ["models", model, *_] if model.isdecimal():
                [version] = parse_qs(parts.query).get("modelVersionId", [""])[:1]
                return CivitaiSource(version=version) if version else CivitaiSource(model=model)
    if host in ("huggingface.co", "www.huggingface.co", "hf.co") and len(steps) >= 2:
        repository = "/".join(steps[:2])
        match steps[2:]:
            case []:
                return HubSource(repository)
            case ["resolve" | "blob" | "tree", revision, *path]:
                return HubSource(repository, _path("/".join(path)), revision)
    # Without its query: that may hold a key.
    raise NotFetched(f"{host}{parts.path} is not the page of a model; give {EXAMPLES}")


def _path(text: str) -> str:
    steps = [step for step in text.split("/") if step]
    if ".." in steps:
        raise NotFetched(f"{text!r} leads out of its repository")
    return "/".join(steps)
