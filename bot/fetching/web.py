"""The HTTP client: JSON, the beginning of a file, and a file that is resumed and checked.

A key goes only to its own site: aiohttp leaves it out of a redirect to another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp
from yarl import URL

from bot.fetching.offers import RemoteFile
from bot.fetching.sources import NotFetched

# In a row, without a byte more than ever before.
TRIES: Final = 5
# Seconds. A site that wants a longer break is told to the owner.
MAX_WAIT: Final = 120
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)
MAX_JSON: Final = 32 * 2**20
PIECE: Final = 2**20

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Site:
    """A site, the setting with the owner's key for it, and the page where keys are made."""

    name: str
    base: str
    setting: str
    keys: str
    key: str | None = field(default=None, repr=False)


HUB: Final = Site(
    "Hugging Face", "https://huggingface.co", "HF_TOKEN", "https://huggingface.co/settings/tokens"
)
CIVITAI: Final = Site(
    "Civitai", "https://civitai.com", "CIVITAI_TOKEN", "https://civitai.com/user/account"
)


class PartFile:
    """A file that is downloaded: what is there already counts, for its size and its SHA-256."""

    def __init__(self, path: Path, *, resumes: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b" if resumes else "w+b")
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self.size = 0
        while piece := self._file.read(PIECE):
            self._hash.update(piece)
            self.size += len(piece)

    def __enter__(self) -> PartFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, piece: bytes) -> None:
        """Write a piece to the end. Raises :class:`OSError`."""
        self._file.write(piece)
        self._file.flush()
        self._hash.update(piece)
        self.size += len(piece)

    def clear(self) -> None:
        """Begin again with nothing."""
        self._file.truncate(0)
        self._hash, self.size = hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of what is there, in hex digits."""
        return self._hash.hexdigest()


class Web:
    """Requests to ``site``; ``wait`` sleeps between two tries. Raises :class:`NotFetched`."""

    def __init__(self, session: aiohttp.ClientSession, site: Site, wait: Wait) -> None:
        self.site = site
        self._session = session
        self._wait = wait

    async def json(self, url: str, page: str) -> tuple[Any, str]:
        """Return a JSON value, and the address of the next page of the list, empty if none."""
        async with self._get(url, page) as response:
            data = await _first(response, MAX_JSON)
            following = response.links.get("next")
        try:
            return json.loads(data), str(following["url"]) if following else ""
        except (ValueError, RecursionError) as error:
            raise NotFetched(f"{URL(url).host} did not answer with JSON") from error

    async def beginning(self, url: str, page: str, count: int) -> bytes:
        """Return the first ``count`` bytes of a file."""
        async with self._get(url, page, {"Range": f"bytes=0-{count - 1}"}) as response:
            self._check_file(response, page)
            return await _first(response, count)

    async def save(
        self, file: RemoteFile, part: PartFile, page: str, on_size: Callable[[int], None]
    ) -> None:
        """Download the rest of ``file`` into ``part``, and check its size and SHA-256.

        A connection that is cut off goes on from there. Raises :class:`OSError` as well.
        """
        tries, most, complete = 0, part.size, part.size == file.size
        while not complete:
            complete = await self._go_on(file, part, page, on_size)
            tries = 0 if part.size > most else tries + 1
            most = max(most, part.size)
            if tries == TRIES:
                raise NotFetched(
                    f"the download of {file.path} is cut off again and again; run the same command "
                    "later, it goes on from there"
                )
            if not complete:
                await self._wait(2.0**tries)
        if file.sha256 and part.sha256 != file.sha256.lower():
            part.clear()
            raise NotFetched(
                f"{file.path} arrived with another SHA-256 than {URL(file.url).host} announces, so "
                "it was deleted; run the same command to try again"
            )

    async def _go_on(
        self, file: RemoteFile, part: PartFile, page: str, on_size: Callable[[int], None]
    ) -> bool:
        """Make one request for what is missing; return whether all of the file is there."""
        headers = {"Range": f"bytes={part.size}-"} if part.size else {}
        try:
            async with self._get(file.url, page, headers) as response:
                self._check_file(response, page)
                if part.size and not _continues(response, part.size):
                    part.clear()
                    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                        return False
                async for piece in response.content.iter_chunked(PIECE):
                    part.append(piece)
                    on_size(part.size)
                    if file.size is not None and part.size > file.size:
                        part.clear()
                        raise NotFetched(
                            f"{file.path} is larger than announced, so it was deleted; {page} may "
                            "have changed"
                        )
        except (aiohttp.ClientError, TimeoutError):
            return False
        return file.size is None or part.size == file.size

    @asynccontextmanager
    async def _get(
        self, url: str, page: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a GET; a busy site is asked again."""
        response = await self._opened(URL(url), page, dict(headers or {}))
        async with response:
            yield response

    def _check_file(self, response: aiohttp.ClientResponse, page: str) -> None:
        """Raise :class:`NotFetched` for a page to log in, in the place of a file."""
        if response.content_type == "text/html":
            raise _refused(self.site, HTTPStatus.UNAUTHORIZED, "", page)

    async def _opened(self, url: URL, page: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if self.site.key and url.origin() == URL(self.site.base).origin():
            headers["Authorization"] = f"Bearer {self.site.key}"
        for attempt in range(TRIES):
            seconds = 2.0**attempt
            try:
                response = await self._session.get(url, headers=headers)
            except (aiohttp.ClientError, TimeoutError):
                problem = f"{url.host} cannot be reached; check the network and try again"
            else:
                if response.ok or response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return response
                response.close()
                code = response.headers.get("X-Error-Code", "")
                if response.status not in (408, 429) and response.status < 500:
                    raise _refused(self.site, response.status, code, page)
                busy = f"{url.host} is busy (it answered {response.status})"
                problem = f"{busy}; try again later"
                seconds = _retry_after(response.headers.get("Retry-After", "")) or seconds
                if seconds > MAX_WAIT:
                    raise NotFetched(f"{busy}; try again in {seconds / 60:.0f} minutes")
            if attempt + 1 < TRIES:
                await self._wait(seconds)
        raise NotFetched(problem)


async def _first(response: aiohttp.ClientResponse, count: int) -> bytes:
    data = bytearray()
    try:
        async for piece in response.content.iter_chunked(PIECE):
            data += piece
            if len(data) >= count:
                break
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotFetched(f"the answer of {response.url.host} was cut off; try again") from error
    return bytes(data[:count])


def _continues(response: aiohttp.ClientResponse, size: int) -> bool:
    """Whether a response begins where the part ends; some servers always send all of a file."""
    given = response.headers.get("Content-Range", "")
    return response.status == HTTPStatus.PARTIAL_CONTENT and given.startswith(f"bytes {size}-")


def _retry_after(text: str) -> float:
    """Read the header: seconds, or a date. 0 where there is nothing to read."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _refused(site: Site, status: int, code: str, page: str) -> NotFetched:
    """The sentence for an answer that asking again would not change."""
    if status == HTTPStatus.NOT_FOUND:
        return NotFetched(f"{site.name} has nothing there ({page})")
    if code == "RepoNotFound":
        return NotFetched(f"{site.name} has no such repository, or a private one ({page})")
    if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return NotFetched(f"{site.name} refused it ({status}); open {page} in a browser")
    terms = f"open {page} to accept its terms" if code == "GatedRepo" else f"open {page}"
    if site.key:
        return NotFetched(f"{site.name} does not give this to the key in {site.setting}; {terms}")
    how = f"make one on {site.keys} and write it into .env as {site.setting}="
    terms = f"; {terms} as well" if code == "GatedRepo" else ""
    return NotFetched(f"{site.name} gives this only to those with a key; {how}{terms}")
