"""Upscaler models of random weights, small: each spelling, each factor, and files that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import Refused
from core.models.upscalers import load_upscaler
from core.models.weights.file_kinds import kind_of
from core.models.weights.safetensors_header import read_header
from core.pictures import upscale
from tests.core.models.upscaler_weights import (
    WIDTH,
    State,
    bsrgan,
    compact,
    conv,
    dat,
    drawn,
    esrgan,
    hat,
    old,
    picture,
    scunet,
    swinir,
    written,
)

CPU = torch.device("cpu")
# By name: the weights, and what spandrel 0.4.2 makes of a small picture with them: its factor,
# and its result's mean, standard deviation and one value.
KNOWN: dict[str, tuple[State, tuple[float, ...]]] = {
    "4x": (esrgan(), (4, -1.891207, 23.34381, -31.16028)),
    "1x": (esrgan(0), (1, -2.074202, 7.732949, -0.6945242)),
    "2x": (esrgan(1), (2, 6.709459, 14.57992, 4.428187)),
    "8x": (esrgan(3, blocks=1), (8, -3.006373, 8.58007, 4.840536)),
    "2x, shrunk first": (esrgan(2, 2), (2, -19.40467, 20.36361, -50.15257)),
    "1x, shrunk first": (esrgan(2, 4), (1, -1.012507, 11.65368, 1.875193)),
    "ESRGAN+": (old(esrgan(plus=True)), (4, 6.916124, 22.13418, 11.06981)),
    "compact": (compact(), (4, 0.760376, 6.366937, -1.28415)),
    "compact 1x": (compact(1), (1, -2.676926, 7.1177, -6.393591)),
    "SwinIR, real": (
        swinir("nearest+conv", three=True),
        (4, -4.169247, 6.628299, -6.391275),
    ),
    "SwinIR, classical": (swinir("pixelshuffle", 3), (3, 0.3524437, 8.43633, 2.21732)),
    "SwinIR, 1x": (swinir("pixelshuffle", 1), (1, 2.734081, 4.582018, 9.361898)),
    "SwinIR, lightweight": (swinir("pixelshuffledirect", 2), (2, 1.299579, 4.120823, 0.4653725)),
    "HAT": (hat(), (4, -0.3359389, 11.09814, 19.49363)),
    "HAT, wide overlaps": (hat(3, 8), (3, 0.5508637, 14.00839, 11.31363)),
    "HAT without convolutions": (hat(1, 4, after=False), (1, 1.216427, 1.891959, -0.08462113)),
    "DAT": (dat(), (2, -5.432305, 59.59089, -63.61001)),
    "DAT, high windows": (dat(factor=3, sides=(6, 2)), (3, -33.02088, 130.2567, -67.10939)),
    "DAT, light": (
        dat("pixelshuffledirect", 4, (8, 32), (3,), three=True),
        (4, -2.061954, 60.51473, 2.294494),
    ),
    "SCUNet": (scunet(), (1, 0.224554, 0.4426104, 0.05442429)),
}
# Likewise of a picture of several windows, whose sides are no multiples of theirs.
LARGER = {
    "SwinIR, real": (-5.017417, 7.74647, -5.710184),
    "SwinIR, classical": (0.005717253, 8.819305, 9.883519),
    "SwinIR, 1x": (2.925823, 4.281662, 3.581508),
    "SwinIR, lightweight": (1.323125, 4.615394, -1.00731),
    "HAT": (-0.4577313, 12.63621, 26.3666),
    "HAT, wide overlaps": (-0.524209, 14.09061, 21.21841),
    "HAT without convolutions": (1.392996, 2.213796, 1.09303),
    "DAT": (-9.216043, 78.29208, -30.78572),
    "DAT, high windows": (-35.93975, 129.8764, -72.30676),
    "DAT, light": (-6.021621, 66.654, 4.726994),
    "SCUNet": (0.25087, 0.4205588, 0.01162479),
}
SPELLED = {
    "old ESRGAN's names": old(esrgan()),
    "BSRGAN's names": bsrgan(esrgan()),
    "a trainer's wrapper": {f"params_ema.{name}": each for name, each in esrgan().items()},
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_architecture_computes_what_spandrel_does(name: str, tmp_path: Path) -> None:
    state, (scale, *known) = KNOWN[name]
    loaded = load_upscaler(written(state, tmp_path / "up.safetensors"), CPU, torch.float32)
    assert (loaded.name, loaded.scale) == ("up", scale)
    for size, numbers in (((5, 6), known), ((19, 22), LARGER.get(name))):
        with torch.inference_mode():
            larger = loaded(picture(*size))
        assert larger.shape == (1, 3, size[0] * scale, size[1] * scale)
        told = [float(each) for each in (larger.mean(), larger.std(), larger[0, 1, 2, 3])]
        if numbers:
            assert told == pytest.approx(numbers, rel=1e-4, abs=1e-5 * numbers[1])


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


ATTENTION = {
    "swinir": swinir("pixelshuffle"),
    "hat": hat(),
    "dat": dat(),
    "scunet": scunet(),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_stays_in_single_precision_and_has_the_tiles_of_a1111(
    name: str, tmp_path: Path
) -> None:
    path = written(ATTENTION[name], tmp_path / "up.safetensors")
    loaded = load_upscaler(path, CPU, torch.float16)
    assert loaded.averages == (name in ("swinir", "scunet"))
    assert loaded.tile == (256 if name == "scunet" else 192)
    state = loaded.module.state_dict()
    assert {each.dtype for each in state.values()} == {torch.float32}
    assert not load_upscaler(written(esrgan(), path), CPU, torch.float32).averages


@pytest.mark.parametrize("name", ATTENTION)
def test_a_file_in_half_precision_is_the_upscaler_of_its_rounded_weights(
    name: str, tmp_path: Path
) -> None:
    halved = {
        each: tensor.half() if tensor.is_floating_point() else tensor
        for each, tensor in ATTENTION[name].items()
    }
    rounded = {
        each: tensor.float() if tensor.is_floating_point() else tensor
        for each, tensor in halved.items()
    }
    results = []
    for state in (halved, rounded):
        path = written(state, tmp_path / "up.safetensors")
        with torch.inference_mode():
            results.append(load_upscaler(path, CPU, torch.float32)(picture(20, 17)))
    assert torch.equal(*results)


@pytest.mark.parametrize("name", ATTENTION)
def test_one_among_the_models_is_known_as_an_upscaler(name: str, tmp_path: Path) -> None:
    path = written(ATTENTION[name], tmp_path / "up.safetensors")
    assert kind_of(read_header(path, "model")) == "upscaler"


def test_the_largest_factor_is_16(tmp_path: Path) -> None:
    weights = dat("pixelshuffledirect", 16, depths=(1,))
    loaded = load_upscaler(written(weights, tmp_path / "up.safetensors"), CPU, torch.float32)
    with torch.inference_mode():
        assert loaded(picture(3, 2)).shape == (1, 3, 48, 32)


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        load_upscaler(path, CPU, torch.float32)
    assert (caught.value.kind, caught.value.name) == ("upscaler", path.stem)
    return str(caught.value)


def without(state: State, name: str) -> State:
    return {each: tensor for each, tensor in state.items() if each != name}


HAT_BLOCK = "layers.0.residual_group.blocks.0"
DISTANCES = "layers.0.blocks.0.attn.attns.0.rpe_biases"
WRONG = {
    "an unknown architecture": (
        {"layers.0.attn.qkv.weight": torch.ones(3, 3)},
        "is of an architecture that is not known here, which this bot does not run",
    ),
    "one of SwinIR's relatives": (
        swinir("pixelshuffle") | {"layers.0.residual_group.gate.bias": torch.ones(1)},
        "is of an architecture that is not known here, which this bot does not run",
    ),
    "one of DAT's relatives": (
        dat() | {"layers.0.blocks.0.gamma": torch.ones(1)},
        "is of an architecture that is not known here, which this bot does not run",
    ),
    "HAT of one size of pictures": (
        hat() | {"absolute_pos_embed": torch.ones(1, 4096, 8)},
        "is of an architecture that is not known here, which this bot does not run",
    ),
    "HAT of heads that its width cannot be shared by": (
        hat(heads=3),
        "cannot be read: its layers do not fit together",
    ),
    "HAT of no heads": (hat(heads=0), "cannot be read: its layers do not fit together"),
    "HAT whose overlaps are on one side only": (
        hat(larger=7),
        "cannot be read: its layers do not fit together",
    ),
    "HAT of huge windows": (
        hat() | {f"{HAT_BLOCK}.attn.relative_position_bias_table": torch.ones(129**2, 2)},
        "cannot be read: its layers do not fit together",
    ),
    "HAT of windows of two sizes": (
        hat() | {f"{HAT_BLOCK[:-1]}1.attn.relative_position_bias_table": torch.ones(25, 2)},
        "cannot be read: hat layers.0.blocks.1.attn.relative_position_bias_table is (25, 2), "
        "not (49, 2)",
    ),
    "HAT with one missing": (
        without(hat(), f"{HAT_BLOCK}.conv_block.cab.2.bias"),
        "lacks hat layers.0.blocks.0.attn.conv_block.cab.2.bias; the file is not complete",
    ),
    "HAT with an infinite value": (
        hat() | {"conv_last.bias": torch.full((3,), torch.inf)},
        "cannot be read: conv_last.bias has values that are no numbers",
    ),
    "DAT of windows that no square is cut into": (
        dat(sides=(4, 6)),
        "cannot be read: its layers do not fit together",
    ),
    "DAT whose windows have other distances": (
        dat() | {DISTANCES: torch.ones(33, 2)},
        "cannot be read: its layers do not fit together",
    ),
    "DAT whose windows have no distances": (
        dat() | {DISTANCES: torch.ones(0, 2)},
        "cannot be read: its layers do not fit together",
    ),
    "DAT without distances": (
        without(dat(), DISTANCES),
        f"lacks dat {DISTANCES}; the file is not complete",
    ),
    "DAT of distances that are no numbers": (
        dat() | {DISTANCES: torch.full((33, 2), torch.nan)},
        f"cannot be read: {DISTANCES} has values that are no numbers",
    ),
    "SCUNet of a width without heads": (
        scunet() | {"m_head.0.weight": torch.ones(8, 3, 3, 3)},
        "cannot be read: its layers do not fit together",
    ),
    "SCUNet with one missing": (
        without(scunet(), "m_body.0.trans_block.ln2.weight"),
        "lacks scunet m_body.0.trans_block.norm2.weight; the file is not complete",
    ),
    "grey SCUNet": (
        scunet() | {"m_tail.0.weight": torch.ones(1, 64, 3, 3)},
        "is an upscaler of 3 to 1 channels, not RGB, which this bot does not run",
    ),
    "DAT by 32": (
        dat("pixelshuffledirect", 32, depths=(1,)),
        "is an upscaler by 32, which this bot does not run",
    ),
    "layers that do not fit": (
        swinir("pixelshuffle")
        | {"layers.0.residual_group.blocks.0.attn.relative_position_bias_table": torch.ones(3)},
        "cannot be read: its layers do not fit together",
    ),
    "SPAN": (
        {"block_1.c1_r.eval_conv.weight": torch.ones(3)},
        "is a SPAN upscaler, which this bot does not run",
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
    for state in (esrgan(), hat(), dat()):
        path = written(state, tmp_path / "4x.safetensors")
        path.write_bytes(path.read_bytes()[:-4])
        assert "is cut off" in refusal(path)
    path.unlink()
    assert "cannot be read" in refusal(path)
