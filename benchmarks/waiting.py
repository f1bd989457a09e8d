"""How long people wait, on cards that are not here: ``python -m benchmarks.waiting``.

A simulation in virtual time. The queue, the client, the engine with its line, its running set, its
knee and its models' residence are the real ones; the card is not: a UNet call, a decode, a text
encoding and a change of the checkpoint take the seconds that :data:`CARDS` says, and compute
nothing. So all figures are predicted, and the same on every machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

from core.config import EngineConfig
from core.engine.engine import Engine
from core.engine.other_phases import OtherPhases
from core.events import Failed, Finished
from core.models.catalogue import Catalogue, Model
from core.models.loading import Models
from core.models.residents import LoadedModel
from core.request import GenerationRequest
from core.serving.client import EngineClient
from core.serving.messages import Downward, Ready, Stop, Upward
from core.serving.queue import GpuQueue
from core.serving.transport import OnMessage
from core.serving.worker import serve
from core.work import Item, Work
from tools import random_models

# Tiny latents stand for those of 512×512, whose seconds are charged.
SIZE: Final = 64
TFLOP_PER_ROW: Final = 0.803


@dataclass(frozen=True, slots=True)
class Card:
    """Seconds of SD 1.5 at 512×512: arithmetic of a ``row``, a call at least (``launch``)."""

    name: str
    row: float
    launch: float
    decode: float
    encode: float
    switch: float

    def call(self, rows: int) -> float:
        """Return the seconds of a UNet call."""
        return max(self.launch, self.row * rows) + 0.0005


CARDS: Final = {
    "3060": Card("RTX 3060", TFLOP_PER_ROW / 25, 0.016, 0.20, 0.010, 0.6),
    "h100": Card("H100, plain calls", TFLOP_PER_ROW / 400, 0.0145, 0.020, 0.008, 0.35),
    "h100-graphs": Card("H100, CUDA graphs", TFLOP_PER_ROW / 400, 0.004, 0.020, 0.008, 0.14),
}


@dataclass(slots=True)
class Clock:
    """Virtual seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job and when it is asked for."""

    at: float
    work: Work


# What people ask for


def job(job_id: int, owner: str, model: Model, steps: int, at: float, cells: int = 1) -> Arrival:
    """Make a job of one image, or a sheet over seeds, of a prompt that nobody else has."""
    request = GenerationRequest(
        f"prompt {job_id}", model.name, job_id, steps=steps, width=SIZE, height=SIZE
    )
    items = (Item(replace(request, seed=seed), model) for seed in range(cells))
    return Arrival(at, Work(job_id, owner, tuple(items)))


def lone(card: Card, models: Sequence[Model]) -> list[Arrival]:
    """20 long jobs of one member, and a short one of another a second later."""
    long = [job(number, "greedy", models[0], 40, 0.0) for number in range(20)]
    return [*long, job(100, "lone", models[0], 20, 1.0)]


def sheet(card: Card, models: Sequence[Model]) -> list[Arrival]:
    """A sheet of 144 cells, and during it ten single images of five others."""
    singles = [job(i, f"member {i % 5}", models[0], 20, 2.0 + 3 * i) for i in range(1, 11)]
    return [job(0, "sheet", models[0], 20, 0.0, cells=144), *singles]


def sheet_alone(card: Card, models: Sequence[Model]) -> list[Arrival]:
    """Make the same sheet with nobody else there."""
    return sheet(card, models)[:1]


def poisson(load: float, count: int, models: Sequence[Model], card: Card) -> list[Arrival]:
    """Return ``count`` jobs of twelve members at random times, so many that the card is so busy."""
    draw, at, arrivals = random.Random(0), 0.0, []
    a_job = 27.5 * (card.row * 1.75) + card.decode
    for number in range(count):
        at += draw.expovariate(load / a_job)
        member, steps = f"member {draw.randrange(12)}", draw.randint(15, 40)
        cfg, model = (7.0, 7.0, 7.0, 1.0)[draw.randrange(4)], draw.choice(models)
        arrival = job(number, member, model, steps, at)
        request = replace(arrival.work.request, cfg_scale=cfg)
        arrivals.append(Arrival(at, Work.of(number, member, request, model)))
    return arrivals


def busy(card: Card, models: Sequence[Model]) -> list[Arrival]:
    """120 jobs that keep the card busy for 0.8 of the time."""
    return poisson(0.8, 120, models[:1], card)


def two_models(card: Card, models: Sequence[Model]) -> list[Arrival]:
    """60 jobs of two checkpoints that do not fit together, load 0.5."""
    return poisson(0.5, 60, models, card)


Trace = Callable[[Card, Sequence[Model]], list[Arrival]]


# The card that is not here


class CardMemory:
    """Room for one checkpoint, and not for a second beside it."""

    def __init__(self) -> None:
        self.models: Models | None = None
        self.total = 0

    @property
    def free(self) -> int:
        """Bytes that no checkpoint takes."""
        assert self.models is not None
        there = (each for each in self.models._warm.values() if each.on_device)
        return self.total - sum(each.master.nbytes for each in there if each.master)

    def release(self) -> None:
        """Nothing is kept."""


class CardModels(Models):
    """Models whose modules take a card's seconds and compute nothing."""

    def __init__(self, config: EngineConfig, card: Card, clock: Clock) -> None:
        self._card, self._clock = card, clock
        self._slowed: set[str] = set()
        memory = CardMemory()
        super().__init__(config, memory=memory, ram=lambda: None)
        memory.models, self._room = self, memory

    def load(self, model: Model) -> LoadedModel:  # noqa: D102
        self._room.total = 2 * self._need(model)
        before = self._there()
        loaded = super().load(model)
        if self._there() - before:
            self._clock.now += self._card.switch
        if model.name not in self._slowed:
            self._slowed.add(model.name)
            self._slow_down(loaded)
        return loaded

    def _there(self) -> set[int]:
        return {id(each) for each in self._warm.values() if each.on_device}

    def _slow_down(self, loaded: LoadedModel) -> None:
        card, clock = self._card, self._clock

        def predict(sample: Tensor, *_: object, **__: object) -> tuple[Tensor]:
            clock.now += card.call(len(sample))
            return (torch.zeros_like(sample),)

        def decode(latents: Tensor) -> Any:
            clock.now += card.decode
            height, width = latents.shape[-2:]
            return SimpleNamespace(sample=torch.zeros(1, 3, height * 8, width * 8))

        def encode(*_: object) -> None:
            clock.now += card.encode

        loaded.unet.forward = predict
        loaded.vae.module.decode = decode
        for encoder in loaded.conditioner.encoders:
            encoder.text_model.embeddings.register_forward_pre_hook(encode)


class AtOnce(ThreadPoolExecutor):
    """A pool that has done what it is given before it returns: no thread runs by another clock."""

    def submit(self, function: Any, /, *given: Any, **named: Any) -> Future[Any]:
        """Run it."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*given, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class CardEngine(Engine):
    """The engine, without threads of its own."""

    def __init__(self, config: EngineConfig, models: Models, clock: Clock) -> None:
        super().__init__(config, clock=clock, models=models)
        self._threads = self._maker = AtOnce()
        self._others = OtherPhases(self._threads)


# From the queue to the engine


@dataclass(eq=False)
class Wire:
    """Both ends of the pipe between client and engine: a transport there, a connection here.

    The engine's loop asks it for messages, and that is when the bot's event loop has its turn:
    jobs that are due are submitted, and the client sends what it may.
    """

    loop: asyncio.AbstractEventLoop
    clock: Clock
    queue: GpuQueue
    coming: list[Arrival]
    took: dict[int, float] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    pid: None = None
    _hear: OnMessage | None = None
    _inbox: list[Downward] = field(default_factory=list)
    _begun: dict[int, float] = field(default_factory=dict)

    def connect(self, config: EngineConfig, hear: OnMessage) -> Wire:
        """Be the client's transport."""
        self._hear = hear
        return self

    def start(self) -> None:
        """Say that the engine is ready."""
        assert self._hear is not None
        self.loop.call_soon(self._hear, Ready("a card that is not here"))

    def stop(self, grace: float) -> str:
        """Do nothing: the engine ends with the last job."""
        return ""

    def send(self, message: Any) -> None:
        """Take a message of either end to the other."""
        if isinstance(message, Downward):
            self._inbox.append(message)
            return
        if isinstance(message, Finished | Failed):
            self.took[message.job_id] = self.clock.now - self._begun[message.job_id]
            if isinstance(message, Failed):
                self.failed.append(message.job_id)
        self._tell(message)

    def _tell(self, message: Upward) -> None:
        assert self._hear is not None
        self._hear(message)

    def poll(self, timeout: float | None) -> bool:
        """Give the bot its turn; an idle engine waits for the next job, or ends."""
        if timeout is None and not self._inbox and self.coming:
            self.clock.now = max(self.clock.now, self.coming[0].at)
        while self.coming and self.coming[0].at <= self.clock.now:
            arrival = self.coming.pop(0)
            self._begun[arrival.work.job_id] = arrival.at
            self.queue.submit(arrival.work)
        self.loop.run_until_complete(_settled())
        if timeout is None and not self._inbox and not self.coming:
            self._inbox.append(Stop())
        return bool(self._inbox)

    def recv(self) -> Downward:
        """Return the next message."""
        return self._inbox.pop(0)


async def _settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from asking to the image, by job, and the jobs that failed."""

    took: dict[int, float]
    failed: list[int]

    def of(self, jobs: Iterable[int]) -> float:
        """Return the mean of these jobs."""
        return statistics.fmean(self.took[each] for each in jobs)

    @property
    def mean(self) -> float:
        """The mean of all."""
        return self.of(self.took)

    @property
    def p95(self) -> float:
        """The seconds that 95 of 100 jobs do not exceed."""
        ordered = sorted(self.took.values())
        return ordered[int(len(ordered) * 0.95)]


class Simulation:
    """A card with two checkpoints, whose knee has been measured by some jobs before."""

    def __init__(self, card: Card, folder: Path) -> None:
        random_folder = Catalogue.scan(folder, folder / "no", folder / "no")
        self._models = [random_folder.model(name) for name in "ab"]
        self._card, self._clock = card, Clock()
        config = EngineConfig(device="cpu", threads=1, timeout=0, cache_dir=folder / card.name)
        shelf = CardModels(config, card, self._clock)
        self._engine = CardEngine(config, shelf, self._clock)
        for model in reversed(self._models):
            shelf.load(model)
        self._run(poisson(0.9, 24, self._models[:1], card))

    def run(self, trace: Trace) -> Waits:
        """Run a trace to its end."""
        return self._run(trace(self._card, self._models))

    def close(self) -> None:
        """Release the models."""
        self._engine.close()

    def _run(self, coming: list[Arrival]) -> Waits:
        clock = self._clock
        queue = GpuQueue(10**6, 10**6, clock=clock)
        coming = [Arrival(clock.now + each.at, each.work) for each in coming]
        config = EngineConfig(timeout=0)
        with asyncio.Runner() as runner:
            coming.sort(key=lambda each: each.at)
            runner.get_loop().set_default_executor(AtOnce())
            wire = Wire(runner.get_loop(), clock, queue, coming)
            client = EngineClient(config, queue, transport=wire.connect, clock=clock)
            runner.run(client.start())
            runner.run(client.ready())
            connection: Any = wire
            serve(connection, self._engine)
            runner.run(client.close())
        return Waits(wire.took, wire.failed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", nargs="+", choices=CARDS, default=list(CARDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder)
        for card in (CARDS[name] for name in options.cards):
            print(f"{card.name}, SD 1.5, 512×512; seconds, predicted", flush=True)
            simulation = Simulation(card, folder)
            for line in table(simulation):
                print(f"  {line}", flush=True)
            simulation.close()


def write_models(folder: Path) -> None:
    """Write two checkpoints, ``a`` and ``b``."""
    for seed, name in enumerate("ab"):
        recipe = random_models.tiny("sd1")
        random_models.write_folder(recipe, folder / name, seed, torch.float32)


def table(simulation: Simulation) -> Iterable[str]:
    """Simulate what docs/benchmarks.md quotes; yield a line for each."""
    run = simulation.run
    yield f"a lone short job behind 20 long ones  {run(lone).took[100]:6.1f}"
    alone, waits = run(sheet_alone), run(sheet)
    yield f"ten singles during a sheet of 144     {waits.of(range(1, 11)):6.1f} mean"
    yield f"the sheet itself, with them           {waits.took[0]:6.1f}, alone {alone.took[0]:.1f}"
    waits = run(busy)
    mean, p95 = waits.mean, waits.p95
    yield f"Poisson load 0.8                      {mean:6.1f} mean, {p95:.1f} p95"
    waits = run(two_models)
    failed = len(waits.failed)
    yield f"two checkpoints, room for one         {waits.mean:6.1f} mean, {failed} failed"


if __name__ == "__main__":
    main()
