"""Several checkpoints and a memory that does not hold them all, with a card that is made up."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config import EngineConfig
from core.errors import OutOfMemory, Refused
from core.models import memory, precision
from core.models.catalogue import Model
from core.models.loading import SPARE_RAM, Models
from core.models.masters import Master
from core.models.reader import ModelReader
from core.models.residents import Held, LoadedModel
from tests.fake_card import fake_card
from tests.tiny_models import tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

GIB = 2**30
MakeModels = Callable[..., Models]


class Card:
    """A memory of ``total`` bytes, of which the models' weights take some."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.models: Models | None = None
        self.released = 0

    @property
    def free(self) -> int:
        assert self.models is not None
        residents = self.models._warm.values()
        there = [each.model for each in residents if each.on_device]
        return self.total - sum(map(self.models._need, there))

    def release(self) -> None:
        self.released += 1


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Three models of the same size."""
    folder = tmp_path_factory.mktemp("shelf")
    return [tiny_model(folder, name, seed=seed) for seed, name in enumerate("abc")]


@pytest.fixture
def make_models(tmp_path: Path, shelf: list[Model]) -> Iterator[MakeModels]:
    """Models on a card of so many times one model's weights."""
    made: list[Models] = []

    def make(times: float, ram: int | None = 64 * GIB, **settings: Any) -> Models:
        config = EngineConfig(device="cpu", cache_dir=tmp_path, **settings)
        card = Card(0)
        models = Models(config, memory=card, ram=lambda: ram)
        card.models, card.total = models, int(times * models._need(shelf[0]))
        made.append(models)
        return models

    yield make
    for models in made:
        models.close()


def card_of(models: Models) -> Card:
    assert isinstance(models._memory, Card)
    return models._memory


def on_device(models: Models) -> list[str]:
    return [each.model.name for each in models._warm.values() if each.on_device]


def values(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    encoder = loaded.conditioner.encoders[0].text_model
    modules: tuple[Any, ...] = (loaded.unet, loaded.vae.module, encoder)
    return {
        f"{place}.{key}": tensor.clone()
        for place, module in enumerate(modules)
        for key, tensor in module.state_dict().items()
    }


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


# --- room -----------------------------------------------------------------------------------


def test_an_idle_model_is_parked_for_another_and_comes_back_exact(
    make_models: MakeModels, shelf: list[Model]
) -> None:
    models = make_models(2)
    first = models.load(shelf[0])
    unet, kept = first.unet, values(first)
    del first
    gc.collect()
    models.load(shelf[1])
    assert on_device(models) == ["b"]
    assert models.warm == ("a", "b")
    gc.collect()
    again = models.load(shelf[0])
    assert on_device(models) == ["a"]
    assert again.unet is unet
    assert same(values(again), kept)


def test_beside_a_model_in_use_another_one_is_told_to_wait(
    make_models: MakeModels, shelf: list[Model]
) -> None:
    models = make_models(2)
    first = models.load(shelf[0])
    kept = values(first)
    for _ in range(2):
        with pytest.raises(Held) as caught:
            models.load(shelf[1])
        assert caught.value.names == ("a",)
    assert same(values(first), kept)
    assert models.load(shelf[0]) is first
    del first, caught
    gc.collect()
    assert models.load(shelf[1]).model.name == "b"


def test_where_both_fit_nobody_waits(make_models: MakeModels, shelf: list[Model]) -> None:
    models = make_models(4)
    held = [models.load(shelf[0]), models.load(shelf[1])]
    assert on_device(models) == ["a", "b"]
    assert len(held) == 2


def test_a_model_larger_than_the_memory_is_named(
    make_models: MakeModels, shelf: list[Model]
) -> None:
    models = make_models(0.9)
    with pytest.raises(Refused, match="does not fit in the device's memory") as caught:
        models.load(shelf[0])
    assert caught.value.reason == "memory"
    assert models.warm == ()


def test_what_nobody_uses_is_freed_on_request(make_models: MakeModels, shelf: list[Model]) -> None:
    models = make_models(9)
    held = [models.load(shelf[0])]
    models.load(shelf[1])
    gc.collect()
    asked: list[int] = []
    models.also_free = lambda: asked.append(card_of(models).released)
    models.free()
    assert on_device(models) == ["a"]
    assert (asked, card_of(models).released) == ([0], 1), "graphs first, then torch's cache"
    assert held[0].model.name == "a"


def test_memory_that_torch_keeps_for_graphs_is_given_back_for_another_model(
    make_models: MakeModels, shelf: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes free with the model that it was for, and no further one is parked for it."""
    models = make_models(4.4, warm_models=3)
    for each in shelf[:2]:
        models.load(each)
        gc.collect()
    assert on_device(models) == ["a", "b"]
    card, there = card_of(models), vars(Card)["free"].fget
    kept = models._need(shelf[0])
    monkeypatch.setattr(
        Card, "free", property(lambda card: there(card) - (0 if card.released else kept))
    )
    models.load(shelf[2])
    assert on_device(models) == ["b", "c"]
    assert card.released == 1


def failing_uploads(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Make the next uploads run out of memory; count all of them."""
    uploads: list[int] = []
    upload = Master.upload

    def full(master: Master, device: torch.device) -> None:
        uploads.append(1)
        if len(uploads) <= times:
            raise torch.OutOfMemoryError
        upload(master, device)

    monkeypatch.setattr(Master, "upload", full)
    return uploads


def test_out_of_memory_frees_first_and_then_tries_again(
    make_models: MakeModels, shelf: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = make_models(9)
    models.load(shelf[0])
    gc.collect()
    uploads = failing_uploads(monkeypatch, 1)
    loaded = models.load(shelf[1])
    assert (len(uploads), card_of(models).released) == (2, 1)
    assert on_device(models) == ["b"], "what was idle has gone"
    assert loaded.model.name == "b"


def test_out_of_memory_beside_a_model_in_use_is_no_error_of_the_request(
    make_models: MakeModels, shelf: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = make_models(9)
    first = models.load(shelf[0])
    failing_uploads(monkeypatch, 2)
    with pytest.raises(Held, match="no memory beside a"):
        models.load(shelf[1])
    assert models.load(shelf[1]).model.name == "b"
    assert first.model.name == "a"


def test_out_of_memory_alone_is_an_error_of_the_models_size(
    make_models: MakeModels, shelf: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = make_models(9)
    failing_uploads(monkeypatch, 2)
    with pytest.raises(OutOfMemory, match="64×64"):
        models.load(shelf[0])
    assert models.load(shelf[0]).model.name == "a"


def test_a_vae_that_overflowed_stays_in_fp32(make_models: MakeModels, shelf: list[Model]) -> None:
    models = make_models(2, dtype="float16")
    loaded = models.load(shelf[0])
    loaded.vae.module.to(torch.float64)
    kept = values(loaded)
    del loaded
    gc.collect()
    models.load(shelf[1])
    gc.collect()
    again = models.load(shelf[0])
    assert again.vae.dtype == torch.float64
    assert again.unet.dtype == torch.float16
    assert same(values(again), kept)


def test_memory_that_torch_keeps_for_graphs_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def segment(device: int, pool: tuple[int, int], size: int, used: int) -> dict[str, object]:
        sizes = {"total_size": size, "allocated_size": used}
        return {"device": device, "segment_pool_id": pool, **sizes}

    segments = [
        segment(0, (0, 0), 100, 70),
        segment(0, (0, 0), 50, 0),
        segment(0, (0, 1), 400, 1),
        segment(1, (0, 0), 800, 0),
    ]
    with fake_card(1000):
        monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
        assert memory.CardMemory(torch.device("cuda:0")).free == 1000 + 30 + 50


# --- main memory ----------------------------------------------------------------------------


@pytest.mark.parametrize(("ram", "parking_gb"), [(GIB, 32), (64 * GIB, 0)])
def test_without_main_memory_to_spare_a_model_is_read_again(
    make_models: MakeModels, shelf: list[Model], ram: int, parking_gb: int
) -> None:
    models = make_models(2, ram, parking_gb=parking_gb)
    assert models.prepare(shelf[0]).done()
    first = models.load(shelf[0])
    unet, kept = first.unet, values(first)
    with pytest.raises(Held):
        models.load(shelf[1])
    del first
    gc.collect()
    models.load(shelf[1])
    assert models.warm == ("b",)
    gc.collect()
    again = models.load(shelf[0])
    assert again.unet is not unet
    assert same(values(again), kept)


def test_on_a_cpu_a_model_larger_than_the_memory_is_named(
    shelf: list[Model], tmp_path: Path
) -> None:
    models = Models(EngineConfig(device="cpu", cache_dir=tmp_path), ram=lambda: 1000)
    with pytest.raises(Refused, match="does not fit"):
        models.load(shelf[0])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"meminfo": "MemTotal: 9 kB\nMemAvailable: 5 kB\nSwapFree: 2 kB\n"}, 7 * 1024),
        ({"meminfo": "MemAvailable: 5 kB\n", "memory.max": "max", "memory.current": "1"}, 5120),
        ({"meminfo": "MemAvailable: 5 kB\n", "memory.max": "900", "memory.current": "600"}, 300),
        ({"meminfo": "nothing"}, None),
        ({}, None),
    ],
)
def test_free_main_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.free_ram() == expected


# --- reading ahead --------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], Event]]:
    """What was begun to be read, and an event without which it does not go on."""
    begun: list[str] = []
    go = Event()
    read = ModelReader.checkpoint

    def watched(reader: ModelReader, model: Model, *, parked: bool) -> Any:
        begun.append(model.name)
        assert go.wait(60)
        return read(reader, model, parked=parked)

    monkeypatch.setattr(ModelReader, "checkpoint", watched)
    yield begun, go
    go.set()


def test_a_model_is_read_ahead_while_another_one_works(
    make_models: MakeModels, shelf: list[Model], reads: tuple[list[str], Event]
) -> None:
    begun, go = reads
    models = make_models(4)
    go.set()
    first = models.load(shelf[0])
    go.clear()
    reading = models.prepare(shelf[1])
    assert models.prepare(shelf[1]) is reading
    assert models.load(shelf[0]) is first
    assert not reading.done()
    go.set()
    reading.result(60)
    assert models.load(shelf[1]).model.name == "b"
    assert models.prepare(shelf[1]).done()
    assert begun == ["a", "b"]
    assert all(not weight.is_inference() for weight in first.unet.parameters())


def test_a_model_read_ahead_waits_for_room_without_being_read_again(
    make_models: MakeModels, shelf: list[Model], reads: tuple[list[str], Event]
) -> None:
    begun, go = reads
    go.set()
    models = make_models(2)
    first = models.load(shelf[0])
    models.prepare(shelf[1]).result(60)
    for _ in range(3):
        with pytest.raises(Held):
            models.load(shelf[1])
    del first
    gc.collect()
    with torch.inference_mode():
        assert models.load(shelf[1]).model.name == "b"
    assert begun == ["a", "b"]


def test_two_models_are_read_ahead_until_one_is_loaded_or_forgotten(
    make_models: MakeModels,
    shelf: list[Model],
    reads: tuple[list[str], Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go = reads
    go.set()
    models = make_models(9)
    for model in shelf[:2]:
        models.prepare(model).result(60)
    for _ in range(3):
        assert not models.prepare(shelf[2]).done()
    with monkeypatch.context() as full:
        full.setattr(models, "_ram", lambda: 0)  # What is read ahead fills it.
        assert not models.prepare(shelf[2]).done()
    assert begun == ["a", "b"]
    models.forget(shelf[0])
    models.prepare(shelf[2]).result(60)
    assert models.load(shelf[1]).model.name == "b"
    assert models.load(shelf[0]).model.name == "a"
    assert begun == ["a", "b", "c", "a"]


def test_what_is_read_ahead_counts_in_main_memory(
    make_models: MakeModels, shelf: list[Model], reads: tuple[list[str], Event]
) -> None:
    _, go = reads
    need = make_models(9)._need(shelf[0])
    models = make_models(9, SPARE_RAM + 3 * need // 2)
    assert not models.prepare(shelf[0]).done()
    assert models.prepare(shelf[1]).done(), "there is no room for two"
    go.set()


def test_on_a_cpu_models_are_read_ahead_too(shelf: list[Model], tmp_path: Path) -> None:
    models = Models(EngineConfig(device="cpu", cache_dir=tmp_path))
    models.prepare(shelf[0]).result(60)
    loaded = models.load(shelf[0])
    assert models._prepared == {}
    assert models.load(shelf[0]) is loaded
    models.close()


def test_load_says_what_reading_ahead_found(make_models: MakeModels, tmp_path: Path) -> None:
    models = make_models(9)
    model = tiny_model(tmp_path, "broken")
    path = model.path / "unet" / "diffusion_pytorch_model.safetensors"
    whole = load_file(path)
    save_file(whole | {"conv_in.bias": torch.full((16,), torch.nan)}, path)
    models.prepare(model)
    for _ in range(2):
        with pytest.raises(Refused, match="NaN or infinity in unet conv_in"):
            models.load(model)
    save_file(whole, path)
    assert models.load(model).model.name == "broken"
    path.unlink()
    assert models.prepare(model).done()


# --- classes of cards -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "capability", "unet", "sdxl_vae", "layout"),
    [
        ("NVIDIA H100", (9, 0), torch.float16, torch.bfloat16, torch.channels_last),
        ("NVIDIA GeForce RTX 3060", (8, 6), torch.float16, torch.bfloat16, torch.channels_last),
        ("NVIDIA GeForce RTX 2070", (7, 5), torch.float16, torch.float32, torch.channels_last),
        ("GeForce GTX 1660 Ti", (7, 5), torch.float32, torch.float32, torch.contiguous_format),
        ("GeForce GTX 1080", (6, 1), torch.float16, torch.float32, torch.contiguous_format),
        ("GeForce GTX 960", (5, 2), torch.float32, torch.float32, torch.contiguous_format),
    ],
)
def test_each_class_of_cards_has_its_precision(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    capability: tuple[int, int],
    unet: torch.dtype,
    sdxl_vae: torch.dtype,
    layout: torch.memory_format,
) -> None:
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return including_emulation or capability >= (8, 0)

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    device = torch.device("cuda:0")
    dtype = precision.unet_dtype("auto", device)
    assert dtype == unet
    assert precision.vae_dtype(dtype, device, {"force_upcast": True}) == sdxl_vae
    assert precision.vae_dtype(dtype, device, {}) == unet
    assert precision.memory_format(device, dtype, "unet") is layout
    assert precision.memory_format(device, dtype, "text_encoder") is torch.contiguous_format


def test_a_cpu_has_single_precision_and_the_channels_first() -> None:
    device = torch.device("cpu")
    assert precision.unet_dtype("auto", device) == torch.float32
    assert precision.vae_dtype(torch.bfloat16, device, {}) == torch.float32
    assert precision.memory_format(device, torch.bfloat16, "unet") is torch.contiguous_format
