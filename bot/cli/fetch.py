"""``python run.py fetch SOURCE``: download a model, check it, and put it where it belongs.

The only command that downloads anything, and only after a yes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
from tqdm import tqdm

from bot.fetching.civitai import civitai_offer
from bot.fetching.hub import hub_offer
from bot.fetching.offers import SUFFIX, Offer, one_line
from bot.fetching.placing import (
    PEEK,
    card_of,
    folder_for,
    header_size,
    kind_of_file,
    kind_of_start,
    write_card,
)
from bot.fetching.sources import CivitaiSource, HubSource, NotFetched, read_source
from bot.fetching.web import CIVITAI, HUB, TIMEOUT, PartFile, Site, Wait, Web
from bot.settings import Settings
from core.errors import PenultimateError
from core.models.weights import diffusers_folder
from core.models.weights.hashes import Hashes

GIB: Final = 2**30
# What stays free on the disk, in bytes.
SPARE: Final = GIB
# Kinds whose cards the bot reads.
WITH_CARDS: Final = ("model", "VAE")


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites with the owner's keys, and how to wait for them."""

    hub: Site = HUB
    civitai: Site = CIVITAI
    wait: Wait = asyncio.sleep


def main(settings: Settings, source: str, *, yes: bool, sites: Sites | None = None) -> int:
    """Fetch one source; return 0, 2 with a sentence for what cannot be fetched, 130 for Ctrl-C."""
    sites = sites or Sites()
    sites = replace(
        sites,
        hub=replace(sites.hub, key=settings.hf_token),
        civitai=replace(sites.civitai, key=settings.civitai_token),
    )
    try:
        _fetch(settings, read_source(source), yes, sites)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from there.", file=sys.stderr)
        return 130
    except (NotFetched, PenultimateError) as error:
        sentence = str(error)
        print(f"{sentence[:1].upper()}{sentence[1:]}.", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or "the disk"
        why = os.strerror(error.errno) if error.errno else str(error)
        print(f"{where} cannot be written: {why}. What is there so far stays.", file=sys.stderr)
        return 2
    return 0


def _fetch(settings: Settings, source: HubSource | CivitaiSource, yes: bool, sites: Sites) -> None:
    site = sites.hub if isinstance(source, HubSource) else sites.civitai
    offer, kind = asyncio.run(_look(source, site, sites.wait))
    target = folder_for(kind, settings) / (offer.name + SUFFIX * (not offer.is_folder))
    card = card_of(offer) if kind in WITH_CARDS else ""
    print(*_shown(offer, kind, target, card), sep="\n", flush=True)
    if _is_there(target, offer, settings):
        print(f"{target} is there already.")
        return
    part = target.with_name(f".{target.name}.part")
    _check_space(target.parent, offer, part)
    if not yes and not _agreed():
        raise NotFetched("nothing was fetched; answer y, or give --yes")
    asyncio.run(_download(offer, part, site, sites.wait))
    _place(offer, kind, part, target)
    if card and (written := write_card(target, card)):
        print(written)
    print(target)


@asynccontextmanager
async def _web(site: Site, wait: Wait) -> AsyncIterator[Web]:
    async with aiohttp.ClientSession(
        timeout=TIMEOUT,
        trust_env=True,
        # A compressed answer has another length than its file, and no beginning to go on from.
        headers={"Accept-Encoding": "identity", "User-Agent": "penultimate"},
    ) as session:
        yield Web(session, site, wait)


async def _look(source: HubSource | CivitaiSource, site: Site, wait: Wait) -> tuple[Offer, str]:
    """Return what a source offers, and its kind."""
    async with _web(site, wait) as web:
        try:
            if isinstance(source, HubSource):
                offer = await hub_offer(source, web)
            else:
                offer = await civitai_offer(source, web)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise NotFetched(f"{site.name} answered something that is not understood") from error
        return offer, offer.kind if offer.is_folder else await _kind(offer, web)


async def _kind(offer: Offer, web: Web) -> str:
    """Read the header of the only file, so that the wrong one is refused before it is fetched."""
    [file] = offer.files
    start = await web.beginning(file.url, offer.page, PEEK)
    if (size := header_size(start)) > len(start):
        start = await web.beginning(file.url, offer.page, size)
    return kind_of_start(start, offer.name, file.size)


def _shown(offer: Offer, kind: str, target: Path, card: str) -> Iterator[str]:
    yield one_line(offer.title)
    size = "unknown" if offer.size is None else f"{offer.size / GIB:.2f} GB"
    lines = {
        "page": offer.page,
        "kind": kind,
        "size": size if len(offer.files) == 1 else f"{size}, {len(offer.files)} files",
        "base model": offer.base_model,
        "licence": offer.licence or "not stated: look at the page",
        "trigger words": ", ".join(offer.triggers),
        "goes to": str(target),
    }
    for name, value in lines.items():
        if value:
            yield f"  {name}: {one_line(value)}"
    for line in card.splitlines():
        yield f"  card: {line}"


def _agreed() -> bool:
    try:
        return input("Fetch it? [y/N] ").strip().casefold() in ("y", "yes")
    except EOFError:
        return False


def _is_there(target: Path, offer: Offer, settings: Settings) -> bool:
    """Whether the file was fetched before. Raises :class:`NotFetched` for another of its name."""
    if not target.exists():
        return False
    if not offer.is_folder:
        [file] = offer.files
        digest = Hashes(settings.cache_dir).of(target, 64) if file.sha256 else ""
        if digest == file.sha256 and (digest or target.stat().st_size == file.size):
            return True
    raise NotFetched(f"there is another {target.name} in {target.parent}; move it away first")


def _check_space(folder: Path, offer: Offer, part: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    there = sum(path.stat().st_size for path in (part, *part.rglob("*")) if path.is_file())
    needed = (offer.size or 0) + SPARE - there
    if needed > free:
        needs = f"{needed / GIB:.1f} are needed"
        raise NotFetched(f"{folder} has {free / GIB:.1f} GB free; {needs}")


def _tidy(part: Path, files: Collection[Path]) -> None:
    """Remove the files of another revision that was begun before."""
    for path in [path for path in part.rglob("*") if path.is_file() and path not in files]:
        path.unlink()


async def _download(offer: Offer, part: Path, site: Site, wait: Wait) -> None:
    """Download all files below ``part``, or the only one as ``part``."""
    files = {part / file.path if offer.is_folder else part: file for file in offer.files}
    _tidy(part, files)
    bar = tqdm(total=offer.size, unit="B", unit_scale=True, disable=None, leave=False)
    with bar:
        done = 0
        async with _web(site, wait) as web:
            for path, file in files.items():
                # Without a hash nothing proves that an old beginning belongs to this file.
                with PartFile(path, resumes=bool(file.sha256)) as local:

                    def on_size(size: int, done: int = done) -> None:
                        bar.update(done + size - bar.n)

                    on_size(local.size)
                    await web.save(file, local, offer.page, on_size)
                    done += local.size


def _place(offer: Offer, kind: str, part: Path, target: Path) -> None:
    """Check what was fetched, and give it its name. Raises :class:`~core.errors.Refused`."""
    try:
        if not offer.is_folder:
            kind_of_file(part)
        elif kind == "model":
            diffusers_folder.describe_checkpoint(part)
        else:
            diffusers_folder.describe_vae(part)
    except PenultimateError:
        shutil.rmtree(part) if offer.is_folder else part.unlink()
        raise
    os.replace(part, target)
