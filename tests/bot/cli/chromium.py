"""A headless Chromium, where there is one, driven through its DevTools: no driver is needed."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Tab:
    """One page: what it says to a script, and a mouse and a keyboard."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        # What the page's own scripts raised.
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = json.loads((await self._socket.receive()).data)
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["params"]))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    async def open(self, url: str) -> None:
        """Go there, and wait until all that the page names is loaded."""
        await self.call("Page.enable")
        await self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in (await self._socket.receive()).data:
            pass

    async def run(self, script: str) -> Any:
        """The value of an expression."""
        said = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(60):
            while not await self.run(f"!!({script})"):
                await self.run("new Promise(requestAnimationFrame).then(() => 0)")

    async def press(self, selector: str) -> tuple[float, float]:
        """Press the mouse on an element, and return where; scroll to it first.

        Where it moved away meanwhile, as under anybody's hand, the mouse is let go and tries again.
        """
        found = f"document.querySelector({json.dumps(selector)})"
        while True:
            x, y = await self.run(
                f"(e => {{ e.scrollIntoView({{block: 'center'}});"
                f" const r = e.getBoundingClientRect();"
                f" return [r.x + r.width / 2, r.y + r.height / 2]; }})({found})"
            )
            hit = f"{found}.contains(document.elementFromPoint({x}, {y}))"
            await self._mouse("mouseMoved", x, y)
            if await self.run(hit):
                await self._mouse("mousePressed", x, y)
                if await self.run(hit):
                    return x, y
                await self._mouse("mouseReleased", 1, 1)

    async def up(self, x: float, y: float) -> None:
        await self._mouse("mouseReleased", x, y)

    async def _mouse(self, type: str, x: float, y: float) -> None:
        await self.call(
            "Input.dispatchMouseEvent", type=type, x=x, y=y, button="left", clickCount=1
        )

    async def type(self, text: str) -> None:
        for letter in text:
            key: dict[str, Any] = {"text": letter}
            if letter == "\r":
                key |= {"key": "Enter", "windowsVirtualKeyCode": 13}
            await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.call("Input.dispatchKeyEvent", type="keyUp")


@asynccontextmanager
async def chromium(
    url: str, folder: Path, session: aiohttp.ClientSession, *, width: int, height: int
) -> AsyncIterator[Tab]:
    """Open a page in a window of that size; what the browser stores goes to ``folder``."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
        *(f"--user-data-dir={folder / 'chromium'}", "about:blank"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            async for line in process.stderr:
                if line.startswith(b"DevTools listening on "):
                    break
        port = line.decode().split(":")[2].partition("/")[0]
        async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
            tabs = [each for each in await response.json() if each["type"] == "page"]
        async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            await tab.call("Runtime.enable")
            screen: dict[str, Any] = {"width": width, "height": height, "mobile": True}
            await tab.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **screen)
            await tab.open(url)
            yield tab
    finally:
        process.terminate()
        await process.wait()
