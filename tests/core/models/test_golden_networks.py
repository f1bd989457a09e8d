"""Networks against A1111's own: changes of weights, embeddings and the UNet's output."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from core.models.addons import NetworkFile, network_hash
from core.models.loading import CONFIGS
from core.models.networks import applied
from core.models.networks.keys import original_name, places
from core.models.weights.clip_tokenizer import clip_tokenizer, read_merges
from core.models.weights.hashes import Hashes
from core.models.weights.network_file import NetworkUse, describe_network
from core.models.weights.safetensors_header import read_header
from core.prompt.parser import read
from core.text.conditioning import TextConditioner
from tests import golden_encoders
from tests.golden_data import FOLDERS, arrays, load

WHOLE: Final = FOLDERS[-1] / "wider"
pytestmark = pytest.mark.skipif(
    not (WHOLE / "lora.npz").exists(), reason="only the whole set has A1111's networks"
)

RELATIVE: Final = 1e-5
UNET: Final = 1e-4
# A1111 loses the alpha of lora_A/lora_B files and does not find PEFT's dotted keys; and of one
# network named twice it takes the last weight twice.
DIFFERENT: Final = {"lora_ab", "peft_dotted", "same_twice"}
TE: Final = "transformer_text_model_"


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return arrays(WHOLE / "lora.npz")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    torch.set_num_threads(1)
    unet: Any = UNet2DConditionModel
    loaded = unet.from_pretrained(
        WHOLE / "models" / "tiny_unet", torch_dtype=torch.float32, low_cpu_mem_usage=False
    )
    text: Any = golden_encoders.clip_l()
    found = {"te1": text.eval(), "unet": loaded.eval()}
    for model in found.values():
        model.requires_grad_(False)
    return found


def cases() -> list[Any]:
    known: list[dict[str, Any]] = (
        load(WHOLE / "lora.json")["cases"] if (WHOLE / "lora.npz").exists() else []
    )
    return [pytest.param(case, id=case["name"]) for case in known if case["name"] not in DIFFERENT]


def uses(case: dict[str, Any]) -> list[NetworkUse]:
    aliases = {"My Style": "with_metadata"}
    return [
        NetworkUse(
            WHOLE / "lora" / f"{aliases.get(each['name'], each['name'])}.safetensors",
            *(each[part] for part in ("te", "unet", "dyn")),
        )
        for each in case["loaded"]
    ]


def layers(models: dict[str, Any]) -> dict[str, nn.Module]:
    """The modules by A1111's names."""
    unet, text = models["unet"], models["te1"]
    found = {
        "diffusion_model_" + original_name(name, unet).replace(".", "_"): module
        for name, module in unet.named_modules()
    }
    return found | {
        TE + name.removeprefix("text_model.").replace(".", "_"): module
        for name, module in text.named_modules()
    }


def off(found: Tensor, wanted: Any) -> float:
    expected = torch.from_numpy(wanted)
    return float((found.reshape(expected.shape) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("case", cases())
def test_weights_change_as_there(
    case: dict[str, Any], numbers: dict[str, Any], models: dict[str, Any]
) -> None:
    named = layers(models)
    start = f"{case['name']}/delta"
    wanted = {key.rpartition("/")[2]: key for key in numbers if key.startswith(start)}
    before = {name: _parameter(named, name).clone() for name in case["touched"]}
    with applied(models, uses(case)) as matches:
        changes = {name: _parameter(named, name) - old for name, old in before.items()}
    # A layer of the wrong shape counts there as well.
    assert [len(each.matched) + len(each.misfits) for each in matches] == [
        each["modules"] for each in case["loaded"]
    ]
    for name, told in case["touched"].items():
        assert float(changes[name].norm()) == pytest.approx(told["norm"], rel=RELATIVE)
        if name in wanted:
            numbers_there = numbers[wanted[name]]
            assert off(changes[name][: len(numbers_there)], numbers_there) < RELATIVE


def _parameter(named: dict[str, nn.Module], name: str) -> Tensor:
    layer, _, bias = name.partition("|")
    found: Tensor = getattr(named[layer], bias or "weight")
    return found


@pytest.mark.parametrize("case", cases())
def test_texts_and_calls_give_the_same_numbers(
    case: dict[str, Any], numbers: dict[str, Any], models: dict[str, Any]
) -> None:
    conditioner = TextConditioner(
        clip_tokenizer(read_merges(CONFIGS / "tokenizer" / "merges.txt")), models["te1"]
    )
    x, context = (torch.from_numpy(numbers[f"unet_input/{name}"]) for name in ("x", "context"))
    with torch.inference_mode(), applied(models, uses(case)):
        for skip in (1, 2, 12):
            key = f"{case['name']}/cond/skip{skip}"
            if key not in numbers and case.get("conditioning_as_without"):
                key = f"no_lora/cond/skip{skip}"
            if key in numbers:
                encoded = conditioner.encode(read(case["stripped"], 20), skip)
                assert off(encoded.at(0)[0][1], numbers[key]) < RELATIVE
        whose = "no_lora" if case.get("unet_as_without") else case["name"]
        if f"{whose}/unet" in numbers:
            output = models["unet"](x, 321, context, return_dict=False)[0]
            assert off(output, numbers[f"{whose}/unet"]) < UNET


def test_sdxls_encoders(models: dict[str, Any]) -> None:
    merges = read_merges(CONFIGS / "tokenizer" / "merges.txt")
    texts: dict[str, Any] = {"te1": golden_encoders.clip_l(), "te2": golden_encoders.clip_g()}
    numbers = arrays(WHOLE / "ti.npz")
    conditioner = TextConditioner(
        [clip_tokenizer(merges), clip_tokenizer(merges, pad="!")], list(texts.values())
    )
    use = NetworkUse(WHOLE / "lora" / "sdxl_te.safetensors", 0.8, 0.8)
    for name, own in (("none", []), ("sdxl_te", [use]), ("none", [])):
        with torch.inference_mode(), applied(texts, own):
            encoded = conditioner.encode(read("a photo of a (red:1.2) dog", 20), 1)
        assert encoded.pooled is not None
        assert off(encoded.at(0)[0][1], numbers[f"sdxl_lora/{name}/crossattn"]) < RELATIVE
        assert off(encoded.pooled[0], numbers[f"sdxl_lora/{name}/pooled"]) < RELATIVE


def test_every_key_that_a1111_knows_is_found(models: dict[str, Any]) -> None:
    table = places(models)
    for key, told in load(WHOLE / "lora.json")["keymap"].items():
        there = (told["diffusers"] or "").removeprefix("text_model.")
        assert there in ("", table[key].module.removeprefix("text_model."))


def test_every_key_of_sdxls_unet_is_found() -> None:
    unet: Any = UNet2DConditionModel
    config = UNet2DConditionModel.load_config(CONFIGS / "sdxl" / "unet")
    with torch.device("meta"):
        table = places({"unet": unet.from_config(config)})
    for told in load(WHOLE / "keymap_sdxl.json")["unet"]:
        for spelling in ("kohya_diffusers_key", "kohya_ldm_key"):
            assert table[told[spelling]] == ("unet", told["diffusers"])


def test_hashes_and_aliases_are_as_there(tmp_path: Path) -> None:
    hashes = Hashes(tmp_path)
    for name, told in load(WHOLE / "lora.json")["files"].items():
        path = WHOLE / "lora" / f"{name}.safetensors"
        facts = describe_network(read_header(path, "LoRA"))
        file = NetworkFile(name, path, hash=facts.hash[:12])
        assert network_hash(file, hashes) == told["infotext_hash"]
        assert hashes.of(path, 64, after_header=True) == told["addnet_sha256"]
        assert hashes.of(path, 64) == told["file_sha256"]
        assert (facts.alias or name) == told["alias"]
