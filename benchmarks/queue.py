"""Our engine against stock diffusers, which generates one picture at a time.

``python -m benchmarks.queue [--trace mixed|sheet|alone] [--device cpu|cuda] [--size tiny|sd15]``,
with ``--steps`` and ``--pixels`` where a whole run of SD 1.5 would take hours: the same random
weights, seeds, steps, samplers, guidance and clip skips for both, up to the PNG bytes. Pictures are
compared first; then the two alternate in shuffled order, and the ratio of their medians is printed.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import torch
from PIL import Image

from core.config import EngineConfig
from core.engine.engine import Engine
from core.events import Failed, Finished
from core.models.catalogue import Catalogue, Model
from core.request import GenerationRequest, split_sampler
from core.work import Item, Work
from tools import random_models

SCHEDULERS: Final[dict[str, tuple[type[Any], dict[str, Any]]]] = {
    "Euler": (diffusers.EulerDiscreteScheduler, {}),
    "Euler a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "LMS": (diffusers.LMSDiscreteScheduler, {}),
    "DPM++ 2M Karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}
PROMPTS: Final = (
    "a red circle on a blue background",
    "masterpiece, best quality, 1star, yellow, night sky",
    "a small house on a grass field, a tree on the left, morning light",
)
# Largest mean difference of two pictures, in 1/255. diffusers' DPM++ 2M Karras starts from a
# different noise scale and rounds timesteps, unlike A1111; the others differ by float noise.
PARITY: Final = {"DPM++ 2M Karras": 12.0}
PARITY_ELSE: Final = 0.05

Pictures = list[bytes]


def mixed(model: Model, size: int, steps: int | None = None) -> list[Work]:
    """Make 32 jobs of random requests, as from a server: hardly two alike. Seeded."""
    draw = random.Random(0)
    works = []
    for seed in range(32):
        sampler, schedule_type = split_sampler(draw.choice(list(SCHEDULERS)))
        request = GenerationRequest(
            prompt=draw.choice(PROMPTS),
            negative_prompt=draw.choice(("", "worst quality, blurry")),
            model=model.name,
            seed=seed,
            steps=steps or draw.randint(15, 40),
            cfg_scale=float(draw.randint(1, 12)),
            clip_skip=draw.randint(1, 12),
            sampler=sampler,
            schedule_type=schedule_type,
            width=size,
            height=size,
        )
        works.append(Work.of(seed, "bench", request, model))
    return works


def plain(model: Model, size: int, steps: int | None) -> GenerationRequest:
    """Make a request of a square picture with the default options."""
    request = GenerationRequest(PROMPTS[0], model.name, 0, width=size, height=size)
    return replace(request, steps=steps or request.steps)


def alone(model: Model, size: int, steps: int | None = None) -> list[Work]:
    """Make one job of one picture."""
    request = plain(model, size, steps)
    return [Work.of(0, "bench", request, model)]


def sheet(model: Model, size: int, steps: int | None = None) -> list[Work]:
    """Make one job: the same picture at clip skip 1 to 12."""
    request = plain(model, size, steps)
    cells = (replace(request, clip_skip=number) for number in range(1, 13))
    return [Work(0, "bench", tuple(Item(cell, model) for cell in cells))]


TRACES: Final = {"mixed": mixed, "alone": alone, "sheet": sheet}


def ours(engine: Engine, works: Sequence[Work]) -> Pictures:
    """Run all jobs at once; return the PNGs in the order of ``works``."""
    for work in works:
        engine.add(work)
    pictures: dict[int, Pictures] = {}
    while engine.busy:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                pictures[event.job_id] = [image.png for image in event.images]
    return [png for work in works for png in pictures[work.job_id]]


class Stock:
    """diffusers' own pipeline, one request after the other.

    Its ``clip_skip`` argument applies to the positive prompt only and fails with current
    transformers, so both prompts are encoded here.
    """

    def __init__(self, model: Model, device: str, dtype: torch.dtype) -> None:
        pipeline: Any = diffusers.StableDiffusionPipeline
        self.pipe = pipeline.from_pretrained(
            model.path,
            dtype=dtype,
            safety_checker=None,
            requires_safety_checker=False,
            local_files_only=True,
        ).to(device)
        self.pipe.set_progress_bar_config(disable=True)
        self.noise_schedule = self.pipe.scheduler.config

    def __call__(self, requests: Sequence[GenerationRequest]) -> Pictures:
        """Return one PNG per request, in order."""
        return [self._picture(request) for request in requests]

    @torch.inference_mode()
    def _embed(self, text: str, clip_skip: int) -> torch.Tensor:
        tokens = self.pipe.tokenizer(
            text, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids.to(self.pipe.device)
        encoder = self.pipe.text_encoder
        states = encoder(tokens, output_hidden_states=True).hidden_states
        embedding: torch.Tensor = encoder.final_layer_norm(states[-clip_skip])
        return embedding

    def _picture(self, request: GenerationRequest) -> bytes:
        scheduler, options = SCHEDULERS[full_name(request)]
        self.pipe.scheduler = scheduler.from_config(
            self.noise_schedule, timestep_spacing="linspace", **options
        )
        image = self.pipe(
            prompt_embeds=self._embed(request.prompt, request.clip_skip),
            negative_prompt_embeds=self._embed(request.negative_prompt, request.clip_skip),
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            width=request.width,
            height=request.height,
            output_type="np",
        ).images[0]
        # Truncated, as A1111 and so the engine does; diffusers' own images are rounded.
        file = io.BytesIO()
        Image.fromarray((image * 255).astype("uint8")).save(file, "PNG", compress_level=1)
        return file.getvalue()


def difference(left: bytes, right: bytes) -> float:
    """Return the mean absolute difference of two PNGs, in 1/255."""
    a, b = (np.asarray(Image.open(io.BytesIO(png)), np.float32) for png in (left, right))
    return float(np.abs(a - b).mean())


def full_name(request: GenerationRequest) -> str:
    """Return the sampler with its schedule type, a key of :data:`SCHEDULERS`."""
    return request.sampler + (" Karras" if request.schedule_type == "Karras" else "")


def check_parity(requests: Sequence[GenerationRequest], left: Pictures, right: Pictures) -> None:
    """Print the largest difference of pictures by sampler; exit if it is too large."""
    worst: dict[str, float] = {}
    for request, a, b in zip(requests, left, right, strict=True):
        name = full_name(request)
        worst[name] = max(worst.get(name, 0.0), difference(a, b))
    for name, apart in worst.items():
        print(f"parity  {name:16} at most {apart:.3f} of 255 apart")
        if apart > PARITY.get(name, PARITY_ELSE):
            raise SystemExit("the variants do not draw the same pictures")


def timed(variant: Callable[[], Pictures]) -> float:
    """Return the seconds of one run of the variant, the device synchronised."""
    start = time.perf_counter()
    variant()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def report(seconds: dict[str, list[float]], count: int) -> None:
    """Print medians and ranges, and the ratio."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        print(
            f"{name:7} median {medians[name]:7.2f} s  range {min(times):.2f}–{max(times):.2f}"
            f"  {count / medians[name]:6.2f} pictures/s"
        )
    print(f"ratio   {medians['stock'] / medians['engine']:.2f}× stock diffusers one at a time")


def main() -> None:
    """Compare the pictures, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", choices=TRACES, default="mixed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=("tiny", "sd15"), default="tiny")
    parser.add_argument("--steps", type=int, help="of every picture")
    parser.add_argument("--pixels", type=int, help="width and height; 64 for tiny, 512 for sd15")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    tiny = options.size == "tiny"
    recipe = (random_models.tiny if tiny else random_models.full)("sd1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        random_models.write_folder(recipe, root / "random", 0, torch.float32)
        model = Catalogue.scan(root, root / "vaes", root / "data").model("random")
        config = EngineConfig(device=options.device, strict=options.strict, cache_dir=root)
        engine = Engine(config)
        dtype = torch.float32 if options.device == "cpu" else torch.float16
        stock = Stock(model, options.device, dtype)
        pixels = options.pixels or (64 if tiny else 512)
        works = TRACES[options.trace](model, pixels, options.steps)
        requests = [item.request for work in works for item in work.items]

        threads = torch.get_num_threads()
        print(f"{engine.device_name}, {threads} threads, {dtype}, {options.trace}")
        print(f"{options.size} at {pixels} × {pixels}, steps: {options.steps or 'as traced'}")
        check_parity(requests, ours(engine, works), stock(requests))

        variants = {"engine": lambda: ours(engine, works), "stock": lambda: stock(requests)}
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        order = random.Random(1)
        for _ in range(options.rounds):
            for name in order.sample(list(variants), len(variants)):
                seconds[name].append(timed(variants[name]))
        engine.close()
    report(seconds, len(requests))


if __name__ == "__main__":
    main()
