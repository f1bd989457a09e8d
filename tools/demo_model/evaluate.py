"""Measures the exported model: ``python -m tools.demo_model.evaluate``.

Prompts are combinations of subject, colour and background that training never saw, with seeds
of their own; the pictures are read back by ``checker``, whose own errors are measured first.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from . import captions
from .checker import Found, halves, read_background, read_thing
from .colour import mean_chroma
from .draw import draw_scene
from .networks import Vae
from .pool import to_tensor
from .sampling import Demo, load_vae, to_pixels
from .scene import SUBJECTS, Scene, random_pair, random_single

Scores = dict[str, float]


class Tally:
    """Shares of right answers by name."""

    def __init__(self) -> None:
        self._right: dict[str, int] = defaultdict(int)
        self._asked: dict[str, int] = defaultdict(int)

    def add(self, name: str, right: bool) -> None:
        """Count one answer."""
        self._right[name] += right
        self._asked[name] += 1

    def shares(self) -> Scores:
        """The share of right answers to each question."""
        return {name: round(self._right[name] / self._asked[name], 4) for name in self._asked}


def singles(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of one thing, every third small."""
    rng = random.Random(f"single/{seed}")
    return [random_single(rng, small=1 / 3, want_held_out=True) for _ in range(count)]


def pairs(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of two things."""
    rng = random.Random(f"pair/{seed}")
    return [random_pair(rng, want_held_out=True) for _ in range(count)]


def say(scenes: Sequence[Scene], seed: str) -> list[str]:
    """A full caption of each scene, prose and tags by turns."""
    rng = random.Random(f"say/{seed}")
    return [(captions.tags if i % 2 else captions.prose)(s, rng) for i, s in enumerate(scenes)]


def judge_singles(scenes: Sequence[Scene], pixels: np.ndarray) -> Scores:
    """Shares of right backgrounds, colours, shapes (also by size and subject), sizes, places."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        picture = picture.astype(float)
        thing = scene.things[0]
        background = read_background(picture)
        found = read_thing(picture, background)
        tally.add("background", background == scene.background)
        tally.add("colour", found is not None and found.colour == thing.colour)
        shape = found is not None and found.subject == thing.subject
        for name in ("shape", f"shape {scene.size}", f"shape {thing.subject}"):
            tally.add(name, shape)
        tally.add("place", found is not None and found.place == scene.place)
        tally.add("size", found is not None and found.size == scene.size)
    return tally.shares()


def judge_pairs(scenes: Sequence[Scene], pixels: np.ndarray) -> Scores:
    """Shares of pictures whose two things have their colours, their shapes, both."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        picture = picture.astype(float)
        background = read_background(picture)
        found = [read_thing(picture, background, part) for part in halves(scene.relation)]
        colours = _matches(scene, found, "colour")
        shapes = _matches(scene, found, "subject")
        tally.add("pair background", background == scene.background)
        tally.add("pair colours", all(colours))
        tally.add("pair shapes", all(shapes))
        tally.add("pair colours and shapes", all(colours) and all(shapes))
        tally.add("second object", colours[1])
    return tally.shares()


def _matches(scene: Scene, found: Sequence[Found | None], what: str) -> list[bool]:
    return [
        f is not None and getattr(f, what) == getattr(thing, what)
        for f, thing in zip(found, scene.things, strict=True)
    ]


def check_checker(scenes: Sequence[Scene], two: Sequence[Scene], vae: Vae) -> dict[str, Scores]:
    """The checker's own scores on true drawings and on what the VAE makes of them."""
    rng = random.Random(7)
    drawn = [to_tensor([draw_scene(s, rng) for s in group]) for group in (scenes, two)]
    with torch.no_grad():
        rebuilt = [_through(vae, pictures) for pictures in drawn]
    return {
        name: judge_singles(scenes, to_pixels(a)) | judge_pairs(two, to_pixels(b))
        for name, (a, b) in (("drawings", drawn), ("VAE", rebuilt))
    }


def _through(vae: Vae, pictures: torch.Tensor) -> torch.Tensor:
    parts = (vae.encode(part).latent_dist.mode() for part in torch.split(pictures, 50))
    return torch.cat([vae.decode(latents).sample for latents in parts])


def seconds_for_one(demo: Demo) -> float:
    """The middle time of five pictures, warm: 20 steps, CFG 4, text and VAE included."""
    times = []
    for i in range(6):
        began = time.perf_counter()
        demo.draw(["a yellow star in the night sky"], [i])
        times.append(time.perf_counter() - began)
    return round(sorted(times[1:])[2], 3)


def chroma_ratio(demo: Demo, vivid: Vae) -> Scores:
    """Mean chroma of both VAEs at identical latents of 52 prompts."""
    scenes = singles(52, "chroma")
    cond = demo.exits(say(scenes, "chroma"))[0]
    latents = demo.latents(cond, demo.exits([""])[0], range(9000, 9000 + len(scenes)))
    own, other = mean_chroma(demo.decode(latents)), mean_chroma(demo.decode(latents, vivid))
    return {"natural": round(own, 1), "vivid": round(other, 1), "ratio": round(other / own, 3)}


def score(
    demo: Demo,
    scenes: Sequence[Scene],
    two: Sequence[Scene],
    *,
    clip_skip: int = 1,
    negative: str = "",
    around: str = "{}",
) -> Scores:
    """Draw and judge; ``around`` puts each prompt between other words."""
    one = [around.format(p) for p in say(scenes, "one")]
    pictures = demo.draw(
        one, range(50_000, 50_000 + len(one)), clip_skip=clip_skip, negative=negative
    )
    scores = judge_singles(scenes, to_pixels(pictures))
    if two:
        both = [around.format(p) for p in say(two, "two")]
        seeds = range(70_000, 70_000 + len(both))
        pictures = demo.draw(both, seeds, clip_skip=clip_skip, negative=negative)
        scores |= judge_pairs(two, to_pixels(pictures))
    return scores


NEGATIVE = "lowres, blurry, worst quality, low quality, bad anatomy"
STRANGE = "masterpiece, best quality, {}, zorblax quintessential, photorealistic 日本"


def evaluate(demo: Demo, vivid: Vae, count: int) -> dict[str, object]:
    """Everything the model card states."""
    scenes, two = singles(count, "eval"), pairs(count // 2, "eval")
    report: dict[str, object] = {"count": len(scenes), "pairs": len(two)}
    report["checker"] = check_checker(scenes, two, demo.vae)
    report["seconds for one"] = seconds_for_one(demo)
    if vivid is not None:
        report["chroma"] = chroma_ratio(demo, vivid)
    some, few = scenes[: count * 2 // 5], two[: count // 5]
    curve = {}
    for clip_skip in range(1, 13):
        full = clip_skip <= 2
        curve[clip_skip] = score(
            demo, scenes if full else some, two if full else few, clip_skip=clip_skip
        )
        print(clip_skip, _short(curve[clip_skip]), flush=True)
    report["clip skip"] = curve
    report["negative prompt"] = score(demo, some, (), negative=NEGATIVE)
    report["strange words"] = score(demo, some, (), around=STRANGE)
    return report


def _short(scores: Scores) -> str:
    by_subject = {f"shape {subject}" for subject in SUBJECTS}
    return ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if k not in by_subject)


def main() -> None:
    """Read the command line, measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="data/demo-model")
    parser.add_argument("--vae", default="data/demo-vae", help="the vivid VAE")
    parser.add_argument("--count", type=int, default=400, help="prompts of one thing")
    parser.add_argument("--report", default="demo-evaluation.json")
    parser.add_argument("--quick", action="store_true", help="clip skip 1 only")
    args = parser.parse_args()
    demo = Demo.load(Path(args.model))
    if args.quick:
        scores = score(demo, singles(args.count, "quick"), pairs(args.count // 2, "quick"))
        print(json.dumps(scores, indent=1))
        return
    vivid = None
    if (Path(args.vae) / "config.json").exists():
        vivid = load_vae(Path(args.vae))
    report = evaluate(demo, vivid, args.count)
    Path(args.report).write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps({k: v for k, v in report.items() if k != "clip skip"}, indent=1))


if __name__ == "__main__":
    main()
