"""The running set with real diffusers modules at tiny size: joins, leaves, strict equality."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from core.config import EngineConfig
from core.engine import engine as engine_module
from core.engine.engine import Engine
from core.engine.running_job import RunningJob
from core.engine.runs import Run
from core.errors import InvalidRequest, NotFinite, OutOfMemory, Refused, UnreadablePicture
from core.events import Cancelled, Event, Failed, Finished, Image, Progress, Started
from core.models import vae as vae_module
from core.models.catalogue import Model, Vae
from core.models.residents import Held, LoadedModel
from core.notes import Note
from core.options import SAMPLERS
from core.pictures.files import read_infotext, write_png
from core.pictures.infotext import parse
from core.request import GenerationRequest, HiresFix, Inputs
from core.sampling import trajectory as trajectory_module
from core.sampling.readback import ReadBack
from core.sampling.trajectory import Trajectory, advance
from core.text.guidance import Guidance
from core.work import Work
from tests.tiny_models import SIZE, tiny_model, tiny_vae

MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def make_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    # However long encoding takes here, what fits starts at once.
    monkeypatch.setattr(engine_module, "ADMITTING_SECONDS", 1000)
    made: list[Engine] = []

    def make(**settings: Any) -> Engine:
        made.append(Engine(EngineConfig(device="cpu", threads=1, cache_dir=tmp_path, **settings)))
        return made[-1]

    yield make
    torch.use_deterministic_algorithms(False)
    for engine in made:
        engine.close()


def work(model: Model, job_id: int = 1, **values: Any) -> Work:
    defaults: dict[str, Any] = {
        "prompt": "a red circle",
        "seed": 7,
        "steps": 3,
        "width": SIZE,
        "height": SIZE,
    }
    request = GenerationRequest(model=model.name, **(defaults | values))
    return Work.of(job_id, f"owner {job_id}", request, model)


def drive(engine: Engine) -> list[Event]:
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    return events


def images(events: list[Event], job_id: int = 1) -> tuple[Image, ...]:
    (finished,) = (e for e in events if isinstance(e, Finished) and e.job_id == job_id)
    return finished.images


def picture(engine: Engine, model: Model, **values: Any) -> bytes:
    engine.add(work(model, **values))
    return images(drive(engine))[0].png


def test_a_request_becomes_a_picture_with_its_parameters_inside(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine()
    engine.add(work(model, clip_skip=2, negative_prompt="blue"))
    events = drive(engine)
    assert [type(event) for event in events if not isinstance(event, Progress)] == [
        Started,
        Finished,
    ]
    (image,) = images(events)
    text = read_infotext(image.png)
    assert text == image.infotext
    values = parse(text)
    assert values["Prompt"] == "a red circle"
    assert values["Negative prompt"] == "blue"
    assert values["Clip skip"] == "2"
    assert values["Seed"] == "7"
    assert Pillow.open(io.BytesIO(image.png)).size == (SIZE, SIZE)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.step, last.steps) == (3, 3)


def test_clip_skip_seed_and_negative_each_move_the_picture(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True)
    base = picture(engine, model)
    assert picture(engine, model) == base
    for change in ({"clip_skip": 2}, {"seed": 8}, {"negative_prompt": "blue"}, {"cfg_scale": 3}):
        assert picture(engine, model, **change) != base, change


CROWD: list[dict[str, Any]] = [
    {"sampler": "Euler a", "steps": 2, "cfg_scale": 1},
    {"sampler": "DPM++ 2M", "schedule_type": "Karras", "steps": 5, "clip_skip": 3},
    {"sampler": "Heun", "steps": 2, "prompt": "word " * 100},
    {"prompt": "a red circle AND a blue square :0.5", "count": 2},
    {"negative_prompt": "word " * 160, "seed": 9},
]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strict_bytes_of_every_sampler_are_the_same_alone_and_in_a_crowd(
    make_engine: MakeEngine, model: Model, sampler: str
) -> None:
    engine = make_engine(strict=True, max_rows=8)
    wanted: dict[str, Any] = {"steps": 5, "sampler": sampler, "noise_source": "GPU"}
    alone = picture(engine, model, **wanted)
    engine.add(work(model, 10, **CROWD[0]))
    engine.step()
    engine.add(work(model, **wanted))
    engine.add(work(model, 11, **CROWD[1]))
    assert images(drive(engine))[0].png == alone


def test_strict_bytes_are_the_same_alone_and_in_a_crowd_that_comes_and_goes(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True, max_rows=32)
    wanted: dict[str, Any] = {"steps": 6, "clip_skip": 2, "sampler": "Euler a"}
    alone = picture(engine, model, **wanted)

    engine.add(work(model, 10, **CROWD[0]))
    engine.step()
    engine.add(work(model, **wanted))
    events: list[Event] = []
    for job_id, values in enumerate(CROWD[1:], start=11):
        engine.add(work(model, job_id, **values))
        events += engine.step()
    engine.abort(12)
    events += drive(engine)
    assert images(events)[0].png == alone
    finished = {event.job_id for event in events if isinstance(event, Finished)}
    assert finished >= {1, 11, 13, 14}


def test_without_strict_a_crowd_is_equal_to_the_eye(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    wanted = {"steps": 6, "clip_skip": 2}
    alone = np.asarray(Pillow.open(io.BytesIO(picture(engine, model, **wanted))), np.int16)
    engine.add(work(model, **wanted))
    for job_id, values in enumerate(CROWD, start=11):
        engine.add(work(model, job_id, **values))
    together = np.asarray(Pillow.open(io.BytesIO(images(drive(engine))[0].png)), np.int16)
    assert np.abs(alone - together).max() <= 1


def test_picture_i_of_a_batch_is_the_request_with_seed_plus_i(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True)
    engine.add(work(model, seed=2**32 - 1, count=3))
    batch = images(drive(engine))
    assert [image.seed for image in batch] == [2**32 - 1, 0, 1]
    for image in batch:
        alone = picture(engine, model, seed=image.seed)
        assert pixels(alone) == pixels(image.png)


def test_a_variation_keeps_the_seed_and_moves_the_variation_seed(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True)
    base = picture(engine, model)
    engine.add(work(model, count=2, variation_seed=2**32 - 1, variation_strength=0.2))
    first, second = images(drive(engine))
    assert first.seed == second.seed == 7
    assert len({pixels(base), pixels(first.png), pixels(second.png)}) == 3
    alone = picture(engine, model, variation_seed=0, variation_strength=0.2)
    assert pixels(alone) == pixels(second.png)


def pixels(png: bytes) -> bytes:
    return Pillow.open(io.BytesIO(png)).tobytes()


def unet_calls(engine: Engine, model: Model) -> list[int]:
    """The row count of every UNet call from here on."""
    sizes: list[int] = []
    unet = engine._models.load(model).unet
    unet.register_forward_pre_hook(lambda _module, arguments: sizes.append(len(arguments[0])))
    return sizes


def test_mixed_requests_share_one_call_per_step(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    sizes = unet_calls(engine, model)
    engine.add(work(model, 1, steps=4, sampler="Euler", cfg_scale=3))
    engine.add(work(model, 2, steps=4, sampler="DPM++ 2M", seed=3, clip_skip=5))
    drive(engine)
    assert sizes == [4, 4, 4, 4]


def test_the_rows_of_the_last_call_are_known(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    assert engine.rows_in_call == 0
    engine.add(work(model, 1, steps=2))
    engine.add(work(model, 2, steps=2, cfg_scale=1.0))
    seen = []
    while engine.busy:
        engine.step()
        seen.append(engine.rows_in_call)
    assert max(seen) == 3
    assert seen[-1] == 0


def test_cfg_one_takes_one_row(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    sizes = unet_calls(engine, model)
    engine.add(work(model, cfg_scale=1))
    drive(engine)
    assert sizes == [1, 1, 1]


def test_sizes_take_turns(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    engine.add(work(model, 1, steps=8))
    engine.add(work(model, 2, steps=8, width=2 * SIZE))
    events = drive(engine)
    steps = [event.job_id for event in events if isinstance(event, Finished)]
    assert sorted(steps) == [1, 2]
    last = {event.job_id: index for index, event in enumerate(events)}
    assert abs(last[1] - last[2]) <= 4, "neither waited for the other to end"


def test_rows_bound_the_set_and_a_larger_job_starts_picture_by_picture(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(max_rows=4)
    sizes = unet_calls(engine, model)
    assert engine.rows_free == 4
    engine.add(work(model, 1))
    engine.step()
    assert engine.rows_free == 2
    engine.add(work(model, 2, count=4))
    events = engine.step()
    assert Started(2) in events
    assert engine.rows_free == 0, "somebody waits"
    assert len(images(drive(engine), 2)) == 4
    assert sizes == [2, 4, 4, *[4] * 4, *[2] * 2]


def test_a_sheet_never_stands_before_a_single(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine(max_rows=4)
    cells = [{"seed": seed} for seed in range(12)]
    engine.add(sheet(model, cells, [None] * len(cells)))
    events = engine.step()
    engine.add(work(model, 7))
    while not any(isinstance(event, Finished) and event.job_id == 7 for event in events):
        events += engine.step()
    steps = [event for event in events if isinstance(event, Progress) and event.job_id == 1]
    assert max((event.step for event in steps), default=0) <= 2, "of 3, for all its cells"
    assert len(images(drive(engine))) == len(cells)


def test_progress_counts_the_images_that_are_finished(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(max_rows=2)

    def at_once(action: Callable[..., object], *values: object) -> Future[object]:
        future: Future[object] = Future()
        future.set_result(action(*values))
        return future

    monkeypatch.setattr(engine._threads, "submit", at_once)
    engine.add(sheet(model, [{"seed": seed} for seed in range(4)], [None] * 4))
    done = [event.images for event in drive(engine) if isinstance(event, Progress)]
    assert done == sorted(done)
    assert done[-1] in (2, 3), "the last one is being written"


def test_a_higher_priority_starts_first(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine(max_rows=2)
    engine.add(work(model, 1))
    events = engine.step()
    engine.add(work(model, 2))
    engine.add(replace(work(model, 3), priority=1))
    events += drive(engine)
    started = [event.job_id for event in events if isinstance(event, Started)]
    assert started == [1, 3, 2]


class Crowded:
    """Stands before ``Models.load``: room for one model in use, and ``refused`` for its own."""

    def __init__(self, engine: Engine) -> None:
        self._models = engine._models
        self._load = engine._models.load
        self.refused: Refused | None = None

    def __call__(self, model: Model) -> LoadedModel:
        if self.refused and self.refused.name == model.name:
            raise self.refused
        used = tuple(handle.model.name for handle in self._models._handles.values())
        if any(name != model.name for name in used):
            raise Held(used)
        return self._load(model)


def test_a_second_model_waits_for_room_and_gets_its_turn(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while pictures of the first may still start; then it must end."""
    engine = make_engine(max_rows=2)
    seconds = iter(range(10**6))
    monkeypatch.setattr(engine, "_clock", lambda: float(next(seconds)))
    monkeypatch.setattr(engine._models, "load", Crowded(engine))
    other = replace(model, name="other")
    for job_id in range(1, 9):
        engine.add(work(model, job_id))
    events = engine.step()
    engine.add(work(other, 20))
    events += drive(engine)
    ended = [event.job_id for event in events if isinstance(event, Finished)]
    assert sorted(ended) == [*range(1, 9), 20]
    assert ended.index(20) < 8, "it need not wait for all of the first model's"


@pytest.mark.parametrize("fails", [False, True])
def test_a_waiting_model_that_nobody_wants_any_more_holds_nobody(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    engine = make_engine(max_rows=2)
    seconds = iter(range(0, 10**9, 5))
    monkeypatch.setattr(engine, "_clock", lambda: float(next(seconds)))
    crowded = Crowded(engine)
    monkeypatch.setattr(engine._models, "load", crowded)
    engine.add(work(model, 1))
    events = engine.step()
    engine.add(work(replace(model, name="other"), 20))
    events += engine.step()
    assert engine._wanted is not None
    for job_id in range(2, 6):
        engine.add(work(model, job_id))
    if fails:
        crowded.refused = Refused("model", "other", "missing")
    else:
        engine.abort(20)
    for _ in range(200):
        events += engine.step() if engine.busy else []
    assert sorted(e.job_id for e in events if isinstance(e, Finished)) == [1, 2, 3, 4, 5]
    assert [e.job_id for e in events if isinstance(e, Cancelled | Failed)] == [20]


def broken(model: Model, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A job whose start image cannot be read."""
    return work(model, 1, inputs=Inputs(b"no picture"), denoising_strength=0.5)


def short_of_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A job whose prompt does not fit into the memory."""

    def encode(*_: object, **__: object) -> Guidance:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(Guidance, "encode", encode)
    return work(model, 1)


@pytest.mark.parametrize("failing", [broken, short_of_memory])
def test_a_job_that_fails_while_it_is_made_lets_go_of_its_model(
    make_engine: MakeEngine,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    failing: Callable[[Model, pytest.MonkeyPatch], Work],
) -> None:
    """Its error is kept, and must not keep the frames that it was raised in."""
    engine = make_engine()
    monkeypatch.setattr(engine._models, "load", Crowded(engine))
    gc.disable()
    try:
        with monkeypatch.context() as once:
            engine.add(failing(model, once))
            failed = drive(engine)
        assert [type(event) for event in failed] == [Failed]
        engine.add(work(replace(model, name="other"), 2))
        events = [event for _ in range(20) if engine.busy for event in engine.step()]
    finally:
        gc.enable()
    assert any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize("pool", ["_threads", "_maker"])
def test_a_thread_that_hangs_is_not_alive(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    beats: list[int] = []
    engine = Engine(EngineConfig(device="cpu", cache_dir=tmp_path), lambda: beats.append(1))
    monkeypatch.setattr(engine, "_is_made", lambda making, until: making.done())
    hung: Future[object] = Future()
    monkeypatch.setattr(getattr(engine, pool), "submit", lambda *_: hung)
    engine.add(work(model, 1))
    for _ in range(8):
        engine.step()
    assert engine.busy
    beats.clear()
    engine.step()
    assert not beats
    monkeypatch.undo()
    engine.close()


class Late(ReadBack):
    """A number that is on its way for a while, and longer where nobody waits for it."""

    asked = 0

    def done(self) -> bool:
        self.asked += 1
        return self.asked > 4


def test_a_sampler_that_waits_for_a_number_holds_nobody(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(strict=True)
    alone = picture(engine, model, sampler="DPM adaptive")
    monkeypatch.setattr(trajectory_module, "ReadBack", Late)
    assert picture(engine, model, sampler="DPM adaptive") == alone, "waited for by itself"
    sizes = unet_calls(engine, model)
    engine.add(work(model, 1, sampler="DPM adaptive"))
    engine.add(work(model, 2, sampler="Euler", steps=20))
    events = drive(engine)
    assert images(events)[0].png == alone
    assert len(images(events, 2)) == 1
    assert len(sizes) >= 20 + 6, "others step while one waits"


def test_a_picture_of_more_rows_is_not_passed_over_for_ever(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(max_rows=4)
    engine.add(work(model, 1, steps=4))
    events = engine.step() + engine.step()
    engine.add(work(model, 2, steps=4))
    engine.add(work(model, 3, prompt="a cat AND a dog"))
    for job_id in range(10, 20):
        engine.add(work(model, job_id, steps=4))
        events += engine.step() + engine.step()
    ended = [event.job_id for event in events if isinstance(event, Finished)]
    assert 3 in ended


def test_a_job_that_lets_another_model_in_goes_on_where_it_was(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(max_rows=2)
    sizes = unet_calls(engine, model)
    seconds = iter(range(10**6))
    monkeypatch.setattr(engine, "_clock", lambda: float(next(seconds)))
    monkeypatch.setattr(engine._models, "load", Crowded(engine))
    engine.add(work(model, 1, count=6))
    events = engine.step()
    engine.add(work(replace(model, name="other"), 20))
    events += drive(engine)
    ended = [event.job_id for event in events if isinstance(event, Finished)]
    assert ended == [20, 1]
    assert len(images(events)) == 6
    assert len(sizes) == 7 * 3, "no picture is drawn twice"


def test_an_abort_ends_a_job_wherever_it_is(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine(max_rows=2)
    for job_id in (1, 2, 3):
        engine.add(work(model, job_id))
    events = engine.step() + engine.step()
    for job_id in (1, 2, 3, 99):
        engine.abort(job_id)
    events += drive(engine)
    assert {e.job_id for e in events if isinstance(e, Cancelled)} == {1, 2, 3, 99}
    assert not [event for event in events if isinstance(event, Finished)]
    assert engine.rows_free == 2
    assert picture(engine, model)


def test_one_request_s_error_is_its_own(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    engine.add(work(model, 1, inputs=Inputs(b"no picture"), denoising_strength=0.5))
    engine.add(work(model, 2))
    events = drive(engine)
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.job_id == 1
    assert isinstance(failed.error, UnreadablePicture)
    assert images(events, 2)


def test_a_prompt_of_endless_versions_is_refused(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    lengths = (2, 3, 5, 7)
    changing = " ".join("[" + "|".join("abcdefg"[:n]) + "]" for n in lengths)
    engine.add(work(model, prompt=changing + " word" * 700, steps=150))
    (failed,) = (event for event in drive(engine) if isinstance(event, Failed))
    assert isinstance(failed.error, InvalidRequest)
    assert failed.error.allowed == "versions"


def test_a_start_image_leads_as_far_as_the_denoising_strength_lets_it(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True)
    start = write_png(np.full((SIZE, SIZE, 3), (255, 0, 0), np.uint8), "")
    values: dict[str, Any] = {"inputs": Inputs(start), "steps": 10}
    engine.add(work(model, denoising_strength=0.3, **values))
    events = drive(engine)
    progress = [event for event in events if isinstance(event, Progress)][-1]
    assert (progress.step, progress.steps) == (4, 4), "int(0.3 · 10) + 1"
    far = picture(engine, model, denoising_strength=1.0, **values)
    assert pixels(far) != pixels(images(events)[0].png)
    assert parse(images(events)[0].infotext)["Denoising strength"] == "0.3"


@pytest.mark.parametrize("upscaler", ["Latent", "Latent (nearest-exact)", "Lanczos", "Nearest"])
def test_hires_fix_runs_a_second_pass_at_the_final_size(
    make_engine: MakeEngine, model: Model, upscaler: str
) -> None:
    engine = make_engine()
    hires = HiresFix(scale=1.5, steps=2, denoising_strength=0.5, upscaler=upscaler)
    engine.add(work(model, hires=hires))
    events = drive(engine)
    (image,) = images(events)
    assert (image.width, image.height) == (96, 96)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.step, last.steps) == (5, 5), "3 of the first pass, 2 of the second"


def test_each_pass_is_guided_by_its_own_prompts_and_scale(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if hires fix had a prompt and a CFG scale of its own."""
    encode = Guidance.encode

    def other_second_pass(*given: Any, second_pass: bool, **options: Any) -> Guidance:
        guidance = encode(*given, second_pass=second_pass, **options)
        if not second_pass:
            return guidance
        # Two AND parts of the first prompt: another number of rows, mixed by another scale.
        positive = replace(guidance.positive, parts=guidance.positive.parts * 2)
        return replace(guidance, positive=positive, cfg_scale=2.0)

    def prediction(sample: torch.Tensor) -> torch.Tensor:
        """Row i answers i, so that what comes of a pass tells how its rows were mixed."""
        rows = torch.arange(len(sample), dtype=sample.dtype)
        return rows[:, None, None, None].expand_as(sample)

    engine = make_engine(max_rows=4)
    sizes = unet_calls(engine, model)
    unet = engine._models.load(model).unet
    unet.register_forward_hook(lambda _module, given, _output: (prediction(given[0]),))
    mixed: list[float] = []

    def noted(trajectories: list[Trajectory], outputs: torch.Tensor, *, one_by_one: bool) -> None:
        weights = trajectories[0].mix.weights(trajectories[0].with_negative)
        parts = zip(weights, outputs.flatten(1).mean(1).tolist(), strict=True)
        mixed.append(sum(weight * mean for weight, mean in parts))
        advance(trajectories, outputs, one_by_one=one_by_one)

    monkeypatch.setattr(Guidance, "encode", other_second_pass)
    monkeypatch.setattr(engine_module, "advance", noted)
    engine.add(work(model, cfg_scale=5, hires=HiresFix(1.5, steps=2, denoising_strength=0.5)))
    engine.step()
    assert engine.rows_free == 1, "the second pass takes three"
    assert images(drive(engine))
    # 1 + 5 · (0 − 1), then 2 + 2 · (0 − 2) + 2 · (1 − 2).
    assert mixed == [-4.0] * 3 + [-4.0] * 2
    assert sizes == [2, 2, 2, 3, 3]


def test_previews_are_small_pictures(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PREVIEW_SECONDS", 0)
    engine = make_engine()
    engine.add(work(model, steps=6))
    previews = [event.preview for event in drive(engine) if isinstance(event, Progress)]
    (first, *_) = (preview for preview in previews if preview)
    assert max(Pillow.open(io.BytesIO(first)).size) <= 256


@pytest.mark.parametrize(
    ("size", "noise_source", "told"),
    [(64, "GPU", False), (840, "GPU", True), (840, "CPU", False), (840, "NV", False)],
)
def test_large_gpu_noise_is_said_to_depend_on_the_card(
    make_engine: MakeEngine, model: Model, size: int, noise_source: str, told: bool
) -> None:
    engine = make_engine()
    noise: dict[str, Any] = {"width": size, "height": size, "noise_source": noise_source}
    loaded = engine._models.load(model)
    run = Run(RunningJob(work(model, **noise)), (0,), loaded, [loaded.vae])
    assert (Note.of("card_noise") in run.notes) is told


def test_notes_reach_the_member(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    engine.add(work(model, prompt="a <thing:1> circle"))
    (finished,) = (event for event in drive(engine) if isinstance(event, Finished))
    assert [note.key for note in finished.notes] == ["lora_left_out"]


def sheet(model: Model, changes: list[dict[str, Any]], vaes: list[Vae | None]) -> Work:
    items = [
        replace(work(model, **values).items[0], vae=vae)
        for values, vae in zip(changes, vaes, strict=True)
    ]
    return Work(1, "owner", tuple(items))


def test_a_sheet_is_one_job_whose_cells_come_in_order(
    make_engine: MakeEngine, model: Model
) -> None:
    engine = make_engine(strict=True, max_rows=4)
    skips = [3, 1, 12]
    engine.add(sheet(model, [{"clip_skip": k} for k in skips], [None] * 3))
    events = drive(engine)
    assert [type(e) for e in events if not isinstance(e, Progress)] == [Started, Finished]
    cells = images(events)
    assert [parse(cell.infotext)["Clip skip"] for cell in cells] == ["3", "1", "12"]
    for skip, cell in zip(skips, cells, strict=True):
        assert picture(engine, model, clip_skip=skip) == cell.png
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 3


def test_a_clip_skip_sheet_encodes_once(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    (encoder,) = engine._models.load(model).conditioner.encoders
    passes: list[object] = []
    encoder.text_model.embeddings.register_forward_hook(lambda *_: passes.append(1))
    engine.add(sheet(model, [{"clip_skip": k} for k in range(1, 13)], [None] * 12))
    assert len(images(drive(engine))) == 12
    assert len(passes) == 2, "the prompt and the negative prompt"


def test_vaes_are_compared_on_the_same_latents(
    make_engine: MakeEngine, model: Model, tmp_path: Path
) -> None:
    engine = make_engine()
    calls = unet_calls(engine, model)
    other = tiny_vae(tmp_path)
    engine.add(sheet(model, [{}, {"vae": other.name}], [None, other]))
    own, external = images(drive(engine))
    assert calls == [2, 2, 2], "one walk for both"
    assert pixels(own.png) != pixels(external.png)
    assert "VAE" not in own.infotext.replace("VAE Encoder", "")
    assert parse(external.infotext)["VAE"] == f"{other.name}.safetensors"


@pytest.mark.parametrize("strict", [False, True])
def test_a_decode_without_room_is_done_in_tiles_but_not_in_strict(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    def no_room(_: Any, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].shape[-1] > 4:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(vae_module, "SMALL_TILES", (32,))
    engine = make_engine(strict=strict)
    engine._models.load(model).vae.module.decoder.register_forward_pre_hook(no_room)
    engine.add(work(model))
    end = drive(engine)[-1]
    if strict:
        assert isinstance(end, Failed)
        assert isinstance(end.error, OutOfMemory)
        assert (end.error.width, end.error.height) == (SIZE, SIZE)
    else:
        assert isinstance(end, Finished)
        assert Pillow.open(io.BytesIO(end.images[0].png)).size == (SIZE, SIZE)
    assert engine.rows_free > 0


def test_a_sheet_fails_as_a_whole(make_engine: MakeEngine, model: Model) -> None:
    engine = make_engine()
    engine.add(sheet(model, [{}, {"inputs": Inputs(b"no picture")}, {}], [None] * 3))
    ends = [e for e in drive(engine) if isinstance(e, Failed | Finished)]
    assert [type(end) for end in ends] == [Failed]
    assert engine.rows_free == 32


def test_a_sheet_over_models_holds_only_those_it_still_needs(
    make_engine: MakeEngine, model: Model, tmp_path: Path
) -> None:
    engine = make_engine(max_rows=2)
    models = [model, *(tiny_model(tmp_path, f"other {seed}", seed=seed) for seed in (1, 2, 3))]
    engine.add(Work(1, "owner", tuple(work(each).items[0] for each in models)))
    held: list[int] = []
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
        held.append(len(engine._models._handles))
    assert len(images(events)) == 4
    # The one that runs, the one prepared ahead, and one whose picture is being written.
    assert max(held) <= 3


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("part", ["unet", "vae", "text"])
def test_weights_that_are_no_numbers_give_a_sentence(
    make_engine: MakeEngine, model: Model, value: float, part: str
) -> None:
    """Loading refuses a file of those; here they come later, as half precision may overflow."""
    engine = make_engine()
    loaded = engine._models.load(model)
    weights = {
        "unet": loaded.unet.get_parameter("conv_out.bias"),
        "vae": loaded.vae.module.get_parameter("decoder.conv_out.bias"),
        "text": loaded.conditioner.encoders[0].text_model.final_layer_norm.bias,
    }
    weights[part].data[:] = value
    engine.add(work(model, steps=2))
    failed = [event.error for event in drive(engine) if isinstance(event, Failed)]
    assert [type(error) for error in failed] == [NotFinite]


@pytest.mark.parametrize("where", ["encode", "decode"])
def test_main_memory_that_runs_out_fails_that_job_alone(
    make_engine: MakeEngine, model: Model, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    engine = make_engine()
    loaded = engine._models.load(model)
    with monkeypatch.context() as patch:
        if where == "encode":
            patch.setattr(engine_module, "Run", no_room)
        else:
            hook = loaded.vae.module.decoder.register_forward_pre_hook(no_room)
        engine.add(work(model))
        end = drive(engine)[-1]
        assert isinstance(end, Failed)
        assert isinstance(end.error, OutOfMemory)
        if where == "decode":
            hook.remove()
    engine.add(replace(work(model), job_id=2))
    assert isinstance(drive(engine)[-1], Finished)
