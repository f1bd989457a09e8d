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
from .checker import Found, count_things, halved, halves, read_background, read_thing
from .colour import mean_chroma
from .draw import draw_scene
from .networks import Vae
from .pool import to_tensor
from .sampling import Demo, load_vae, to_pixels
from .scene import SUBJECTS, Scene, random_pair, random_scene, random_several, random_single

Scores = dict[str, float]

_EVERYDAY = """a cat; a dog; a red car; a house by the sea; a lighthouse at night; a mountain;
sunset; two birds; a boat in a storm; a girl with blue hair; a robot in the city; a castle; rain;
a flower in a garden; a rocket in space; three fish; a snowman; forest; a cup of coffee;
masterpiece, best quality, 1girl, red dress, beach; a knight; portrait of a woman, oil painting;
an apple on a white background; 日本語 zorblax"""


def everyday() -> list[str]:
    """Two dozen prompts such as a newcomer types first."""
    return [prompt.strip() for prompt in _EVERYDAY.replace("\n", " ").split(";")]


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
    """Held-out scenes of one thing."""
    rng = random.Random(f"single/{seed}")
    return [random_single(rng, want_held_out=True, loose=False) for _ in range(count)]


def pairs(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of two things."""
    rng = random.Random(f"pair/{seed}")
    return [random_pair(rng, want_held_out=True, loose=False) for _ in range(count)]


def rows_of_things(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of two or three of one thing."""
    rng = random.Random(f"several/{seed}")
    return [random_several(rng, want_held_out=True, loose=False) for _ in range(count)]


def say(scenes: Sequence[Scene], seed: str) -> list[str]:
    """A full caption of each scene, prose and tags by turns."""
    rng = random.Random(f"say/{seed}")
    said = []
    for i, scene in enumerate(scenes):
        words = "person"
        while "person" in words or "people" in words:  # a girl as well as a boy
            words = (captions.tags if i % 2 else captions.prose)(scene, rng)
        said.append(words)
    return said


def judge_singles(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of right backgrounds, colours, shapes (also by size and subject), sizes, places."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        read = halved(picture, clip_skip)
        thing = scene.things[0]
        background = read_background(read)
        found = read_thing(read, background)
        tally.add("background", background == scene.background)
        tally.add("colour", found is not None and found.colour == thing.colour)
        shape = found is not None and found.subject == thing.subject
        for name in ("shape", f"shape {scene.size or 'medium'}", f"shape {thing.subject}"):
            tally.add(name, shape)
        tally.add("place", found is not None and found.place == (scene.place or "centre"))
        tally.add("size", found is not None and found.size == (scene.size or "medium"))
    return tally.shares()


def judge_pairs(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of pictures whose two things have their colours, their shapes, both."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        read = halved(picture, clip_skip)
        background = read_background(read)
        found = [read_thing(read, background, part) for part in halves(scene.relation)]
        colours = _matches(scene, found, "colour")
        shapes = _matches(scene, found, "subject")
        tally.add("pair background", background == scene.background)
        tally.add("pair colours", all(colours))
        tally.add("pair shapes", all(shapes))
        tally.add("pair colours and shapes", all(colours) and all(shapes))
        tally.add("second object", colours[1])
    return tally.shares()


def judge_rows(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of pictures with the right number of things."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        read = halved(picture, clip_skip)
        right = count_things(read, read_background(read)) == scene.count
        tally.add("number", right)
        tally.add(f"number {scene.count}", right)
    return tally.shares()


def _matches(scene: Scene, found: Sequence[Found | None], what: str) -> list[bool]:
    return [
        f is not None and getattr(f, what) == getattr(thing, what)
        for f, thing in zip(found, scene.things, strict=True)
    ]


def varied_prompts(count: int) -> list[str]:
    """Prompts of 2 to 20 words, of everything that the model knows."""
    rng = random.Random("varied")
    found = everyday()
    while len(found) < count:
        words = captions.caption(random_scene(rng), rng)
        if 2 <= len(words.split()) <= 20:
            found.append(words)
    return found[:count]


def steps_between(demo: Demo, count: int, first_seed: int = 90_000) -> dict[str, Any]:
    """How far apart neighbouring clip skips are: mean absolute difference in levels of 255.

    ``visible`` is the share of steps of at least 2 levels; ``levels`` the mean of each step;
    ``way`` each step's mean share of the way from clip skip 1 to 12.
    """
    prompts = varied_prompts(count)
    seeds = range(first_seed, first_seed + count)
    at = [to_pixels(demo.draw(prompts, seeds, clip_skip=k)).astype(np.int16) for k in range(1, 13)]
    apart = [np.abs(a - b).mean(axis=(1, 2, 3)) for a, b in itertools.pairwise(at)]
    whole = np.abs(at[0] - at[-1]).mean(axis=(1, 2, 3))
    return {
        "visible": round(float((np.stack(apart) >= 2).mean()), 4),
        "levels": [round(float(step.mean()), 1) for step in apart],
        "way": [round(float((step / whole).mean()), 3) for step in apart],
        "from 1 to 12": round(float(whole.mean()), 1),
    }


def drawn(scenes: Sequence[Scene], seed: str, clip_skip: int = 1) -> np.ndarray:
    """True drawings of the scenes."""
    rng = random.Random(f"drawn/{seed}")
    return np.stack([np.asarray(draw_scene(scene, rng, clip_skip)) for scene in scenes])


def check_checker(scenes: Sequence[Scene], two: Sequence[Scene], vae: Vae) -> dict[str, Scores]:
    """The checker's own scores on true drawings and on what the VAE makes of them."""
    true = [drawn(group, "checker") for group in (scenes, two)]
    with torch.no_grad():
        drawings = [to_tensor(torch.from_numpy(p)) for p in true]
        rebuilt = [to_pixels(_through(vae, p)) for p in drawings]
    return {
        name: judge_singles(scenes, a) | judge_pairs(two, b)
        for name, (a, b) in (("drawings", true), ("VAE", rebuilt))
    }


def _through(vae: Vae, pictures: torch.Tensor) -> torch.Tensor:
    split = (part.to(vae.device) for part in torch.split(pictures, 25))
    latents = (vae.encode(part).latent_dist.mode() for part in split)
    return torch.cat([vae.decode(each).sample.clamp(-1, 1).cpu() for each in latents])


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


NEGATIVE = "lowres, blurry, worst quality, low quality, bad anatomy"
STRANGE = "masterpiece, best quality, {}, zorblax quintessential, photorealistic 日本"


@dataclass(frozen=True)
class Row:
    """One row of the report: which part, at which clip skip, with how many prompts."""

    name: str
    clip_skip: int
    scenes: tuple[Scene, ...]
    pairs: tuple[Scene, ...] = ()
    several: tuple[Scene, ...] = ()
    negative: str = ""
    around: str = "{}"
    steps: int = 0  # prompts to compare neighbouring clip skips with

    def measure(self, model: Path, device: str) -> dict[str, Any]:
        """Draw and judge this row."""
        torch.set_num_threads(1)
        demo = _loaded(model, device)
        if self.steps:
            return steps_between(demo, self.steps)
        scores: Scores = {}
        groups = (self.scenes, 50_000, judge_singles), (self.pairs, 70_000, judge_pairs)
        for scenes, seed, judge in (*groups, (self.several, 80_000, judge_rows)):
            if scenes:
                prompts = [self.around.format(p) for p in say(scenes, str(seed))]
                pictures = demo.draw(
                    prompts,
                    range(seed, seed + len(prompts)),
                    clip_skip=self.clip_skip,
                    negative=self.negative,
                )
                scores |= judge(scenes, to_pixels(pictures), self.clip_skip)
        return scores


@functools.cache
def _loaded(model: Path, device: str) -> Demo:
    return Demo.load(model, device)


def rows(count: int) -> list[Row]:
    """What is measured: clip skip 1 and 2 in full, the rest of the curve with a quarter."""
    scenes, two = tuple(singles(count, "eval")), tuple(pairs(count // 2, "eval"))
    several = tuple(rows_of_things(count // 4, "eval"))
    few = scenes[: count // 4], two[: count // 8], several[: count // 8]
    whole = scenes, two, several
    curve = [Row("clip skip", k, *(whole if k <= 2 else few)) for k in range(1, 13)]
    return [
        *curve,
        Row("negative prompt", 1, few[0], negative=NEGATIVE),
        Row("strange words", 1, few[0], around=STRANGE),
        Row("steps between clip skips", 1, (), steps=count // 4),
    ]


def evaluate(
    model: Path, vivid: Path, count: int, processes: int, device: str
) -> Iterator[dict[str, Any]]:
    """Everything the docs state, part by part as it becomes known."""
    demo = Demo.load(model, device)
    yield {"prompts": count, "pairs": count // 2, "seconds for one": seconds_for_one(demo)}
    torch.set_num_threads(1)  # from here on it shares the machine with its own processes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        todo = rows(count)
        full = todo[0]
        measured = pool.map(Row.measure, todo, itertools.repeat(model), itertools.repeat(device))
        if (vivid / "config.json").exists():
            yield {"chroma": chroma_ratio(demo, load_vae(vivid, device))}
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
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    report: dict[str, Any] = {}
    for part in evaluate(Path(args.model), Path(args.vae), args.count, args.processes, args.device):
        report |= part
        Path(args.report).write_text(json.dumps(report, indent=1), encoding="utf-8")
        for name, value in part.items():
            print(name, _short(value) if "background" in str(value) else value, flush=True)


if __name__ == "__main__":
    main()
