"""The screenshots in the documentation: ``python -m tools.screenshots --out docs/img``.

Opens the sandbox in a headless Chromium and uses it as a member would. Needs ``playwright`` beside
the sandbox's own packages, and a Chromium (``--chromium``, or the one that playwright installs).
"""

from __future__ import annotations

import argparse
import importlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image

ROOT: Final = Path(__file__).resolve().parent.parent
STAR: Final = "a yellow star in the night sky"
TWO: Final = "a red circle and a blue square, white background"
HOUSE: Final = "a red house and a green tree"
SMALL: Final = "a small blue star on the left, yellow background"
DESKTOP: Final = {"viewport": {"width": 1000, "height": 560}}
PHONE: Final = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
LANGUAGES: Final = {"en": "en-US", "ja": "ja", "zh-CN": "zh-CN", "zh-TW": "zh-TW"}
WAIT: Final = 300_000  # milliseconds that a result may take
FRAME: Final = 700  # milliseconds of a frame of the moving picture
REST: Final = 4 * FRAME  # of its first and last frame


@contextmanager
def sandbox() -> Iterator[str]:
    """Run the sandbox; gives its address."""
    command = [sys.executable, "-u", "run.py", "sandbox", "--no-browser"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(word for word in process.stdout.readline().split() if "://" in word)
        finally:
            process.terminate()


class Member:
    """Somebody at the page."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        page.set_default_timeout(WAIT)
        page.goto(url)
        page.locator("#text").wait_for()

    @property
    def last(self) -> Any:
        """The newest message."""
        return self.page.locator(".message").last

    def send(self, text: str) -> None:
        """Type a command with its options and send it."""
        self.page.locator("#text").click()
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Enter")

    def result(self, of: int) -> None:
        """Wait until the message of that number has its picture; a preview has one button."""
        message = self.page.locator(".message").nth(of)
        message.locator(".picture").first.wait_for()
        message.locator(".button").nth(1).wait_for()
        self.page.wait_for_timeout(600)

    def count(self) -> int:
        """The messages on the page."""
        return int(self.page.locator(".message").count())

    def ask(self, text: str) -> None:
        """Send a command and wait for its picture."""
        before = self.count()
        self.send(text)
        self.result(before)

    def press(self, label: str) -> None:
        """Press a button of the newest message and wait for the new one."""
        before = self.count()
        self.last.get_by_role("button", name=label, exact=True).click()
        self.result(before)

    def shot(self, where: Any = None) -> Image.Image:
        """What there is to see, on the page or in a part of it."""
        self.page.mouse.move(0, 0)  # what lies under it would show its own controls
        return Image.open(io.BytesIO((where or self.page).screenshot())).convert("RGB")


def result(member: Member) -> Image.Image:
    """One result with its controls."""
    member.ask(f"/imagine {STAR} seed:7")
    return member.shot()


def clip_skip(member: Member) -> Image.Image:
    """The same, and the next clip skip below it."""
    member.page.set_viewport_size({"width": 1000, "height": 760})
    member.press("Clip skip +")
    return member.shot()


def sheet(member: Member) -> Image.Image:
    """A grid over clip skip."""
    member.page.set_viewport_size({"width": 1000, "height": 820})
    member.ask(f"/explore {STAR} seed:7")
    return member.shot()


def phone(member: Member) -> Image.Image:
    """A grid of two axes on a phone."""
    member.ask(f"/explore {HOUSE} seed:7 x_values:1,3,6,9,12 y_axis:CFG Scale y_values:2,4,7")
    return member.shot()


def knob(member: Member, out: Path) -> None:
    """Write the moving picture: clip skip 1 to 12 under one image."""
    member.ask(f"/imagine {SMALL} seed:7")
    frames = [member.shot(member.last.locator(".body"))]
    for _ in range(11):
        member.press("Clip skip +")
        frames.append(member.shot(member.last.locator(".body")))
    width = max(frame.width for frame in frames)
    height = max(frame.height for frame in frames)
    canvas = [Image.new("RGB", (width, height), frames[0].getpixel((0, 0))) for _ in frames]
    for each, frame in zip(canvas, frames, strict=True):
        each.paste(frame)
    times = [REST, *(FRAME,) * (len(frames) - 2), REST]
    canvas[0].save(
        out, save_all=True, append_images=canvas[1:], duration=times, loop=0, quality=85, method=6
    )


def language(member: Member, locale: str) -> Image.Image:
    """A result, a grid, the member's settings and the server's, in a language."""
    page = member.page
    page.set_viewport_size({"width": 1000, "height": 2600})  # room for all four
    page.locator("#locale").select_option(locale)
    member.ask(f"/imagine {TWO} seed:7")
    member.ask(f"/explore {STAR} seed:7")
    for command in ("/settings", "/config show"):
        before = member.count()
        member.send(command)
        page.keyboard.press("Enter")  # the first one chose the command
        page.locator(".message").nth(before).locator(".prose").first.wait_for()
        page.wait_for_timeout(600)
    shots = [member.shot(each) for each in page.locator(".message").all()[-4:]]
    whole = Image.new("RGB", (max(s.width for s in shots), sum(s.height for s in shots)))
    y = 0
    for each in shots:
        whole.paste(each, (0, y))
        y += each.height
    return whole


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--chromium", help="the browser's file")
    options = parser.parse_args()
    # Not among the project's packages: only who makes these pictures needs a browser.
    playwright: Any = importlib.import_module("playwright.sync_api")
    scenes: dict[str, Callable[[Member], Image.Image]] = {
        "sandbox-result.png": result,
        "sandbox-clip-skip.png": clip_skip,
        "sandbox-sheet.png": sheet,
    }
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])

        def member(url: str, **kind: Any) -> Member:
            return Member(browser.new_context(**kind).new_page(), url)

        with sandbox() as url:
            one = member(url, **DESKTOP)
            for name, scene in scenes.items():
                scene(one).save(options.out / name, optimize=True)
        with sandbox() as url:
            phone(member(url, **PHONE)).save(options.out / "sandbox-phone.webp", quality=85)
        with sandbox() as url:
            knob(member(url, **DESKTOP), options.out / "knob.webp")
        for name, locale in LANGUAGES.items():
            with sandbox() as url:
                shot = language(member(url, **DESKTOP), locale)
            shot.save(options.out / f"language-{name}.webp", quality=80, method=6)
        browser.close()


if __name__ == "__main__":
    main()
