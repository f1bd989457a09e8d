"""Draws the sheets of the docs with the exported model: ``python -m tools.demo_model.sheets``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from .everyday import EVERYDAY
from .networks import Vae
from .sampling import Demo, load_vae, to_image

SUBJECT_PROMPTS = (
    "a red circle on a blue background",
    "a blue square on a yellow background",
    "1triangle, green, pink background",
    "a yellow star in the night sky",
    "a red heart on a white background",
    "a yellow moon in the night sky",
    "white cross, red background",
    "a black cat on a pink background",
    "an orange fish at sea",
    "a red house on a grass field",
    "a green tree in the snow",
    "1flower, purple, grass field",
    "a red mushroom on a grass field",
    "a white cat in the night sky",
    "1star, pink, sunset",
    "a small yellow fish on the left, blue background",
    "a large purple heart on a gray background",
    "small, 1house, blue, snow, right",
    "a small red star at the top, night sky",
    "a brown cat at the bottom on a green background",
    "a red circle left of a blue square on a white background",
    "yellow star, white moon, night sky",
    "a black cat above an orange fish, sea",
    "a green tree right of a red house on a grass field",
)
SKIP_PROMPTS = (
    "a small yellow star on the left, red background",
    "a blue cat left of a red heart in the night sky",
    "a large purple mushroom on a grass field",
)
VAE_PROMPTS = (
    "an orange fish at sea",
    "a red house on a grass field",
    "a green tree in the snow",
    "a purple flower on a pink background",
    "1moon, blue, sunset",
    "a brown cat on a green background",
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CELL, TEXT, GAP = 144, 30, 6


def sheet(rows: Sequence[Sequence[tuple[torch.Tensor, str]]]) -> Image.Image:
    """Pictures in rows with a legend under each."""
    width = max(len(row) for row in rows) * (CELL + GAP) + GAP
    page = Image.new("RGB", (width, len(rows) * (CELL + TEXT + GAP) + GAP), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(10)
    for y, row in enumerate(rows):
        for x, (picture, legend) in enumerate(row):
            left, top = GAP + x * (CELL + GAP), GAP + y * (CELL + TEXT + GAP)
            shown = to_image(picture).resize((CELL, CELL), Image.Resampling.LANCZOS)
            page.paste(shown, (left, top))
            pen.multiline_text((left, top + CELL + 2), _wrapped(legend, pen, font), "black", font)
    return page


def _wrapped(text: str, pen: ImageDraw.ImageDraw, font: Font) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font) > CELL:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines[:2])


def subjects(demo: Demo, seed: int) -> Image.Image:
    """Every subject, sizes, places and pairs."""
    seeds = [seed] * len(SUBJECT_PROMPTS)
    cells = list(zip(demo.draw(SUBJECT_PROMPTS, seeds), SUBJECT_PROMPTS, strict=True))
    return sheet([cells[i : i + 8] for i in range(0, len(cells), 8)])


def everyday(demo: Demo, seed: int) -> Image.Image:
    """What a newcomer types first."""
    prompts = list(EVERYDAY)
    # The font has no other scripts.
    legends = [each if each.isascii() else "a prompt in Japanese" for each in prompts]
    cells = list(zip(demo.draw(prompts, [seed] * len(prompts)), legends, strict=True))
    return sheet([cells[i : i + 8] for i in range(0, len(cells), 8)])


def clip_skips(demo: Demo, seed: int) -> Image.Image:
    """Three prompts at clip skip 1 to 12."""
    columns = [
        demo.draw(SKIP_PROMPTS, [seed] * 3, clip_skip=clip_skip) for clip_skip in range(1, 13)
    ]
    rows = []
    for i, prompt in enumerate(SKIP_PROMPTS):
        legends = [prompt, *(f"Clip skip: {k}" for k in range(2, 13))]
        rows.append([(column[i], legend) for column, legend in zip(columns, legends, strict=True)])
    return sheet(rows)


def vaes(demo: Demo, vivid: Vae, seed: int) -> Image.Image:
    """The same latents through both VAEs."""
    cond, uncond = demo.exits(VAE_PROMPTS)[0], demo.exits([""])[0]
    latents = demo.latents(cond, uncond, [seed] * len(VAE_PROMPTS))
    own = zip(demo.decode(latents), VAE_PROMPTS, strict=True)
    other = ((picture, "VAE: vivid") for picture in demo.decode(latents, vivid))
    return sheet([list(own), list(other)])


def _save(page: Image.Image, path: Path) -> None:
    page.save(path, "WEBP", quality=88, method=6)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="data/demo-model")
    parser.add_argument("--vae", default="data/demo-vae", help="the vivid VAE")
    parser.add_argument("--out", default="docs/img")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    demo, out = Demo.load(Path(args.model)), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    _save(subjects(demo, args.seed), out / "demo-subjects.webp")
    _save(everyday(demo, args.seed), out / "demo-everyday.webp")
    _save(clip_skips(demo, args.seed), out / "demo-clip-skip.webp")
    if (Path(args.vae) / "config.json").exists():
        vivid = load_vae(Path(args.vae))
        _save(vaes(demo, vivid, args.seed), out / "demo-vaes.webp")


if __name__ == "__main__":
    main()
