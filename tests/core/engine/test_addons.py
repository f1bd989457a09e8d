"""Networks, embeddings and upscalers in the engine: what they change, and for whom."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from core.config import EngineConfig
from core.engine import engine as engine_module
from core.engine.engine import Engine
from core.errors import Refused
from core.events import Event, Failed, Finished, Image
from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.catalogue import Model
from core.models.networks import loaded as loaded_module
from core.models.uses import AddOns, UsedNetwork
from core.models.weights.network_file import NetworkUse
from core.pictures import upscale
from core.pictures.files import read_infotext, write_png
from core.pictures.infotext import parse
from core.request import Enlarge, GenerationRequest, HiresFix, Inputs
from core.work import Item, Work
from tests.tiny_models import SIZE, tiny_model

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=[False, True], ids=["", "strict"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    monkeypatch.setattr(engine_module, "ADMITTING_SECONDS", 1000)
    made = Engine(EngineConfig("cpu", threads=1, cache_dir=tmp_path, strict=request.param))
    yield made
    torch.use_deterministic_algorithms(False)
    made.close()


def network(folder: Path, model: Model, engine: Engine, name: str, seed: int) -> UsedNetwork:
    """A LoRA of a layer of the UNet and one of the text encoder, strong enough to be seen."""
    loaded = engine._models.load(model)
    draw = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    layers: tuple[tuple[str, Any, str], ...] = (
        (LAYER, loaded.unet, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        (TEXT, loaded.conditioner.encoders[0].text_model, "encoder.layers.0.mlp.fc1"),
    )
    for key, module, name_there in layers:
        out, into = module.get_submodule(name_there).weight.shape
        tensors[f"{key}.lora_up.weight"] = torch.randn(out, 2, generator=draw)
        tensors[f"{key}.lora_down.weight"] = torch.randn(2, into, generator=draw)
        tensors[f"{key}.alpha"] = torch.tensor(2.0)
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    return UsedNetwork(name, NetworkFile(name, path, "sd1"), NetworkUse(path, 1.0, 1.0))


def work(model: Model, job_id: int, addons: AddOns, **values: Any) -> Work:
    given: dict[str, Any] = {"seed": 7, "steps": 3, "width": SIZE, "height": SIZE}
    upscaler = values.pop("upscaler_file", None)
    request = GenerationRequest(values.pop("prompt", "a red circle"), model.name, **given | values)
    return Work(job_id, f"owner {job_id}", (Item(request, model, None, addons, upscaler),))


def run(engine: Engine, *works: Work) -> list[Image]:
    for each in works:
        engine.add(each)
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    assert not [event for event in events if isinstance(event, Failed)]
    ended = {event.job_id: event for event in events if isinstance(event, Finished)}
    return [ended[each.job_id].images[0] for each in works]


def pixels(image: Image) -> Any:
    return np.asarray(Pillow.open(io.BytesIO(image.png)), np.int16)


def test_members_with_different_networks_share_calls_and_get_their_own(
    engine: Engine, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.knee.FIRST", 8)
    used = [network(tmp_path, model, engine, f"style{i}", i) for i in range(3)]
    sets = [AddOns((each,), (each,)) for each in used] + [AddOns()]
    jobs = [work(model, job_id, addons) for job_id, addons in enumerate(sets)]
    alone = [run(engine, job)[0] for job in jobs]
    assert len({image.png for image in alone}) == 4, "each changes the picture"
    calls: list[int] = []
    unet = engine._models.load(model).unet
    hook = unet.register_forward_pre_hook(lambda _module, given: calls.append(len(given[0])))
    together = run(engine, *jobs)
    hook.remove()
    for one, other in zip(alone, together, strict=True):
        if engine._batcher.fixed is not None:
            assert one.png == other.png
        assert np.abs(pixels(one) - pixels(other)).max() <= 1
    if engine._batcher.fixed is None:
        assert calls == [8, 8, 8], "four pictures of two rows a call"
    assert run(engine, jobs[3])[0].png == alone[3].png, "nothing of them is left"


def test_what_was_used_is_in_the_picture_s_text(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    own = network(tmp_path, model, engine, "a:style,b", 1)
    width = engine._models.load(model).conditioner.encoders[0].width
    path = tmp_path / "washed.safetensors"
    save_file({"emb_params": torch.randn(2, width)}, path)
    embeddings = (EmbeddingFile("washed", path, "sd1", 2), EmbeddingFile("unnamed", path, "sd1", 2))
    addons = AddOns((own,), (own,), embeddings)
    (image,) = run(engine, work(model, 1, addons, negative_prompt="washed, blurry"))
    values = parse(image.infotext)
    assert values["Lora hashes"].startswith("astyleb: ")
    assert len(values["Lora hashes"].removeprefix("astyleb: ")) == 12
    assert values["TI hashes"].startswith("washed: ")
    (plain,) = run(engine, work(model, 2, AddOns(), negative_prompt="washed, blurry"))
    assert plain.png != image.png
    assert "TI hashes" not in parse(plain.infotext)


def test_a_network_that_cannot_be_read_fails_its_job_alone(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    broken = UsedNetwork("broken", NetworkFile("broken", path), NetworkUse(path, 1.0, 1.0))
    engine.add(work(model, 1, AddOns((broken,), (broken,))))
    engine.add(work(model, 2, AddOns()))
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.job_id, type(failed.error)) == (1, Refused)
    assert [event.job_id for event in events if isinstance(event, Finished)] == [2]


def compact(folder: Path) -> UpscalerFile:
    """A compact network (Real-ESRGAN's) of random weights, twice as large."""
    draw = torch.Generator().manual_seed(0)
    channels = [(8, 3), (8, 8), (12, 8)]
    tensors = {}
    for place, (out, into) in zip((0, 2, 4), channels, strict=True):
        tensors[f"body.{place}.weight"] = torch.randn(out, into, 3, 3, generator=draw) / 10
        tensors[f"body.{place}.bias"] = torch.zeros(out)
    for place in (1, 3):
        tensors[f"body.{place}.weight"] = torch.full((8,), 0.2)
    path = folder / "x2-test.safetensors"
    save_file(tensors, path)
    return UpscalerFile("x2-test", path, 2)


def test_a_second_pass_enlarges_with_an_upscaler(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    hires = HiresFix(scale=2.0, steps=2, denoising_strength=0.3, upscaler="Lanczos")
    upscaler = compact(tmp_path)
    (plain,) = run(engine, work(model, 1, AddOns(), hires=hires))
    (other,) = run(engine, work(model, 2, AddOns(), hires=hires, upscaler_file=upscaler))
    assert pixels(other).shape == pixels(plain).shape == (2 * SIZE, 2 * SIZE, 3)
    assert other.png != plain.png


def enlarging(
    model: Model, job_id: int, png: bytes, scale: float = 2.0, file: UpscalerFile | None = None
) -> Work:
    request = GenerationRequest(
        "a red circle",
        model.name,
        seed=7,
        inputs=Inputs(finished=png),
        enlarge=Enlarge(scale, file.name if file else "Lanczos"),
    )
    return Work(job_id, f"owner {job_id}", (Item(request, model, enlarger=file),))


def test_a_finished_image_is_enlarged_without_its_checkpoint(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    """Whatever drew it: only its text and its pixels count."""
    (small,) = run(engine, work(model, 1, AddOns()))
    missing = replace(model, name="gone", path=tmp_path / "gone")
    (plain,) = run(engine, enlarging(missing, 2, small.png))
    assert pixels(plain).shape == (2 * SIZE, 2 * SIZE, 3)
    added = ", Postprocess upscale by: 2, Postprocess upscaler: Lanczos"
    assert plain.infotext == small.infotext + added
    assert read_infotext(plain.png) == plain.infotext
    file = compact(tmp_path)
    (other,) = run(engine, enlarging(missing, 3, small.png, 3.0, file))
    assert pixels(other).shape == (3 * SIZE, 3 * SIZE, 3)
    loaded = engine._models.upscaler(file)
    source = np.asarray(Pillow.open(io.BytesIO(small.png)))
    expected = upscale(source, 3 * SIZE, 3 * SIZE, loaded, 2)
    assert np.array_equal(pixels(other), expected)


def test_a_generated_image_is_enlarged_where_its_text_said_so(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    (small,) = run(engine, work(model, 1, AddOns()))
    (larger,) = run(engine, work(model, 2, AddOns(), enlarge=Enlarge(2.0, "Nearest")))
    assert np.array_equal(pixels(larger)[::2, ::2], pixels(small))
    assert "Postprocess upscale by: 2, Postprocess upscaler: Nearest" in larger.infotext
    assert parse(larger.infotext)["Size-1"] == str(SIZE)


def test_others_steps_go_on_while_an_image_is_enlarged(
    engine: Engine, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small,) = run(engine, work(model, 1, AddOns()))
    wait, began = threading.Event(), threading.Event()

    def slow(upscaler: UpscalerFile) -> Any:
        began.set()
        assert wait.wait(60)
        return engine._models._reader.upscaler(upscaler)

    monkeypatch.setattr(engine._enlarger, "_load", slow)
    file = compact(tmp_path)
    engine.add(enlarging(model, 2, small.png, file=file))
    engine.add(enlarging(model, 3, small.png, file=file))
    engine.add(work(model, 4, AddOns()))
    ended: list[int] = []
    while 4 not in ended:
        ended += [event.job_id for event in engine.step() if isinstance(event, Finished)]
    assert ended == [4]
    assert began.is_set()
    engine.abort(2)
    wait.set()
    while engine.busy:
        ended += [event.job_id for event in engine.step() if isinstance(event, Finished)]
    assert ended == [4, 3], "the one that was cancelled ends no more"


def test_a_damaged_upscaler_fails_its_job_alone(
    engine: Engine, model: Model, tmp_path: Path
) -> None:
    (small,) = run(engine, work(model, 1, AddOns()))
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x80\x04pickle")
    engine.add(enlarging(model, 2, small.png, file=UpscalerFile("broken", path, 4)))
    large = png_of(600)
    engine.add(enlarging(model, 3, large, file=replace(compact(tmp_path), scale=2)))
    engine.add(enlarging(model, 4, small.png))
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    failed = {event.job_id: event.error for event in events if isinstance(event, Failed)}
    assert isinstance(failed.pop(2), Refused)
    assert not failed
    assert {event.job_id for event in events if isinstance(event, Finished)} == {3, 4}


def png_of(side: int) -> bytes:
    return write_png(Pillow.new("RGB", (side, 8), "red"), "")


def test_others_steps_go_on_while_a_network_is_read(
    engine: Engine, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = network(tmp_path, model, engine, "slow", 1)
    (expected,) = run(engine, work(model, 1, AddOns((used,), (used,))))
    engine._models._reader._networks._read.clear()
    engine._models.load(model).networks._bound.clear()
    monkeypatch.setattr(engine_module, "ADMITTING_SECONDS", 0.01)
    wait, began = threading.Event(), threading.Event()
    read = loaded_module.read_network

    def slow(path: Path, alive: Callable[[], None]) -> Any:
        began.set()
        assert wait.wait(60)
        assert threading.current_thread() is not threading.main_thread()
        return read(path, alive)

    monkeypatch.setattr(loaded_module, "read_network", slow)
    engine.add(work(model, 2, AddOns(), steps=20))
    engine.step()
    engine.add(work(model, 3, AddOns((used,), (used,))))
    ended: dict[int, Image] = {}
    while 2 not in ended:
        for event in engine.step():
            if isinstance(event, Finished):
                ended[event.job_id] = event.images[0]
        if began.is_set() and 2 in ended:
            break
    assert began.is_set()
    assert 3 not in ended, "its file is still being read"
    wait.set()
    while engine.busy:
        for event in engine.step():
            if isinstance(event, Finished):
                ended[event.job_id] = event.images[0]
    assert np.abs(pixels(ended[3]) - pixels(expected)).max() <= 1


def test_a_second_pass_of_another_shape_is_cut(engine: Engine, model: Model) -> None:
    """Covered, then cut in the middle, as A1111 does."""
    for upscaler in ("Latent", "Lanczos"):
        hires = HiresFix(2.5, 2, 0.3, upscaler, resize_width=2 * SIZE, resize_height=SIZE + 32)
        (image,) = run(engine, work(model, 1, AddOns(), hires=hires))
        assert (image.width, image.height) == (2 * SIZE, SIZE + 32)
        values = parse(image.infotext)
        assert (values["Hires resize-1"], values["Hires resize-2"]) == ("128", "96")
        assert "Hires upscale" not in values
