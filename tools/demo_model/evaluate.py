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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import captions
from .colour import mean_chroma
from .draw import draw_scene
from .everyday import EVERYDAY
from .judging import (
    Scores,
    judge_alone,
    judge_open,
    judge_pairs,
    judge_several,
    judge_singles,
)
from .networks import Vae
from .pool import to_tensor
from .sampling import Demo, load_vae, to_pixels
from .scene import (
    CORNERS,
    FIRST,
    SCENES,
    SUBJECTS,
    WIDER,
    Scene,
    random_pair,
    random_scene,
    random_several,
    random_single,
)


def singles(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of one thing, every third small."""
    rng = random.Random(f"single/{seed}")
    return [random_single(rng, small=1 / 3, want_held_out=True) for _ in range(count)]


def pairs(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of two things."""
    rng = random.Random(f"pair/{seed}")
    return [random_pair(rng, want_held_out=True) for _ in range(count)]


def wider(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of one thing, of which each is new: subject, background or corner."""
    rng = random.Random(f"wider/{seed}")
    found: list[Scene] = []
    while len(found) < count:
        scene = random_single(rng, small=0.25, want_held_out=True, known=WIDER)
        old = scene.things[0].subject in FIRST.subjects and scene.background in FIRST.backgrounds
        if not old or scene.place in CORNERS:
            found.append(scene)
    return found


def several(count: int, seed: str) -> list[Scene]:
    """Held-out scenes of two or three of one thing."""
    rng = random.Random(f"several/{seed}")
    return [random_several(rng, want_held_out=True) for _ in range(count)]


def say(scenes: Sequence[Scene], seed: str) -> list[str]:
    """A full caption of each scene, prose and tags by turns."""
    rng = random.Random(f"say/{seed}")
    return [(captions.tags if i % 2 else captions.prose)(s, rng) for i, s in enumerate(scenes)]


def varied_prompts(count: int) -> list[str]:
    """Prompts of 2 to 20 words; every fourth names nothing but a thing and its colour."""
    rng = random.Random("varied")
    found: list[str] = []
    while len(found) < count:
        scene = random_scene(rng)
        if len(found) % 4 == 0:
            thing = random_single(rng, small=0.3, known=WIDER).things[0]
            words = f"a {thing.colour} {thing.subject}"
        else:
            words = captions.caption(scene, rng)
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


def check_checker(
    scenes: Sequence[Scene], judge: Callable[[Sequence[Scene], np.ndarray], Scores], vae: Vae
) -> dict[str, Scores]:
    """The checker's own scores on true drawings and on what the VAE makes of them."""
    rng = random.Random(7)
    drawn = to_tensor([draw_scene(scene, rng) for scene in scenes])
    with torch.no_grad():
        rebuilt = _through(vae, drawn)
    return {
        "drawings": judge(scenes, to_pixels(drawn)),
        "VAE": judge(scenes, to_pixels(rebuilt)),
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


NEGATIVE = "lowres, blurry, worst quality, low quality, bad anatomy"
STRANGE = "masterpiece, best quality, {}, zorblax quintessential, photorealistic 日本"
SEEDS = {"one": 50_000, "two": 70_000, "several": 80_000, "alone": 85_000, "everyday": 87_000}


@dataclass(frozen=True)
class Row:
    """One row of the report: which part, at which clip skip, with which scenes."""

    name: str
    clip_skip: int = 1
    scenes: tuple[Scene, ...] = ()
    pairs: tuple[Scene, ...] = ()
    several: tuple[Scene, ...] = ()
    alone: tuple[Scene, ...] = ()
    negative: str = ""
    around: str = "{}"  # puts each prompt between other words
    everyday: bool = False
    prompts: tuple[str, ...] = ()  # to walk through every clip skip with, instead of judging

    def measure(self, model: Path) -> Scores:
        """Draw and judge this row."""
        torch.set_num_threads(1)
        if self.prompts:
            return steps_between(_loaded(model), self.prompts)
        if self.everyday:
            pictures = self._drawn(model, list(EVERYDAY), "everyday")
            return judge_open(list(EVERYDAY.values()), pictures)
        groups = {"one": self.scenes, "two": self.pairs, "several": self.several}
        scores: Scores = {}
        for group, scenes in (groups | {"alone": self.alone}).items():
            if not scenes:
                continue
            pictures = self._drawn(model, say(scenes, group), group)
            if group == "one":
                scores |= judge_singles(scenes, pictures, self.clip_skip)
            elif group == "two":
                scores |= judge_pairs(scenes, pictures, self.clip_skip)
            else:
                scores |= (judge_several if group == "several" else judge_alone)(scenes, pictures)
        return scores

    def _drawn(self, model: Path, prompts: Sequence[str], group: str) -> np.ndarray:
        seeds = range(SEEDS[group], SEEDS[group] + len(prompts))
        prompts = [self.around.format(prompt) for prompt in prompts]
        pictures = _loaded(model).draw(
            prompts, seeds, clip_skip=self.clip_skip, negative=self.negative
        )
        return to_pixels(pictures)


@functools.cache
def _loaded(model: Path) -> Demo:
    return Demo.load(model)


def rows(count: int) -> list[Row]:
    """What is measured: clip skip 1 and 2 in full, the rest of the curve with a quarter."""
    scenes, two = tuple(singles(count, "eval")), tuple(pairs(count // 2, "eval"))
    some, few = scenes[: count // 4], two[: count // 8]
    curve = [Row("clip skip", k, *((scenes, two) if k <= 2 else (some, few))) for k in range(1, 13)]
    landscapes = [Scene((), name) for name in SCENES if name != "sunset"]
    return [
        *curve,
        Row("negative prompt", scenes=some, negative=NEGATIVE),
        Row("strange words", scenes=some, around=STRANGE),
        Row("wider", scenes=tuple(wider(count // 2, "eval"))),
        Row("numbers", several=tuple(several(count // 4, "eval"))),
        Row("backgrounds", alone=tuple(landscapes * (count // 100 or 1))),
        Row("everyday", everyday=True),
        Row("steps from clip skip", prompts=tuple(varied_prompts(count // 4))),
    ]


def evaluate(model: Path, vivid: Path, count: int, processes: int) -> Iterator[dict[str, Any]]:
    """Everything the docs state, part by part as it becomes known."""
    demo = Demo.load(model)
    yield {"prompts": count, "pairs": count // 2, "seconds for one": seconds_for_one(demo)}
    torch.set_num_threads(1)  # from here on it shares the machine with its own processes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        todo = rows(count)
        measured = pool.map(Row.measure, todo, itertools.repeat(model))
        if (vivid / "config.json").exists():
            yield {"chroma": chroma_ratio(demo, load_vae(vivid))}
        for row in todo[:1] + [row for row in todo if row.name in ("wider", "numbers")]:
            name = f"checker, {row.name}"
            if row.scenes:
                yield {name: check_checker(row.scenes, judge_singles, demo.vae)}
            if row.pairs:
                yield {f"{name}, pairs": check_checker(row.pairs, judge_pairs, demo.vae)}
            if row.several:
                yield {name: check_checker(row.several, judge_several, demo.vae)}
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
