"""Upscaler models of random weights, small: each spelling, each factor, and files that are not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.errors import Refused
from core.models.upscalers import load_upscaler
from core.pictures import upscale

CPU = torch.device("cpu")
WIDTH, GROWTH = 4, 3
State = dict[str, Tensor]


def conv(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}


def drawn(shapes: dict[str, tuple[int, ...]]) -> State:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) / 3 for name, shape in shapes.items()}


def esrgan(ups: int = 2, shrink: int = 1, blocks: int = 2, *, plus: bool = False) -> State:
    """Weights under Real-ESRGAN's names."""
    shapes = conv("conv_first", WIDTH, 3 * shrink**2)
    for block in range(blocks):
        for dense in (1, 2, 3):
            name = f"body.{block}.rdb{dense}"
            for number in range(1, 6):
                inputs = WIDTH + (number - 1) * GROWTH
                outputs = WIDTH if number == 5 else GROWTH
                shapes |= conv(f"{name}.conv{number}", outputs, inputs)
            if plus:
                shapes[f"{name}.conv1x1.weight"] = (GROWTH, WIDTH, 1, 1)
    for name in ("conv_body", *(f"conv_up{up}" for up in range(1, ups + 1)), "conv_hr"):
        shapes |= conv(name, WIDTH, WIDTH)
    return drawn(shapes | conv("conv_last", 3, WIDTH))


def compact(scale: int = 4, convs: int = 2) -> State:
    shapes = conv("body.0", WIDTH, 3) | {"body.1.weight": (WIDTH,)}
    for number in range(convs):
        shapes |= conv(f"body.{2 * number + 2}", WIDTH, WIDTH)
        shapes[f"body.{2 * number + 3}.weight"] = (WIDTH,)
    return drawn(shapes | conv(f"body.{2 * convs + 2}", 3 * scale**2, WIDTH))


def swinir(way: str, *, three: bool = False) -> State:
    """Two groups of two blocks, windows of 4; ``way`` is its authors' name for the upsampling."""
    wide, hidden, heads, features = 8, 12, 2, 4
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def convs(name: str) -> None:
        if three:
            shapes.update(conv(f"{name}.0", wide // 4, wide) | conv(f"{name}.4", wide, wide // 4))
            shapes[f"{name}.2.weight"] = (wide // 4, wide // 4, 1, 1)
            shapes[f"{name}.2.bias"] = (wide // 4,)
        else:
            shapes.update(conv(name, wide, wide))

    shapes |= conv("conv_first", wide, 3)
    norms = ["patch_embed.norm", "norm"]
    for group in range(2):
        for block in range(2):
            name = f"layers.{group}.residual_group.blocks.{block}"
            shapes[f"{name}.attn.relative_position_bias_table"] = (49, heads)
            linear(f"{name}.attn.qkv", 3 * wide, wide)
            linear(f"{name}.attn.proj", wide, wide)
            linear(f"{name}.mlp.fc1", hidden, wide)
            linear(f"{name}.mlp.fc2", wide, hidden)
            norms += [f"{name}.norm1", f"{name}.norm2"]
        convs(f"layers.{group}.conv")
    convs("conv_after_body")
    if way != "pixelshuffledirect":
        shapes |= conv("conv_before_upsample.0", features, wide) | conv("conv_last", 3, features)
    if way == "nearest+conv":
        for name in ("conv_up1", "conv_up2", "conv_hr"):
            shapes |= conv(name, features, features)
    elif way == "pixelshuffle":
        shapes |= conv("upsample.0", 9 * features, features)
    else:
        shapes |= conv("upsample.0", 3 * 4, wide)
    for name in norms:
        shapes |= {f"{name}.weight": (wide,), f"{name}.bias": (wide,)}
    return drawn(shapes)


def old(state: State, blocks: int = 2) -> State:
    """The same weights under old ESRGAN's names, which count the layers."""
    ups = sum(bool(re.match(r"conv_up\d\.weight", name)) for name in state)
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.(conv\d)\.", r"model.1.sub.\1.RDB\2.\3.0.", name)
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.conv1x1", r"model.1.sub.\1.RDB\2.conv1x1", name)
        name = name.replace("conv_first", "model.0").replace("conv_body", f"model.1.sub.{blocks}")
        name = re.sub(r"^conv_up(\d)", lambda match: f"model.{3 * int(match[1])}", name)
        name = name.replace("conv_hr", f"model.{3 * ups + 2}")
        renamed[name.replace("conv_last", f"model.{3 * ups + 4}")] = tensor
    return renamed


def bsrgan(state: State) -> State:
    """The same weights under BSRGAN's names."""
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2.", name)
        name = name.replace("conv_body", "trunk_conv").replace("conv_hr", "HRconv")
        renamed[name.replace("conv_up", "upconv")] = tensor
    return renamed


def written(state: State, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def picture(height: int = 5, width: int = 6) -> Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(1))


# By name: the weights, and what spandrel 0.4.2 makes of the picture above with them: its factor,
# and its result's mean, standard deviation and one value.
KNOWN: dict[str, tuple[State, tuple[float, ...]]] = {
    "4x": (esrgan(), (4, -1.891207, 23.34381, -31.16028)),
    "1x": (esrgan(0), (1, -2.074202, 7.732949, -0.6945242)),
    "2x": (esrgan(1), (2, 6.709459, 14.57992, 4.428187)),
    "8x": (esrgan(3, blocks=1), (8, -3.006373, 8.58007, 4.840536)),
    "2x, shrunk first": (esrgan(2, 2), (2, -12.15897, 13.41864, -40.71513)),
    "1x, shrunk first": (esrgan(2, 4), (1, -1.012507, 11.65368, 1.875193)),
    "ESRGAN+": (old(esrgan(plus=True)), (4, 6.916124, 22.13418, 11.06981)),
    "compact": (compact(), (4, 0.760376, 6.366937, -1.28415)),
    "compact 1x": (compact(1), (1, -2.676926, 7.1177, -6.393591)),
    "SwinIR, real": (
        swinir("nearest+conv", three=True),
        (4, -0.1477405, 6.553643, -0.3140756),
    ),
    "SwinIR, classical": (swinir("pixelshuffle"), (3, 0.2029308, 6.664987, 0.6028178)),
    "SwinIR, lightweight": (swinir("pixelshuffledirect"), (2, 0.4499012, 2.471523, 0.1991241)),
}
SPELLED = {
    "old ESRGAN's names": old(esrgan()),
    "BSRGAN's names": bsrgan(esrgan()),
    "a trainer's wrapper": {f"params_ema.{name}": each for name, each in esrgan().items()},
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_architecture_computes_what_spandrel_does(name: str, tmp_path: Path) -> None:
    state, (scale, mean, deviation, value) = KNOWN[name]
    loaded = load_upscaler(written(state, tmp_path / "up.safetensors"), CPU, torch.float32)
    with torch.inference_mode():
        larger = loaded(picture())
    assert (loaded.name, loaded.scale) == ("up", scale)
    assert larger.shape == (1, 3, 5 * scale, 6 * scale)
    told = [float(each) for each in (larger.mean(), larger.std(), larger[0, 1, 2, 3])]
    assert told == pytest.approx([mean, deviation, value], rel=1e-4)


@pytest.mark.parametrize("spelling", SPELLED)
def test_every_spelling_is_the_same_upscaler(spelling: str, tmp_path: Path) -> None:
    plain = load_upscaler(written(esrgan(), tmp_path / "a.safetensors"), CPU, torch.float32)
    path = written(SPELLED[spelling], tmp_path / "b.safetensors")
    spelled = load_upscaler(path, CPU, torch.float32)
    with torch.inference_mode():
        assert torch.equal(spelled(picture()), plain(picture()))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 8)])
def test_a_picture_that_cannot_be_shrunk_evenly_keeps_its_size(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = written(esrgan(2, 4), tmp_path / "up.safetensors")
    with torch.inference_mode():
        assert load_upscaler(path, CPU, torch.float32)(picture(*size)).shape == (1, 3, *size)


def test_a_loaded_one_enlarges_pictures_in_the_precision_asked_for(tmp_path: Path) -> None:
    weights = {name: each / 10 for name, each in compact(2).items()}
    path = written(weights, tmp_path / "up.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_upscaler(path, CPU, dtype)
        assert {each.dtype for each in loaded.module.parameters()} == {dtype}
        results.append(upscale(pixels, 60, 45, loaded, loaded.scale).astype(int))
    assert results[0].shape == (45, 60, 3)
    assert 0 < np.abs(results[0] - results[1]).max() < 12


def test_swinir_averages_its_tiles_and_stays_in_single_precision(tmp_path: Path) -> None:
    path = written(swinir("pixelshuffle"), tmp_path / "up.safetensors")
    loaded = load_upscaler(path, CPU, torch.float16)
    assert loaded.averages
    assert next(loaded.module.parameters()).dtype == torch.float32
    assert not load_upscaler(written(esrgan(), path), CPU, torch.float32).averages


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        load_upscaler(path, CPU, torch.float32)
    assert (caught.value.kind, caught.value.name) == ("upscaler", path.stem)
    return str(caught.value)


def without(state: State, name: str) -> State:
    return {each: tensor for each, tensor in state.items() if each != name}


WRONG = {
    "an unknown architecture": (
        {"layers.0.attn.qkv.weight": torch.ones(3, 3)},
        "is of an architecture that is not known here, which this bot does not run",
    ),
    "one of SwinIR's relatives": (
        swinir("pixelshuffle") | {"layers.0.residual_group.overlap_attn.qkv.bias": torch.ones(1)},
        "is a HAT upscaler, which this bot does not run",
    ),
    "layers that do not fit": (
        swinir("pixelshuffle")
        | {"layers.0.residual_group.blocks.0.attn.relative_position_bias_table": torch.ones(3)},
        "cannot be read: its layers do not fit together",
    ),
    "DAT": (
        {"before_RG.1.weight": torch.ones(3), "layers.0.blocks.0.norm1.weight": torch.ones(3)},
        "is a DAT upscaler, which this bot does not run",
    ),
    "a width that does not go on": (
        {
            name: each
            for name, each in swinir("pixelshuffle").items()
            if not name.startswith("conv_before_upsample")
        },
        "cannot be read: its layers do not fit together",
    ),
    "no weights": ({}, "is of an architecture that is not known here, which this bot does not run"),
    "grey": (
        esrgan() | drawn(conv("conv_first", WIDTH, 1)),
        "is an upscaler of 1 to 3 channels, not RGB, which this bot does not run",
    ),
    "by 32": (esrgan(5), "is an upscaler by 32, which this bot does not run"),
    "by two thirds": (
        esrgan(1, 3),
        "is an upscaler by 0.666667, which this bot does not run",
    ),
    "one missing": (
        without(esrgan(), "body.1.rdb2.conv3.bias"),
        "lacks esrgan body.1.rdb2.conv3.bias; the file is not complete",
    ),
    "the last missing": (
        without(compact(), "body.6.weight"),
        "lacks compact body.6.weight; the file is not complete",
    ),
    "one of another shape": (
        compact() | {"body.2.weight": torch.ones(WIDTH, 9, 3, 3)},
        "cannot be read: compact body.2.weight is (4, 9, 3, 3), not (4, 4, 3, 3)",
    ),
    "NaN": (
        esrgan() | {"conv_hr.bias": torch.full((WIDTH,), torch.nan)},
        "cannot be read: conv_hr.bias has values that are no numbers",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_upscaler_is_refused_with_a_sentence(case: str, tmp_path: Path) -> None:
    state, sentence = WRONG[case]
    path = tmp_path / "4x.safetensors"
    assert refusal(written(state, path)) == f"the upscaler '4x' {sentence}"


def test_a_pickle_is_refused_by_any_name(tmp_path: Path) -> None:
    for name in ("4x.pth", "4x.safetensors"):
        torch.save({"params_ema": esrgan()}, tmp_path / name)
        assert "is a pickle" in refusal(tmp_path / name)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = written(esrgan(), tmp_path / "4x.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    assert "is cut off" in refusal(path)
    path.unlink()
    assert "cannot be read" in refusal(path)
