"""Looks at fresh networks for a few seconds: a sheet, how clip skips differ, what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from .evaluate import everyday, judge_pairs, judge_singles, pairs, say, singles, steps_between
from .networks import Unet, Vae
from .sampling import Demo, to_image, to_pixels
from .settings import Settings
from .train_unet import noise_schedule

_SKIPS = (
    "a small yellow star in the top left corner, red background",
    "a blue cat left of a red heart in the night sky",
    "a large purple mushroom on a grass field",
    "a cat",
    "three red apples on a yellow background",
    "1girl, blue hair, beach",
)


def _grid(pictures: torch.Tensor, columns: int) -> Image.Image:
    side = pictures.shape[-1] // 2
    page = Image.new("RGB", (columns * side, -(-len(pictures) // columns) * side), "white")
    for i, picture in enumerate(pictures):
        page.paste(to_image(picture).reduce(2), (i % columns * side, i // columns * side))
    return page


def look(
    tokenizer: CLIPTokenizer,
    networks: tuple[Unet, CLIPTextModel, Vae],
    sheet: Path,
    settings: Settings,
) -> None:
    """Write a sheet and say the scores."""
    count = settings.looked
    unet, text, vae = networks
    scheduler: Any = diffusers.EulerDiscreteScheduler
    scheduler = scheduler.from_config(noise_schedule().config)
    demo = Demo(tokenizer, text, unet.eval(), vae, scheduler)
    common, skipped = everyday()[: count // 4 or 1], _SKIPS[: count // 16 or 1]
    seeds = [7] * len(common)
    rows = [demo.draw(common, seeds)]
    rows += [demo.draw(skipped, seeds, clip_skip=k) for k in range(1, 13)]
    rows.append(demo.draw(common[:4], seeds, side=48))
    page = _grid(torch.stack(rows[1:13]).transpose(0, 1).flatten(0, 1), 12)
    first = _grid(rows[0], 12)
    both = Image.new("RGB", (page.width, first.height + page.height + 384), "white")
    both.paste(first, (0, 0))
    both.paste(page, (0, first.height))
    both.paste(_grid(rows[13], 4), (0, first.height + page.height))
    both.save(sheet)
    settings.say(f"between clip skips: {steps_between(demo, count // 2 or 1)}")
    scenes, two = singles(count, "look"), pairs(count // 2 or 1, "look")
    for k in (1, 2):
        one = demo.draw(say(scenes, "look"), range(count), clip_skip=k)
        several = demo.draw(say(two, "look"), range(len(two)), clip_skip=k)
        scores = judge_singles(scenes, to_pixels(one), k) | judge_pairs(two, to_pixels(several), k)
        short = {name: share for name, share in scores.items() if not name.startswith("shape ")}
        settings.say(f"clip skip {k}: {short}")
