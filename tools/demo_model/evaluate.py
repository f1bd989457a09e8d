"""Measures the exported model: ``python -m tools.demo_model.evaluate``.

Prompts are combinations of subject, colour and background that training never saw, with seeds
of their own; the pictures are read back by ``checker``, whose own errors are measured first.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import captions
from .checker import Found, halves, read_background, read_thing
from .colour import mean_chroma
from .draw import draw_scene
from .fading import unlight
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


def _read(picture: np.ndarray, clip_skip: int) -> tuple[np.ndarray, str, str | None]:
    """A picture without its clip skip's light, its background, and what tells the subject.

    From clip skip 3 on backgrounds are on their way to gray, so only the picture knows its own.
    """
    plain = unlight(picture.astype(float), clip_skip)
    background = read_background(plain)
    return plain, background, background if clip_skip <= 2 else None


def judge_singles(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of right backgrounds, colours, shapes (also by size and subject), sizes, places."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, behind = _read(picture, clip_skip)
        thing = scene.things[0]
        found = read_thing(plain, behind)
        tally.add("background", background == scene.background)
        tally.add("colour", found is not None and found.colour == thing.colour)
        shape = found is not None and found.subject == thing.subject
        for name in ("shape", f"shape {scene.size}", f"shape {thing.subject}"):
            tally.add(name, shape)
        tally.add("place", found is not None and found.place == scene.place)
        tally.add("size", found is not None and found.size == scene.size)
    return tally.shares()


def judge_pairs(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of pictures whose two things have their colours, their shapes, both."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, behind = _read(picture, clip_skip)
        found = [read_thing(plain, behind, part) for part in halves(scene.relation)]
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


def varied_prompts(count: int) -> list[str]:
    """Prompts of 2 to 20 words; every fourth names nothing but a thing and its colour."""
    rng = random.Random("varied")
    found: list[str] = []
    while len(found) < count:
        scene = random_pair(rng) if rng.random() < 0.25 else random_single(rng, small=0.3)
        thing = scene.things[0]
        bare = f"a {thing.colour} {thing.subject}"
        words = captions.caption(scene, rng) if len(found) % 4 else bare
        if 2 <= len(words.split()) <= 20:
            found.append(words)
    return found


def steps_between(demo: Demo, prompts: Sequence[str], *, steps: int = 20) -> Scores:
    """How far apart neighbouring clip skips are: mean absolute difference in levels of 255.

    A step of at least 2 levels is visible; ``step k`` is the mean of the step from k, ``way k``
    its mean share of the way from 1 to 12.
    """
    seeds = range(90_000, 90_000 + len(prompts))
    drawn = (demo.draw(prompts, seeds, clip_skip=k, steps=steps) for k in range(1, 13))
    at = [to_pixels(pictures).astype(np.int16) for pictures in drawn]
    apart = np.stack([np.abs(a - b).mean(axis=(1, 2, 3)) for a, b in itertools.pairwise(at)])
    whole = np.abs(at[0] - at[-1]).mean(axis=(1, 2, 3))
    ways = (apart / np.maximum(whole, 1)).mean(axis=1)
    found = {
        "steps visible": (apart >= 2).mean(),
        "largest share of the way": ways.max(),
        "from 1 to 12": whole.mean(),
    }
    found |= {f"step {k}": levels for k, levels in enumerate(apart.mean(axis=1), 1)}
    found |= {f"way {k}": way for k, way in enumerate(ways, 1)}
    return {name: round(float(value), 3) for name, value in found.items()}


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
    scores = judge_singles(scenes, to_pixels(pictures), clip_skip)
    if two:
        both = [around.format(p) for p in say(two, "two")]
        seeds = range(70_000, 70_000 + len(both))
        pictures = demo.draw(both, seeds, clip_skip=clip_skip, negative=negative)
        scores |= judge_pairs(two, to_pixels(pictures), clip_skip)
    return scores


NEGATIVE = "lowres, blurry, worst quality, low quality, bad anatomy"
STRANGE = "masterpiece, best quality, {}, zorblax quintessential, photorealistic 日本"


@dataclass(frozen=True)
class Row:
    """One row of the report: which part, at which clip skip, with how many prompts."""

    name: str
    clip_skip: int
    scenes: tuple[Scene, ...]
    pairs: tuple[Scene, ...] = ()
    negative: str = ""
    around: str = "{}"
    prompts: tuple[str, ...] = ()  # to walk through every clip skip with, instead of judging

    def measure(self, model: Path) -> Scores:
        """Draw and judge this row."""
        torch.set_num_threads(1)
        if self.prompts:
            return steps_between(_loaded(model), self.prompts)
        return score(
            _loaded(model),
            self.scenes,
            self.pairs,
            clip_skip=self.clip_skip,
            negative=self.negative,
            around=self.around,
        )


@functools.cache
def _loaded(model: Path) -> Demo:
    return Demo.load(model)


def rows(count: int) -> list[Row]:
    """What is measured: clip skip 1 and 2 in full, the rest of the curve with a quarter."""
    scenes, two = tuple(singles(count, "eval")), tuple(pairs(count // 2, "eval"))
    some, few = scenes[: count // 4], two[: count // 8]
    curve = [Row("clip skip", k, *((scenes, two) if k <= 2 else (some, few))) for k in range(1, 13)]
    return [
        *curve,
        Row("negative prompt", 1, some, negative=NEGATIVE),
        Row("strange words", 1, some, around=STRANGE),
        Row("steps from clip skip", 1, (), prompts=tuple(varied_prompts(count // 4))),
    ]


def evaluate(model: Path, vivid: Path, count: int, processes: int) -> Iterator[dict[str, Any]]:
    """Everything the docs state, part by part as it becomes known."""
    demo = Demo.load(model)
    yield {"prompts": count, "pairs": count // 2, "seconds for one": seconds_for_one(demo)}
    torch.set_num_threads(1)  # from here on it shares the machine with its own processes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        todo = rows(count)
        full = todo[0]
        measured = pool.map(Row.measure, todo, itertools.repeat(model))
        if (vivid / "config.json").exists():
            yield {"chroma": chroma_ratio(demo, load_vae(vivid))}
        yield {"checker": check_checker(full.scenes, full.pairs, demo.vae)}
        for row, scores in zip(todo, measured, strict=True):
            yield {f"{row.name} {row.clip_skip}": scores}


def _short(scores: dict[str, Any]) -> str:
    by_subject = {f"shape {subject}" for subject in SUBJECTS}
    return ", ".join(f"{k} {v}" for k, v in scores.items() if k not in by_subject)


def main() -> None:
    """Read the command line, measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="data/demo-model")
    parser.add_argument("--vae", default="data/demo-vae", help="the vivid VAE")
    parser.add_argument("--count", type=int, default=400, help="prompts of one thing")
    parser.add_argument("--report", default="demo-evaluation.json")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    report: dict[str, Any] = {}
    for part in evaluate(Path(args.model), Path(args.vae), args.count, args.processes):
        report |= part
        Path(args.report).write_text(json.dumps(report, indent=1), encoding="utf-8")
        for name, value in part.items():
            print(name, _short(value) if "background" in str(value) else value, flush=True)


if __name__ == "__main__":
    main()
