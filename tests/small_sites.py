"""Hugging Face and Civitai in a few answers, over a real socket, with every fault of a network."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp.web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEY = "a-secret-key"


@dataclass
class SmallSites:
    """What the two sites have and how they misbehave. ``address`` and ``other`` are one server
    under two names, as a site and where it keeps its files.

    ``cut`` are the counts of bytes after which the next downloads break off. ``statuses`` are
    answers, with their headers, that come before the real ones, for paths that contain the key.
    """

    address: str = ""
    other: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    next: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cut: list[int] = field(default_factory=list)
    statuses: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    disposition: str = ""
    login: bool = False
    seen: list[tuple[str, str, str, str]] = field(default_factory=list)

    # What a test puts there.

    def hub(self, repository: str, files: dict[str, bytes], **card: Any) -> None:
        """A repository on Hugging Face."""
        self.json[f"/api/models/{repository}/revision/main"] = {"sha": COMMIT, "cardData": card}
        self.json[f"/api/models/{repository}/tree/{COMMIT}"] = [
            {"type": "directory", "path": "unet", "size": 0, "oid": "1"},
            *(self._entry(path, data) for path, data in files.items()),
        ]
        for path, data in files.items():
            self.files[f"/{repository}/resolve/{COMMIT}/{path}"] = data

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        size = self.sizes.get(path, len(data))
        entry = {"type": "file", "path": path, "size": size, "oid": "2"}
        if path.endswith((".safetensors", ".bin", ".ckpt")):
            oid = self.hashes.get(path) or hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 134}
        return entry

    def civitai(
        self,
        files: dict[str, bytes],
        *,
        kind: str = "LORA",
        images: tuple[dict[str, Any], ...] = (),
        **terms: Any,
    ) -> None:
        """Version 22 of model 11 on Civitai, and its files' hashes."""
        entries: list[dict[str, Any]] = []
        for number, (name, data) in enumerate(files.items()):
            digest = self.hashes.get(name) or hashlib.sha256(data).hexdigest()
            path = f"/api/download/models/{22 + number}"
            self.files[path] = data
            entries.append(
                {
                    "id": number,
                    "name": name,
                    "type": "Model",
                    "sizeKB": self.sizes.get(name, len(data)) / 1024,
                    "hashes": {"SHA256": digest.upper(), "AutoV2": digest[:10].upper()},
                    "downloadUrl": f"https://civitai.com{path}",
                    "primary": number == 0,
                }
            )
        version = {
            "id": 22,
            "modelId": 11,
            "name": "v2",
            "baseModel": "SD 1.5",
            "trainedWords": ["ink", "wash"],
            "model": {"name": "Ink", "type": kind},
            "files": entries,
            "images": [{"meta": meta} for meta in images],
            "downloadUrl": entries[0]["downloadUrl"],
        }
        self.json["/api/v1/model-versions/22"] = version
        self.json["/api/v1/models/11"] = {"modelVersions": [{"id": 22}], **terms}
        for entry in entries:
            for digest in entry["hashes"].values():
                self.json[f"/api/v1/model-versions/by-hash/{digest.lower()}"] = version

    def downloads(self, path: str = "") -> list[str]:
        """The ``Range`` of each request for a file's bytes."""
        return [ranged for kind, where, ranged, _ in self.seen if kind == "file" and path in where]

    # What the server does.

    async def answer(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        ranged = request.headers.get("Range", "")
        key = request.headers.get("Authorization", "")
        where = request.path.removeprefix("/store")
        kind = "json" if where in self.json else "store" if request.path != where else "file"
        self.seen.append((kind, where, ranged, key))
        for part, statuses in self.statuses.items():
            if part in where and statuses:
                status, headers = statuses.pop(0)
                return aiohttp.web.Response(status=status, headers=headers)
        if where in self.json:
            link = f'<{self.next[where]}>; rel="next"' if where in self.next else ""
            return aiohttp.web.json_response(
                self.json[where], headers={"Link": link} if link else {}
            )
        if where not in self.files:
            return aiohttp.web.Response(status=404)
        if self.login:
            return aiohttp.web.Response(text="<html>Log in", content_type="text/html")
        if request.path == where and where.startswith("/api/"):
            # Civitai sends files from elsewhere.
            raise aiohttp.web.HTTPTemporaryRedirect(f"{self.other}/store{where}")
        return await self._file(request, self.files[where], ranged)

    async def _file(
        self, request: aiohttp.web.Request, data: bytes, ranged: str
    ) -> aiohttp.web.StreamResponse:
        first, _, last = ranged.removeprefix("bytes=").partition("-")
        start = int(first) if ranged and self.ranges else 0
        end = int(last) + 1 if last and self.ranges else len(data)
        if start >= len(data):
            return aiohttp.web.Response(status=416)
        piece = data[start:end]
        partial = bool(ranged) and self.ranges
        response = aiohttp.web.StreamResponse(status=206 if partial else 200)
        response.content_length = len(piece)
        if partial:
            response.headers["Content-Range"] = (
                f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
            )
        if self.disposition:
            response.headers["Content-Disposition"] = self.disposition
        await response.prepare(request)
        # The first looks are for the header; a download has no end in its range.
        if self.cut and not last:
            await response.write(piece[: self.cut.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(piece)
        return response


@contextmanager
def small_sites() -> Iterator[SmallSites]:
    """Run the sites in a thread of their own, for a command that has its own event loop."""
    sites, loop = SmallSites(), asyncio.new_event_loop()
    runner: list[aiohttp.web.AppRunner] = []

    async def start() -> None:
        application = aiohttp.web.Application()
        application.router.add_route("*", "/{path:.*}", sites.answer)
        runner.append(aiohttp.web.AppRunner(application))
        await runner[0].setup()
        site = aiohttp.web.TCPSite(runner[0], "127.0.0.1", 0)
        await site.start()
        port = runner[0].addresses[0][1]
        sites.address, sites.other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"

    def call(action: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(action(), loop).result(30)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        call(start)
        yield sites
        call(runner[0].cleanup)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
