"""The whole engine on a graphics card that is not there: it runs, and what makes it stand still.

The numbers a step are upper bounds of what the engine does; lower them with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.config import EngineConfig
from core.engine import engine as engine_module
from core.engine.engine import Engine
from core.events import Event, Failed, Finished, Started
from core.families import Family
from core.models.addons import NetworkFile
from core.models.catalogue import Model
from core.models.residents import LoadedModel
from core.models.uses import AddOns, UsedNetwork
from core.models.weights.network_file import NetworkUse
from core.options import SAMPLERS
from core.pictures.files import write_png
from core.request import GenerationRequest, HiresFix, Inputs
from core.work import Work
from tests.fake_card import FakeCard, fake_card
from tests.tiny_models import SIZE, tiny_model

FAMILIES: Final[tuple[Family, ...]] = ("sd1", "sd2", "sdxl")

# A step of one picture, in which some samplers call the model twice: what waits for the card, what
# the card waits for, what is copied without waiting, and what is launched outside of the UNet.
READBACKS: Final = 0
BLOCKING_UPLOADS: Final = 0
COPIES: Final = 2
LAUNCHES: Final = 16
# The same for one call for sixteen pictures of all samplers together.
CROWD_READBACKS: Final = 0
CROWD_BLOCKING_UPLOADS: Final = 0
CROWD_COPIES: Final = 1
CROWD_LAUNCHES: Final = 8


@pytest.fixture(scope="module")
def card() -> Iterator[FakeCard]:
    with fake_card() as card:
        yield card


Get = Callable[[Family], tuple[Engine, Model, LoadedModel]]


@pytest.fixture(scope="module")
def get(card: FakeCard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Get]:
    """An engine, a model and the model loaded, one for each family."""
    made: dict[Family, tuple[Engine, Model, LoadedModel]] = {}
    folder = tmp_path_factory.mktemp("card")

    def get(family: Family) -> tuple[Engine, Model, LoadedModel]:
        if family not in made:
            model = tiny_model(folder, family, family=family)
            engine = Engine(EngineConfig(device="cuda", cache_dir=folder, graphs=False))
            loaded = engine._models.load(model)
            card.leave_out(loaded.unet)
            made[family] = (engine, model, loaded)
        return made[family]

    yield get
    for engine, *_ in made.values():
        engine.close()


@pytest.fixture(autouse=True)
def no_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come by the clock."""
    monkeypatch.setattr(engine_module, "PREVIEW_SECONDS", 1e9)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, get: Get) -> Get:
    """The same with a UNet that launches nothing, whose own kernels nobody counts here."""

    def forward(sample: Tensor, *_: object, **__: object) -> tuple[Tensor]:
        return (torch.empty_like(sample),)

    def quick(family: Family) -> tuple[Engine, Model, LoadedModel]:
        engine, model, loaded = get(family)
        monkeypatch.setattr(loaded.unet, "forward", forward)
        return engine, model, loaded

    return quick


def work(model: Model, job_id: int = 1, **values: Any) -> Work:
    defaults: dict[str, Any] = {"prompt": "a red circle", "seed": 7, "steps": 4}
    sizes = {"width": SIZE, "height": SIZE}
    request = GenerationRequest(model=model.name, **(defaults | sizes | values))
    return Work.of(job_id, f"owner {job_id}", request, model)


def drive(engine: Engine) -> list[Event]:
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    return events


def finished(events: list[Event]) -> list[int]:
    failed = {event.job_id: str(event.error) for event in events if isinstance(event, Failed)}
    assert failed == {}
    return sorted(event.job_id for event in events if isinstance(event, Finished))


# --- it runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_of_each_family(get: Get, family: Family) -> None:
    engine, model, loaded = get(family)
    assert (loaded.device, loaded.dtype) == (torch.device("cuda:0"), torch.float16)
    engine.add(work(model, steps=1))
    assert finished(drive(engine)) == [1]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_sampler_beside_all_others(quick: Get, family: Family) -> None:
    engine, model, _ = quick(family)
    for job_id, sampler in enumerate(SAMPLERS):
        engine.add(work(model, job_id, sampler=sampler))
    assert finished(drive(engine)) == list(range(len(SAMPLERS)))


@pytest.mark.parametrize("family", FAMILIES)
def test_start_images_second_passes_long_prompts_and_schedules(quick: Get, family: Family) -> None:
    engine, model, _ = quick(family)
    start = Inputs(write_png(np.full((SIZE, SIZE, 3), 200, np.uint8), ""))
    kinds: list[dict[str, Any]] = [
        {"inputs": start, "denoising_strength": 0.5},
        {"hires": HiresFix(1.5, 2, 0.5, "Latent")},
        {"hires": HiresFix(1.5, 2, 0.5, "Lanczos"), "sampler": "DPM++ SDE"},
        {"prompt": "a [red|blue] (circle:1.3) AND a house", "count": 2},
        {"prompt": "word " * 100, "cfg_scale": 1},
        {"variation_seed": 3, "variation_strength": 0.3, "sampler": "Euler a"},
        {"clip_skip": 7, "negative_prompt": "[grey:2] (blurry:0.5)"},
    ]
    for job_id, values in enumerate(kinds):
        engine.add(work(model, job_id, **values))
    assert finished(drive(engine)) == list(range(len(kinds)))


# --- what makes it stand still --------------------------------------------------------------


FEW, MANY = 3, 7


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_of_one_picture(card: FakeCard, quick: Get, sampler: str) -> None:
    engine, model, _ = quick("sd1")
    counted = []
    # The first run fills the cache of prompts.
    for steps in (FEW, FEW, MANY):
        card.clear()
        engine.add(work(model, sampler=sampler, steps=steps))
        finished(drive(engine))
        counted.append([sum(each.values()) for each in counters(card)])
    a_step = [(many - few) / (MANY - FEW) for few, many in zip(*counted[1:], strict=True)]
    bounds = (READBACKS, BLOCKING_UPLOADS, COPIES, LAUNCHES)
    assert all(x <= bound for x, bound in zip(a_step, bounds, strict=True)), (a_step, shown(card))


KINDS: Final[dict[str, dict[str, Any]]] = {
    "start image": {"denoising_strength": 1.0},
    "latent hires fix": {"hires": HiresFix(1.5, 2, 0.5, "Latent")},
    "pixel hires fix": {"hires": HiresFix(1.5, 2, 0.5, "Lanczos")},
    "DPM adaptive": {"sampler": "DPM adaptive"},
    "schedule": {"prompt": "a [red|blue] (circle:1.3) [house:2] AND a tree"},
    "emphasis": {"prompt": "a (red:1.2) circle", "negative_prompt": "[grey:2] (blurry:0.5)"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_job_waits_for_nothing(card: FakeCard, quick: Get, kind: str) -> None:
    """From its prompts, which nobody had before, to its file."""
    engine, model, loaded = quick("sd1")
    values = dict(KINDS[kind])
    if kind == "start image":
        values["inputs"] = Inputs(write_png(np.full((SIZE, SIZE, 3), 200, np.uint8), ""))
    for _ in range(2):
        loaded.conditioner.cache._tensors.clear()
        card.clear()
        engine.add(work(model, **values))
        assert finished(drive(engine)) == [1]
    assert not card.readbacks, shown(card)
    assert not card.blocking_uploads, shown(card)


def test_a_step_with_a_lora(card: FakeCard, get: Get, tmp_path: Path) -> None:
    engine, model, loaded = get("sd1")
    place = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    layer: Any = loaded.unet.get_submodule(place)
    out, into = layer.weight.shape
    key, path = f"lora_unet_{place.replace('.', '_')}", tmp_path / "lora.safetensors"
    up, down = torch.ones(out, 2), torch.ones(2, into)
    save_file({f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}, path)
    used = UsedNetwork("lora", NetworkFile("lora", path, "sd1"), NetworkUse(path, 1.0, 1.0))

    def job(steps: int) -> Work:
        [item] = work(model, steps=steps).items
        return Work(1, "ada", (replace(item, addons=AddOns(networks=(used,))),))

    counted = []
    for steps in (FEW, FEW, MANY):
        card.clear()
        engine.add(job(steps))
        assert finished(drive(engine)) == [1]
        counted.append([sum(each.values()) for each in counters(card)[:3]])
    a_step = [(many - few) / (MANY - FEW) for few, many in zip(*counted[1:], strict=True)]
    assert a_step[:2] == [0, 0], shown(card)
    assert a_step[2] <= COPIES


def counters(card: FakeCard) -> tuple[Any, ...]:
    return card.readbacks, card.blocking_uploads, card.copies, card.launches


def shown(card: FakeCard) -> list[Any]:
    """The lines that ask most."""
    return [each.most_common(4) for each in counters(card)]


def test_a_step_of_sixteen_pictures(card: FakeCard, quick: Get) -> None:
    engine, model, _ = quick("sd1")
    # It is the one whose next step depends on a value.
    samplers = [sampler for sampler in SAMPLERS if sampler != "DPM adaptive"]
    for job_id in range(16):
        sampler = samplers[job_id % len(samplers)]
        engine.add(work(model, job_id, sampler=sampler, steps=60, seed=job_id))
    begun = 0
    while begun < 16:
        begun += sum(isinstance(event, Started) for event in engine.step())
    card.clear()
    steps = 3
    for _ in range(steps):
        engine.step()
    a_step = [sum(each.values()) / steps for each in counters(card)]
    bounds = (CROWD_READBACKS, CROWD_BLOCKING_UPLOADS, CROWD_COPIES, CROWD_LAUNCHES)
    assert all(x <= bound for x, bound in zip(a_step, bounds, strict=True)), (a_step, shown(card))
    for job_id in range(16):
        engine.abort(job_id)
    drive(engine)


def test_loading_copies_whole_buffers_without_waiting(card: FakeCard, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    engine = Engine(EngineConfig(device="cuda", cache_dir=tmp_path, graphs=False))
    engine._models.load(model)
    card.clear()
    (resident,) = engine._models._warm.values()
    resident.park()
    resident.bring_back(torch.device("cuda:0"))
    assert sum(card.copies.values()) == 1
    # Only CLIP's position ids, which are in no buffer.
    assert sum(card.blocking_uploads.values()) <= 1
    assert not card.readbacks
    assert not card.launches
    engine.close()


def test_a_decode_does_not_wait(card: FakeCard, get: Get) -> None:
    _, _, loaded = get("sd1")
    latents = torch.zeros(4, 8, 8, device="cuda:0")
    card.clear()
    pending = loaded.vae.decode_later(latents)
    assert not card.readbacks
    assert not card.blocking_uploads
    assert sum(card.copies.values()) == 2, "pixels, and whether they are wrong"
    assert pending.result().shape == (64, 64, 3)


def test_a_second_card_is_the_current_one(
    card: FakeCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events, streams and graphs are made there: the first card's say nothing of this one's."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    engine = Engine(EngineConfig(device="cuda:1", cache_dir=tmp_path, graphs=False))
    engine.close()
    assert current == [engine._models.device] == [torch.device("cuda:1")]


# --- the card itself ------------------------------------------------------------------------


def test_the_card_notes_what_waits(card: FakeCard) -> None:
    card.clear()
    there = torch.zeros(3, device="cuda:0")
    assert sum(card.launches.values()) == 1
    for read in (bool, float, Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.nonzero):
        before = sum(card.readbacks.values())
        read(there.sum() if read in (bool, float, Tensor.item) else there)
        assert sum(card.readbacks.values()) > before, read
    here = torch.ones(3)
    here.to("cuda:0")
    here.to("cuda:0", non_blocking=True)
    torch.tensor([1.0], device="cuda:0")
    assert sum(card.blocking_uploads.values()) == 3
    here.pin_memory().to("cuda:0", non_blocking=True)
    there.copy_(torch.empty(3, pin_memory=True), non_blocking=True)
    assert (sum(card.blocking_uploads.values()), sum(card.copies.values())) == (3, 2)
