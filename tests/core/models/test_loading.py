from __future__ import annotations

import gc
import hashlib
import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from core.config import EngineConfig
from core.errors import EngineStopped, Refused
from core.families import Family
from core.models.catalogue import Catalogue, Layout, Model
from core.models.loading import CONFIGS, Models
from core.models.residents import LoadedModel
from core.models.weights.checkpoint import file_parts, tokenizer
from core.models.weights.clip_tokenizer import clip_tokenizer, read_merges
from core.models.weights.components import empty_module, load_component
from core.prompt.parser import read
from core.sampling.schedules import trained_alphas
from tests.tiny_models import tiny_configs, tiny_model, tiny_vae
from tools import random_models

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")
LAYOUTS: tuple[Layout, ...] = ("folder", "file")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models ``sd1-folder``, ``sd1-file`` … with equal weights a family, and configs."""
    shelf = tmp_path_factory.mktemp("shelf")
    for family in FAMILIES:
        for layout in LAYOUTS:
            tiny_model(shelf, f"{family}-{layout}", family=family, layout=layout)
        tiny_configs(shelf / "configs", family)
    return shelf


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Callable[[str], Model]:
    """A private copy of one of the shelf's models, to be damaged."""

    def make(name: str) -> Model:
        for source in shelf.glob(f"{name}*"):
            target = tmp_path / "copy" / source.name
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        return find(tmp_path / "copy", name)

    return make


def find(folder: Path, name: str) -> Model:
    return Catalogue.scan(folder, folder / "none", folder / "none").model(name)


@pytest.fixture
def models(shelf: Path, tmp_path: Path) -> Models:
    config = EngineConfig(device="cpu", cache_dir=tmp_path / "cache")
    return Models(config, configs=shelf / "configs")


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    modules: dict[str, Any] = {"unet": loaded.unet, "vae": loaded.vae.module}
    return {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


# --- both layouts ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_both_layouts_load_to_the_same_weights(shelf: Path, models: Models, family: Family) -> None:
    folder = models.load(find(shelf, f"{family}-folder"))
    file = models.load(find(shelf, f"{family}-file"))
    assert folder.family == file.family == family
    first, second = weights(folder), weights(file)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not any(weight.requires_grad or weight.is_meta for weight in second.values())
    assert not file.unet.training
    texts = [one.conditioner.encode(read("a red circle", 4), 2) for one in (folder, file)]
    contexts = [text.parts[0][1][0][1] for text in texts]
    assert contexts[0].shape[0] == 77
    assert torch.equal(*contexts)


@pytest.mark.parametrize("family", FAMILIES)
def test_single_files_are_read_as_diffusers_reads_them(shelf: Path, family: Family) -> None:
    """The original names, translated by diffusers' own converter, give the same weights."""
    model = find(shelf, f"{family}-file")
    for component, config, tensors in file_parts(model, shelf / "configs"):
        ours = load_component(
            component, config, tensors, torch.device("cpu"), torch.float32, "model", "x"
        ).state_dict()
        theirs = converted(model, component, shelf / "configs" / family / component)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def converted(model: Model, component: str, config: Path) -> dict[str, torch.Tensor]:
    """A component of a single file's weights as diffusers itself makes them."""
    if component.startswith("text"):
        text = CLIPTextModelWithProjection if component == "text_encoder_2" else CLIPTextModel
        convert: Any = create_diffusers_clip_model_from_ldm
        module: Any = convert(
            text, load_file(model.path), config=str(config), local_files_only=True
        )
    else:
        kinds: Any = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
        module = kinds[component].from_single_file(
            str(model.path), config=str(config), local_files_only=True, low_cpu_mem_usage=False
        )
    state: dict[str, torch.Tensor] = module.state_dict()
    return state


def test_the_shipped_structures_are_the_real_ones() -> None:
    """Parameters as published: SD 1.x UNet 860M, SD 2 866M, SDXL 2,567M, VAE 84M, CLIP-L 123M."""
    counted = {}
    for family in FAMILIES:
        recipe = random_models.full(family)
        assert (CONFIGS / family).is_dir()
        for component, config in recipe.configs.items():
            module = empty_module(component, config)
            counted[family, component] = sum(weight.numel() for weight in module.parameters())
    assert counted == {
        ("sd1", "unet"): 859_520_964,
        ("sd1", "vae"): 83_653_863,
        ("sd1", "text_encoder"): 123_060_480,
        ("sd2", "unet"): 865_910_724,
        ("sd2", "vae"): 83_653_863,
        ("sd2", "text_encoder"): 340_387_840,
        ("sdxl", "unet"): 2_567_463_684,
        ("sdxl", "vae"): 83_653_863,
        ("sdxl", "text_encoder"): 123_060_480,
        ("sdxl", "text_encoder_2"): 694_659_840,
    }


def test_clips_tokenizer_follows_from_its_merges() -> None:
    clip = clip_tokenizer(read_merges(CONFIGS / "tokenizer" / "merges.txt"))
    # The whole of CLIP's own vocab.json, in the order of its ids.
    words = sorted(clip.get_vocab(), key=clip.convert_tokens_to_ids)
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    assert digest == "7cccc44d334555d1ff3c0ac5f0246b428fab2918383e77ee745cf30d41010b78"
    assert len(clip) == 49_408
    assert clip("a red circle").input_ids == [49406, 320, 736, 7117, 49407]
    assert clip("A  PHOTO, of (ünïcode) 日本 🎉").input_ids[:4] == [49406, 320, 1125, 267]
    assert (clip.pad_token_id, clip.model_max_length) == (49407, 77)


def test_openclip_pads_with_zero(shelf: Path) -> None:
    pads = {
        (name, encoder): tokenizer(find(shelf, name), encoder, shelf / "configs").pad_token_id
        for name, encoder in (
            ("sd1-file", "text_encoder"),
            ("sd2-file", "text_encoder"),
            ("sd2-folder", "text_encoder"),
            ("sdxl-file", "text_encoder"),
            ("sdxl-file", "text_encoder_2"),
            ("sdxl-folder", "text_encoder_2"),
        )
    }
    end = pads["sd1-file", "text_encoder"]
    assert list(pads.values()) == [end, 0, 0, end, 0, 0]
    assert end == 512 + random_models.TINY_MERGES + 1


def test_older_names_are_still_read(
    copy: Callable[[str], Model], models: Models, shelf: Path
) -> None:
    """VAE attention before diffusers 0.18, text encoders before transformers 5.6, shards."""
    model = copy("sd1-folder")
    vae = model.path / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for key, tensor in load_file(vae).items():
        for new, name in old.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        state[key] = tensor
    save_file(state, vae)
    text = model.path / "text_encoder" / "model.safetensors"
    state = {f"text_model.{key}": tensor for key, tensor in load_file(text).items()}
    save_file(state | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, text)
    unet = model.path / "unet" / "diffusion_pytorch_model.safetensors"
    parts: tuple[dict[str, torch.Tensor], ...] = ({}, {})
    shards = {}
    for number, (key, tensor) in enumerate(load_file(unet).items()):
        parts[number % 2][key] = tensor
        shards[key] = f"part-{number % 2}.safetensors"
    for number, part in enumerate(parts):
        save_file(part, unet.with_name(f"part-{number}.safetensors"))
    index = unet.with_name(f"{unet.name}.index.json")
    index.write_text(json.dumps({"weight_map": shards}))
    unet.unlink()
    ours = weights(models.load(find(model.path.parent, "sd1-folder")))
    kept = weights(models.load(find(shelf, "sd1-folder")))
    assert ours.keys() == kept.keys()
    assert all(torch.equal(ours[key], kept[key]) for key in kept)


def test_an_early_sd1_file_without_text_model_in_its_names(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-file")
    state = {key.replace(".text_model.", "."): t for key, t in load_file(model.path).items()}
    save_file(state, model.path)
    loaded = models.load(find(model.path.parent, "sd1-file"))
    assert loaded.family == "sd1"


def test_the_noise_schedule_is_the_folders_own(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-folder")
    path = model.path / "scheduler" / "scheduler_config.json"
    values = json.loads(path.read_text())
    values |= {"beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "v_prediction"}
    path.write_text(json.dumps(values))
    schedule = models.load(find(model.path.parent, "sd1-folder")).schedule
    assert torch.equal(schedule.alphas_cumprod, trained_alphas(1000, 0.00085, 0.02, "linear"))
    assert schedule.prediction_type == "v_prediction"


def test_hashes_are_the_files_and_of_a_folder_the_unets(shelf: Path, models: Models) -> None:
    unet = shelf / "sd1-folder" / "unet" / "diffusion_pytorch_model.safetensors"
    for name, path in (("sd1-file", shelf / "sd1-file.safetensors"), ("sd1-folder", unet)):
        digest = models.load(find(shelf, name)).hash
        assert digest == digest_of(path)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


# --- quiet and alone ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sdxl-folder", "sdxl-file"])
def test_loading_is_silent_and_asks_no_network(
    shelf: Path,
    models: Models,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    models.load(find(shelf, name))
    assert capfd.readouterr() == ("", "")


# --- bad files ------------------------------------------------------------------------------


def refuse(models: Models, model: Model) -> Refused:
    """Loading is refused, and what was loaded before still answers."""
    with pytest.raises(Refused) as caught:
        models.load(model)
    assert caught.value.name == model.name
    assert model.name not in models.warm
    return caught.value


@pytest.mark.parametrize(
    "lost",
    [
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.quant_conv.bias",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ],
)
def test_a_tensor_that_is_missing_is_named(
    copy: Callable[[str], Model], models: Models, lost: str
) -> None:
    model = copy("sd1-file")
    state = load_file(model.path)
    del state[lost]
    save_file(state, model.path)
    refused = refuse(models, find(model.path.parent, model.name))
    assert refused.reason == "missing"
    assert refused.detail.endswith(".".join(lost.split(".")[-2:]))


def test_a_tensor_of_another_shape_is_named(copy: Callable[[str], Model], models: Models) -> None:
    model = copy("sd1-folder")
    path = model.path / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state["conv_out.bias"] = torch.zeros(5)
    save_file(state, path)
    refused = refuse(models, model)
    assert refused.reason == "unreadable"
    assert "conv_out.bias is (5,), not (4,)" in refused.detail


def test_what_went_bad_since_the_scan_is_refused(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-folder")
    (model.path / "unet" / "config.json").write_text('{"block_out_channels": "many"}')
    assert refuse(models, model).reason == "unreadable"
    model = copy("sd2-folder")
    (model.path / "tokenizer" / "tokenizer.json").write_text("{}")
    assert refuse(models, model).detail == "a readable tokenizer"
    model = copy("sdxl-folder")
    weights = model.path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused = refuse(models, model)
    assert (refused.name, refused.reason) == (model.name, "truncated")
    model = copy("sd1-file")
    model.path.write_bytes(model.path.read_bytes()[:-100])
    refused = refuse(models, replace(model, name="sd1-file (2)"))
    assert (refused.name, refused.reason) == ("sd1-file (2)", "truncated")
    model.path.unlink()
    assert refuse(models, model).reason == "missing"


def test_parts_that_were_not_made_for_each_other_are_refused(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-folder")
    recipe = random_models.tiny("sd1")
    wide = {"hidden_size": 48, "vocab_size": recipe.configs["text_encoder"]["vocab_size"]}
    config = recipe.configs["text_encoder"] | wide
    module = empty_module("text_encoder", config)
    state = random_models.random_state(module, torch.Generator(), torch.float32)
    save_file(state, model.path / "text_encoder" / "model.safetensors")
    random_models.write_config(config, model.path / "text_encoder" / "config.json")
    assert "wants text of width 32, not 48" in refuse(models, model).detail


def test_a_tokenizer_of_more_tokens_than_the_encoder_is_refused(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-folder")
    shutil.rmtree(model.path / "tokenizer")
    merges = read_merges(CONFIGS / "tokenizer" / "merges.txt")
    clip_tokenizer(merges).save_pretrained(model.path / "tokenizer")
    assert "more tokens" in refuse(models, model).detail


def test_a_full_size_file_with_tiny_weights_is_refused(shelf: Path, tmp_path: Path) -> None:
    """Right names, wrong sizes: the shipped structure does not fit, and says where."""
    models = Models(EngineConfig(device="cpu", cache_dir=tmp_path))
    refused = refuse(models, find(shelf, "sd1-file"))
    assert refused.reason == "unreadable"


# --- what is kept ---------------------------------------------------------------------------


def test_the_models_used_last_stay_warm(shelf: Path, models: Models) -> None:
    for name in ("sd1-folder", "sd1-file", "sd1-folder", "sd2-folder"):
        models.load(find(shelf, name))
    assert models.warm == ("sd1-folder", "sd2-folder")


def test_weights_may_change_place_even_when_loaded_in_inference_mode(
    shelf: Path, models: Models, tmp_path: Path
) -> None:
    with torch.inference_mode():
        loaded = models.load(find(shelf, "sd1-file"))
        vae = models.load_vae(tiny_vae(tmp_path), loaded)
    assert not any(weight.is_inference() for weight in weights(loaded).values())
    assert not any(weight.is_inference() for weight in vae.module.state_dict().values())


def test_one_that_is_held_is_not_forgotten(shelf: Path, models: Models) -> None:
    held = models.load(find(shelf, "sd1-folder"))
    for name in ("sd1-file", "sd2-folder", "sd2-file"):
        models.load(find(shelf, name))
    assert models.load(find(shelf, "sd1-folder")) is held
    unet = held.unet
    del held
    gc.collect()
    # Nobody holds it, but it is warm: no second read.
    assert models.load(find(shelf, "sd1-folder")).unet is unet


def test_a_card_that_was_edited_costs_no_second_copy(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-file")
    held = models.load(model)
    model.path.with_suffix(".toml").write_text('name = "New name"\nclip_skip = 2')
    assert models.load(find(model.path.parent, "New name")) is held


def test_a_file_that_was_replaced_is_loaded_anew(
    copy: Callable[[str], Model], models: Models
) -> None:
    model = copy("sd1-file")
    before = models.load(model)
    kept = {key: tensor.clone() for key, tensor in weights(before).items()}
    random_models.write_file(random_models.tiny("sd1"), model.path, seed=9, dtype=torch.float32)
    after = models.load(model)
    assert after is not before
    assert after.hash != before.hash
    assert all(torch.equal(tensor, kept[key]) for key, tensor in weights(before).items())
    name = "unet.conv_in.weight"
    assert not torch.equal(weights(after)[name], kept[name])


# --- VAEs -----------------------------------------------------------------------------------


def test_a_vae_file_decodes_alike_under_either_names(
    shelf: Path, models: Models, tmp_path: Path
) -> None:
    model = models.load(find(shelf, "sd1-folder"))
    latents = torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(0))
    original = models.load_vae(tiny_vae(tmp_path / "a", "ldm"), model)
    renamed = models.load_vae(tiny_vae(tmp_path / "b", "diffusers", ldm=False), model)
    assert (original.name, renamed.name) == ("ldm", "diffusers")
    assert original.hash == digest_of(tmp_path / "a" / "ldm.safetensors")
    assert np.array_equal(original.decode(latents), renamed.decode(latents))
    assert not np.array_equal(original.decode(latents), model.vae.decode(latents))
    assert models.load_vae(None, model) is model.vae


def test_a_bare_vae_takes_the_scale_of_the_checkpoint(
    shelf: Path, models: Models, tmp_path: Path
) -> None:
    vae = tiny_vae(tmp_path)
    scales = [
        models.load_vae(vae, models.load(find(shelf, name))).scaling_factor
        for name in ("sd1-folder", "sdxl-file")
    ]
    assert scales == [0.18215, 0.13025]


def test_a_vae_folder_keeps_its_own_scale(
    copy: Callable[[str], Model], models: Models, tmp_path: Path
) -> None:
    model = copy("sdxl-folder")
    shutil.copytree(model.path / "vae", tmp_path / "vaes" / "mine")
    vae = Catalogue.scan(tmp_path / "x", tmp_path / "vaes", tmp_path / "x").vae("mine")
    other = models.load(copy("sd1-folder"))
    assert models.load_vae(vae, other).scaling_factor == 0.13025


def test_a_vae_of_another_shape_is_refused(shelf: Path, models: Models, tmp_path: Path) -> None:
    vae = tiny_vae(tmp_path)
    state = load_file(vae.path)
    state["decoder.conv_out.weight"] = torch.zeros(3, 4, 3, 3)
    save_file(state, vae.path)
    model = models.load(find(shelf, "sd1-folder"))
    with pytest.raises(Refused, match="tiny-vae") as caught:
        models.load_vae(vae, model)
    assert (caught.value.kind, caught.value.reason) == ("VAE", "unreadable")
    vae.path.unlink()
    with pytest.raises(Refused) as caught:
        models.load_vae(vae, model)
    assert caught.value.reason == "missing"


# --- devices --------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("cuda:99", "toaster"):
        with pytest.raises(EngineStopped, match=name):
            Models(EngineConfig(device=name, cache_dir=tmp_path))


def test_on_a_cpu_everything_is_fp32(shelf: Path, models: Models) -> None:
    loaded = models.load(find(shelf, "sdxl-folder"))
    assert models.device_name == "CPU"
    assert (loaded.device.type, loaded.dtype) == ("cpu", torch.float32)
    assert loaded.vae.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device")
def test_on_a_gpu_models_wait_in_pinned_memory_and_come_back(shelf: Path, tmp_path: Path) -> None:
    models = Models(EngineConfig(cache_dir=tmp_path), configs=shelf / "configs")
    assert models.dtype == torch.float16
    unet = models.load(find(shelf, "sd1-folder")).unet
    kept = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    gc.collect()
    (resident,) = models._warm.values()
    resident.park()
    assert all(weight.is_pinned() for weight in unet.state_dict().values())
    sdxl = models.load(find(shelf, "sdxl-folder"))
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    assert sdxl.vae.dtype == (torch.bfloat16 if native else torch.float32)
    again = models.load(find(shelf, "sd1-folder"))
    assert again.unet is unet
    state = unet.state_dict()
    assert all(weight.is_cuda and torch.equal(weight, kept[key]) for key, weight in state.items())


# --- broken weights -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "value"),
    [("unet", torch.nan), ("vae", torch.inf), ("text_encoder", -torch.inf)],
)
def test_a_weight_that_is_no_number_is_named(
    copy: Callable[[str], Model], models: Models, component: str, value: float
) -> None:
    model = copy("sd1-folder")
    (path,) = (model.path / component).glob("*.safetensors")
    state = load_file(path)
    name = next(key for key, tensor in state.items() if tensor.ndim > 1)
    state[name].view(-1)[-1] = value
    save_file(state, path)
    refused = refuse(models, model)
    assert (refused.reason, refused.detail) == ("damaged", f"{component} {name}")


def test_a_vae_with_a_weight_that_is_no_number_is_named(
    shelf: Path, models: Models, tmp_path: Path
) -> None:
    vae = tiny_vae(tmp_path)
    state = load_file(vae.path)
    state["decoder.conv_in.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, vae.path)
    with pytest.raises(Refused, match=r"NaN or infinity in vae decoder\.conv_in\.weight"):
        models.load_vae(vae, models.load(find(shelf, "sd1-folder")))


def test_a_weight_too_large_for_half_precision_is_named(
    copy: Callable[[str], Model], tmp_path: Path
) -> None:
    model = copy("sd1-folder")
    path = model.path / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state["conv_out.bias"][0] = 1e5
    save_file(state, path)
    config = EngineConfig(device="cpu", dtype="float16", cache_dir=tmp_path)
    assert refuse(Models(config), model).detail == "unet conv_out.bias"
