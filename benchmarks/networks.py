"""Eight members with eight LoRAs: one shared UNet call, or one after another with merging.

``python -m benchmarks.networks [--device cpu|cuda] [--threads N] [--model DIR] [--rank 8]
[--steps 20] [--rounds 5]``: a UNet folder of diffusers' (or a tiny one), LoRAs of random numbers on
all its attention and feed-forward layers, two rows a member. Every row is compared with its member
alone first; then both ways run in turn, and medians and ratios are printed. At last the
cost of a step without networks, with and without the door to them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from core.models.networks.model_networks import ModelNetworks
from core.models.networks.network_set import NetworkSet
from core.models.weights.network_file import NetworkUse
from tools.random_models import tiny, write_folder

MEMBERS: Final = 8
ROWS: Final = 2
LAYERS: Final = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


def write_lora(unet: nn.Module, path: Path, rank: int, seed: int) -> Path:
    """Write a LoRA of random numbers on the UNet's attention and feed-forward layers."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(LAYERS):
            key = "lora_unet_" + name.replace(".", "_")
            down = torch.randn(rank, module.in_features, generator=generator)
            up = torch.randn(module.out_features, rank, generator=generator)
            tensors[f"{key}.lora_down.weight"] = down / module.in_features**0.5
            tensors[f"{key}.lora_up.weight"] = 0.1 * up
    save_file(tensors, path)
    return path


class Members:
    """The members' LoRAs and the inputs of their rows."""

    def __init__(self, unet: Any, folder: Path, rank: int, device: str) -> None:
        self.unet = unet
        self.networks = ModelNetworks({"unet": unet})
        self.merging = ModelNetworks({"unet": unet}, shares=False)
        names = range(MEMBERS)
        uses = [NetworkUse(write_lora(unet, folder / f"{n}", rank, n)) for n in names]
        self.sets = [self.networks.set_of([use]) for use in uses]
        self.merged = [self.merging.set_of([use]) for use in uses]
        generator = torch.Generator().manual_seed(7)
        size, rows = unet.config.sample_size, MEMBERS * ROWS
        self.x = torch.randn(rows, 4, size, size, generator=generator).to(device, unet.dtype)
        width = unet.config.cross_attention_dim
        self.context = torch.randn(rows, 77, width, generator=generator).to(device, unet.dtype)
        self.t = torch.linspace(0, 999, rows).to(device)

    def call(self, rows: slice) -> Tensor:
        """One UNet call of some of the rows."""
        output = self.unet(self.x[rows], self.t[rows], self.context[rows], return_dict=False)
        prediction: Tensor = output[0]
        return prediction

    def shared(self, steps: int) -> Tensor:
        """All members in one call a step."""
        rows: list[NetworkSet | None] = [own for own in self.sets for _ in range(ROWS)]
        for _ in range(steps):
            with self.networks.rows(rows):
                output = self.call(slice(None))
        return output

    def in_turn(self, steps: int, *, each_step: bool = False) -> Tensor:
        """One member after another, merged once, or anew for each step."""
        outputs = []
        for place, own in enumerate(self.merged):
            rows = slice(place * ROWS, (place + 1) * ROWS)
            for step in range(steps):
                if each_step or not step:
                    self.merging.forget()
                with self.merging.rows([own] * ROWS):
                    output = self.call(rows)
            outputs.append(output)
        return torch.cat(outputs)


def median(run: Callable[[], object], rounds: int) -> float:
    """Return the median time in seconds."""
    run()
    times = []
    for _ in range(rounds):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def idle(members: Members, rounds: int) -> tuple[float, float]:
    """Return the seconds of a step without networks, and of what the door to them adds."""
    nothing = [None] * MEMBERS * ROWS

    def doors() -> None:
        for _ in range(1000):
            with members.networks.rows(nothing):
                pass

    step = median(lambda: members.call(slice(None)), rounds)
    return step, median(doors, rounds) / 1000


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    model_class: Any = UNet2DConditionModel
    with TemporaryDirectory() as folder, torch.inference_mode():
        path = args.model or write_folder(tiny("sd1"), Path(folder, "m"), 0, torch.float32) / "unet"
        unet = model_class.from_pretrained(path, torch_dtype=torch.float32, low_cpu_mem_usage=False)
        members = Members(unet.to(args.device).eval(), Path(folder), args.rank, args.device)
        measure(members, args.steps, args.rounds)


def measure(members: Members, steps: int, rounds: int) -> None:
    """Compare, then time and print."""
    alone = members.in_turn(1)
    off = float((members.shared(1) - alone).abs().max() / alone.abs().max())
    print(f"largest difference to each member alone: {off:.1e} of the largest value")
    shared = median(lambda: members.shared(steps), rounds)
    once = median(lambda: members.in_turn(steps), rounds)
    anew = median(lambda: members.in_turn(steps, each_step=True), rounds)
    print(f"shared, {steps} steps: {shared:.3f} s")
    print(f"one after another, merged once each: {once:.3f} s, {once / shared:.2f}x")
    print(f"in turn, merged for each step: {anew:.3f} s, {anew / shared:.2f}x")
    step, door = idle(members, rounds)
    print(f"without networks: {step * 1e3:.2f} ms a step, the door {door * 1e6:.2f} us")
    print(f"idle cost: {door / step:.4%}")


if __name__ == "__main__":
    main()
