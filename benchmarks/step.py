"""A step beside the UNet: the engine's, and a diffusers scheduler for each picture.

``python -m benchmarks.step [--side 64]``: 1, 4 and 16 pictures of different samplers, CFG scale 7,
two rows each. The UNet is a stand-in that sleeps, in which time noise is drawn ahead. Printed are
the medians of the CPU's milliseconds a call in the stepping thread, which other load hardly
changes, and torch's operations that are not views, about one launch each on a graphics card. Noise
that other threads draw is not among them. ``--side`` is that of the latents: at 8 it is Python's
time, at 64 (512×512 pixels) also the CPU's for the numbers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from core.config import EngineConfig
from core.engine.engine import Engine
from core.events import Started
from core.models.catalogue import Catalogue, Model
from core.options import SAMPLERS
from core.request import GenerationRequest
from core.work import Work
from tools import random_models

STEPS: Final = 100
KARRAS: Final = {"use_karras_sigmas": True}
SDE: Final = {"algorithm_type": "sde-dpmsolver++", **KARRAS}
# The samplers that diffusers has, so that both sides step the same pictures.
SCHEDULERS: Final[dict[str, tuple[Any, dict[str, Any]]]] = {
    "Euler": (diffusers.EulerDiscreteScheduler, {}),
    "Euler a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "LMS": (diffusers.LMSDiscreteScheduler, {}),
    "DPM++ 2M": (diffusers.DPMSolverMultistepScheduler, KARRAS),
    "DDIM": (diffusers.DDIMScheduler, {}),
    "UniPC": (diffusers.UniPCMultistepScheduler, {}),
    "Heun": (diffusers.HeunDiscreteScheduler, {}),
    "DPM++ 2M SDE": (diffusers.DPMSolverMultistepScheduler, SDE),
    "LCM": (diffusers.LCMScheduler, {"original_inference_steps": STEPS}),
    "DPM2": (diffusers.KDPM2DiscreteScheduler, KARRAS),
}
# All but the one that looks at its latents, which has operations of its own.
ALL: Final = tuple(sampler for sampler in SAMPLERS if sampler != "DPM adaptive")
CFG_SCALE: Final = 7.0
COUNTED: Final = 40
UNET_SECONDS: Final = 0.03


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what would launch a kernel or a copy."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        makes = isinstance(result, Tensor) and "empty" not in str(func)
        self.count += makes and not func.is_view and "_unsafe_view" not in str(func)
        return result


class StandIn:
    """The UNet: sleeps, and answers with the same numbers."""

    def __init__(self) -> None:
        self._answers: dict[Any, Tensor] = {}

    def __call__(self, sample: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        """Return numbers of the sample's shape."""
        if sample.shape not in self._answers:
            self._answers[sample.shape] = torch.randn_like(sample)
        time.sleep(UNET_SECONDS)
        return (self._answers[sample.shape],)


def measured(step: Callable[[], object]) -> tuple[float, float]:
    """Return the median of the CPU's milliseconds of ``step``, and its operations."""
    for _ in range(2):
        step()
    times = []
    for _ in range(COUNTED):
        start = time.thread_time()
        step()
        times.append(time.thread_time() - start)
    with Operations() as operations:
        for _ in range(4):
            step()
    return statistics.median(times) * 1000, operations.count / 4


def ours(model: Model, folder: Path, samplers: tuple[str, ...], side: int) -> tuple[float, float]:
    """Measure an engine with a picture of each of the ``samplers``."""
    engine = Engine(EngineConfig(device="cpu", cache_dir=folder))
    engine._models.load(model).unet.forward = StandIn()
    for seed, sampler in enumerate(samplers):
        request = GenerationRequest(
            "a red circle", model.name, seed, width=side * 8, height=side * 8, steps=STEPS,
            sampler=sampler, cfg_scale=CFG_SCALE,
        )  # fmt: skip
        engine.add(Work.of(seed, "bench", request, model))
    begun = 0
    while begun < len(samplers):
        begun += sum(isinstance(event, Started) for event in engine.step())
    result = measured(engine.step)
    for seed in range(len(samplers)):
        engine.abort(seed)
    while engine.busy:
        engine.step()
    engine.close()
    return result


def theirs(samplers: tuple[str, ...], side: int) -> tuple[float, float]:
    """Measure a scheduler for each picture, stepped around a shared call."""
    pictures = []
    unet = StandIn()
    for seed, sampler in enumerate(samplers):
        kind, options = SCHEDULERS[sampler]
        scheduler = kind(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options
        )
        scheduler.set_timesteps(STEPS)
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(1, 4, side, side, generator=generator) * scheduler.init_noise_sigma
        # Only these draw noise, and the others' steps do not know a generator.
        draws = "generator" in kind.step.__code__.co_varnames
        own = {"generator": generator} if draws else {}
        pictures.append([scheduler, latents, iter(scheduler.timesteps), own])

    @torch.inference_mode()
    def step() -> None:
        times = [next(each[2]) for each in pictures]
        inputs = [
            each[0].scale_model_input(each[1], t) for each, t in zip(pictures, times, strict=True)
        ]
        rows = torch.cat([row for each in inputs for row in (each, each)])
        (outputs,) = unet(rows, torch.stack(times).repeat_interleave(2))
        for place, (each, t) in enumerate(zip(pictures, times, strict=True)):
            negative, positive = outputs[2 * place :][:2].chunk(2)
            guided = negative + CFG_SCALE * (positive - negative)
            each[1] = each[0].step(guided, t, each[1], **each[3]).prev_sample

    return measured(step)


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"One thread, latents of 4×{options.side}×{options.side}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_models.write_folder(random_models.tiny("sd1"), folder / "random", 0, torch.float32)
        model = Catalogue.scan(folder, folder / "vaes", folder / "data").model("random")
        for count in (1, 4, 16):
            shared = (tuple(SCHEDULERS) * 2)[:count]
            sides: dict[str, Callable[[], tuple[float, float]]] = {
                "engine": partial(ours, model, folder, shared, options.side),
                "diffusers": partial(theirs, shared, options.side),
                "engine, any": partial(ours, model, folder, ALL[-count:], options.side),
            }
            results: dict[str, list[tuple[float, float]]] = {each: [] for each in sides}
            for _ in range(options.rounds):
                for each, run in sides.items():
                    results[each].append(run())
            for each, result in results.items():
                times = sorted(ms for ms, _ in result)
                print(
                    f"{count:2} pictures  {each:11} {statistics.median(times):6.2f} ms a step "
                    f"({times[0]:.2f}–{times[-1]:.2f}) {result[0][1]:6.1f} operations"
                )


if __name__ == "__main__":
    main()
