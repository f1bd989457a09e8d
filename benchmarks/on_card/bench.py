"""What the parts of ``benchmarks.card`` share: the device, the models, the clock, the records."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from core.models.catalogue import Catalogue, Model
from core.models.weights.components import load_component
from tools import random_models

# One line of the result: what was measured, and its values.
Record = dict[str, str | int | float]
Records = Iterator[Record]
_T = TypeVar("_T")

SIDES: Final = {"sd1": 512, "sdxl": 1024}
TINY_SIDE: Final = 64


@dataclass(eq=False)
class Bench:
    """One run. ``root`` is a folder for models; ``size`` is ``sd15`` or ``tiny``.

    ``shared`` keeps what several parts use; it is dropped after a part that failed.
    """

    device: torch.device
    size: str
    root: Path
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def tiny(self) -> bool:
        """Whether the models are small, to try the benchmark itself on a CPU."""
        return self.size == "tiny"

    @property
    def on_card(self) -> bool:
        """Whether there are streams, graphs and pinned memory."""
        return self.device.type == "cuda"

    @cached_property
    def dtype(self) -> torch.dtype:
        """The UNet's precision: what the engine chooses by itself."""
        return torch.float16 if self.on_card else torch.float32

    def side(self, family: str) -> int:
        """Return the pictures' side in pixels."""
        return TINY_SIDE if self.tiny else SIDES[family]

    def rounds(self, count: int) -> int:
        """Return how often to repeat: ``count`` times on a card, once where it is only tried."""
        return count if self.on_card else 1

    def recipe(self, family: str) -> random_models.Recipe:
        """Return the structure of the family's models."""
        return (random_models.tiny if self.tiny else random_models.full)(family)

    def share(self, name: str, make: Callable[[], _T]) -> _T:
        """Return ``make``'s result, made once for all parts."""
        if name not in self.shared:
            self.shared[name] = make()
        made: _T = self.shared[name]
        return made

    def weights(self, family: str) -> Mapping[str, random_models.State]:
        """Return the family's random weights by component, on the device."""
        recipe = self.recipe(family)
        return self.share(
            f"weights {family}",
            lambda: dict(random_models.states(recipe, 0, self.dtype, self.device)),
        )

    def module(self, family: str, component: str) -> Any:
        """Return a new module of the family's weights, as diffusers or transformers made it."""
        config = self.recipe(family).configs[component]
        tensors = _Made(self.weights(family)[component])
        dtype = self.dtype
        if component == "vae" and family == "sdxl" and self.on_card:
            # SDXL's first VAE overflows in fp16.
            dtype = torch.bfloat16
        return load_component(component, config, tensors, self.device, dtype, "model", "random")

    def model(self, family: str, seed: int = 0) -> Model:
        """Return a checkpoint of these weights on disk; of other ones for another ``seed``."""
        name = f"{family}-{seed}"

        def write() -> Model:
            folder = self.root / "models"
            recipe = self.recipe(family)
            random_models.write_folder(recipe, folder / name, seed, self.dtype, self.device)
            return Catalogue.scan(folder, self.root / "vaes", self.root / "data").model(name)

        return self.share(f"model {name}", write)

    # The clock

    def sync(self) -> None:
        """Wait until the device has done everything."""
        if self.on_card:
            torch.cuda.synchronize(self.device)

    def seconds(self, action: Callable[[], object]) -> float:
        """Return the seconds of one run, with the device waited for."""
        self.sync()
        start = time.perf_counter()
        action()
        self.sync()
        return time.perf_counter() - start

    def ms(self, action: Callable[[], object], repeats: int = 5, warm: int = 2) -> float:
        """Return the median milliseconds of a warm run, with the device waited for."""
        for _ in range(warm if self.on_card else 1):
            action()
        times = [self.seconds(action) for _ in range(self.rounds(repeats))]
        return round(1e3 * statistics.median(times), 3)

    def launch_ms(self, action: Callable[[], object], repeats: int = 3) -> float:
        """Return the median milliseconds until ``action`` returns: the CPU's share of its time."""
        times = []
        for _ in range(self.rounds(repeats)):
            self.sync()
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        self.sync()
        return round(1e3 * statistics.median(times), 3)


class _Made:
    """Weights in memory, as a file's would be read."""

    def __init__(self, state: random_models.State) -> None:
        self._state = state

    def read(self, name: str) -> torch.Tensor | None:
        return self._state.get(name)
