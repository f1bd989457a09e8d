from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Refused, UnknownName, VaeMismatch
from core.models.catalogue import Catalogue, Model, Vae
from core.models.names import search
from core.models.weights.hashes import Hashes
from core.models.weights.safetensors_header import MAX_HEADER, read_header
from core.models.weights.single_file import SD_LATENTS, SDXL_LATENTS
from tests.tiny_models import tiny_model, tiny_vae
from tools import random_models

Shapes = dict[str, tuple[int, ...]]

UNET = "model.diffusion_model."


def write(
    path: Path,
    shapes: Shapes,
    metadata: dict[str, str] | None = None,
    values: dict[str, bytes] | None = None,
    dtype: str = "F16",
) -> Path:
    """A safetensors file of zeros, but for ``values``, written by hand."""
    entries: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for name, shape in shapes.items():
        data = (values or {}).get(name, bytes(2 * int(np.prod(shape))))
        offsets = [len(body), len(body) + len(data)]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += data
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shapes]:
    """Names and shapes of a small checkpoint of each family, in the original layout."""
    folder = tmp_path_factory.mktemp("checkpoints")
    shapes = {}
    for family in ("sd1", "sd2", "sdxl"):
        path = random_models.write_file(
            random_models.tiny(family), folder / f"{family}.safetensors"
        )
        tensors = read_header(path, "model").tensors
        # One dimension is enough for all but the first layers, and keeps the files small.
        shapes[family] = {
            name: info.shape if "conv_in" in name or "input_blocks.0" in name else (1,)
            for name, info in tensors.items()
        }
    return shapes


def scan(folder: Path) -> Catalogue:
    return Catalogue.scan(folder / "models", folder / "vaes", folder / "data")


def refusal(folder: Path) -> Refused:
    (refused,) = scan(folder).refused
    return refused


# --- families -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "latent_space", "side"),
    [("sd1", SD_LATENTS, 512), ("sd2", SD_LATENTS, 512), ("sdxl", SDXL_LATENTS, 1024)],
)
def test_a_single_file_tells_its_family(
    tmp_path: Path, checkpoints: dict[str, Shapes], family: str, latent_space: str, side: int
) -> None:
    write(tmp_path / "models" / "sub" / "dream.safetensors", checkpoints[family])
    (model,) = scan(tmp_path).models
    assert (model.name, model.family, model.layout) == ("dream", family, "file")
    assert (model.latent_space, model.size) == (latent_space, (side, side))
    assert (model.prediction_type, model.zero_terminal_snr) == ("epsilon", False)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_diffusers_folder_tells_its_family(tmp_path: Path, family: str) -> None:
    recipe = random_models.tiny(family, "v_prediction")
    random_models.write_folder(recipe, tmp_path / "models" / "dream")
    (model,) = scan(tmp_path).models
    assert (model.name, model.family, model.layout) == ("dream", family, "folder")
    assert (model.prediction_type, model.size) == ("v_prediction", (64, 64))
    assert model.latent_space == (SDXL_LATENTS if family == "sdxl" else SD_LATENTS)


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        ({f"{UNET}double_blocks.0.img_attn.norm.key_norm.scale": (1,)}, "Flux"),
        ({f"{UNET}joint_blocks.0.x_block.mlp.fc1.weight": (1,)}, "Stable Diffusion 3"),
        ({"control_model.input_blocks.0.0.weight": (1,)}, "a ControlNet"),
        ({"down_blocks.0.resnets.0.conv1.weight": (1,)}, "a UNet alone"),
        ({"something": (1,)}, "of an unknown kind"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, shapes: Shapes, name: str) -> None:
    write(tmp_path / "models" / "other.safetensors", shapes)
    refused = refusal(tmp_path)
    assert (refused.kind, refused.name, refused.reason) == ("model", "other", "family")
    assert refused.detail.startswith(name)


@pytest.mark.parametrize(
    ("shapes", "kind", "folder"),
    [
        ({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": (1,)}, "LoRA", "LORAS"),
        ({"emb_params": (1,)}, "embedding", "EMBEDDINGS"),
        ({"clip_l": (1,), "clip_g": (1,)}, "embedding", "EMBEDDINGS"),
        ({"decoder.conv_in.weight": (1,)}, "VAE", "VAES"),
        ({"body.0.rdb1.conv1.weight": (1,)}, "upscaler", "UPSCALERS"),
        ({"model.diffusion_model.out.2.weight": (1,)}, "model", "MODELS"),
    ],
)
def test_a_file_in_the_wrong_folder_is_named_with_the_right_one(
    tmp_path: Path, shapes: Shapes, kind: str, folder: str
) -> None:
    places = ("models", "vaes", "loras", "embeddings", "upscalers")
    for place in places:
        write(tmp_path / place / "file.safetensors", shapes)
    addons = {name: tmp_path / name for name in places[2:]}
    found = Catalogue.scan(tmp_path / "models", tmp_path / "vaes", tmp_path / "data", addons=addons)
    told = {refused.kind: refused.detail for refused in found.refused if refused.kind != kind}
    assert len(told) == 4
    assert all(detail.endswith(f"move it to {folder}_DIR") for detail in told.values())


def test_variants_of_the_families_are_refused_by_name(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    models = tmp_path / "models"
    first = f"{UNET}input_blocks.0.0.weight"
    inpainting = checkpoints["sd1"] | {first: (16, 9, 3, 3)}
    write(models / "a.safetensors", inpainting)
    refiner = {
        name.replace("conditioner.embedders.1.", "conditioner.embedders.0."): shape
        for name, shape in checkpoints["sdxl"].items()
        if not name.startswith("conditioner.embedders.0.")
    }
    write(models / "b.safetensors", refiner)
    random_models.write_folder(random_models.tiny("sd1"), models / "c")
    index = models / "c" / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "FluxPipeline"))
    catalogue = scan(tmp_path)
    assert not catalogue.models
    assert {refused.name: refused.detail for refused in catalogue.refused} == {
        "a": "an inpainting model",
        "b": "an SDXL refiner",
        "c": "Flux",
    }


def test_a_v_prediction_checkpoint_is_known_by_key_metadata_or_card(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    models, sdxl = tmp_path / "models", checkpoints["sdxl"]
    write(models / "key.safetensors", sdxl | {"v_pred": (0,), "ztsnr": (0,)})
    write(models / "metadata.safetensors", sdxl, {"modelspec.prediction_type": "v"})
    write(models / "card.safetensors", sdxl)
    (models / "card.toml").write_text('prediction_type = "v_prediction"\nzero_terminal_snr = true')
    found = {m.name: (m.prediction_type, m.zero_terminal_snr) for m in scan(tmp_path).models}
    assert found == {
        "key": ("v_prediction", True),
        "metadata": ("v_prediction", False),
        "card": ("v_prediction", True),
    }


@pytest.mark.parametrize("dtype", ["F16", "F32", "BF16"])
@pytest.mark.parametrize(("spread", "expected"), [(0.01, "epsilon"), (0.3, "v_prediction")])
def test_sd2_is_known_by_the_spread_of_one_bias(
    tmp_path: Path, checkpoints: dict[str, Shapes], dtype: str, spread: float, expected: str
) -> None:
    name = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
    bias = np.array([-spread, spread] * 8, np.float32)
    data = {
        "F16": bias.astype(np.float16).tobytes(),
        "F32": bias.tobytes(),
        "BF16": (bias.view(np.uint32) >> 16).astype(np.uint16).tobytes(),
    }[dtype]
    # The tiny one has 8 blocks a side, the real one 12.
    more = {f"{UNET}{side}put_blocks.{n}.0.x": (1,) for side in ("in", "out") for n in range(8, 12)}
    shapes = checkpoints["sd2"] | more | {name: (16,)}
    write(tmp_path / "models" / "two.safetensors", shapes, values={name: data}, dtype=dtype)
    (model,) = scan(tmp_path).models
    assert model.prediction_type == expected
    assert model.size == ((768, 768) if expected == "v_prediction" else (512, 512))


# --- bad files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"\x20", "truncated"),
        ((500).to_bytes(8, "little") + b'{"a": 1}', "truncated"),
        (b"<!DOCTYPE html><html><body>Access denied</body></html>", "unreadable"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "unreadable"),
        (b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl" + bytes(50), "pickle"),
        (b"\x80\x02}q\x00(X\x0a\x00\x00\x00state_dict", "pickle"),
        ((MAX_HEADER + 1).to_bytes(8, "little") + b"{" + bytes(50), "unreadable"),
        ((9).to_bytes(8, "little") + b'{"a": 1, ', "unreadable"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "unreadable"),
        ((30_000).to_bytes(8, "little") + b'{"a":' + b"[" * 29_995, "unreadable"),
    ],
)
def test_what_is_no_safetensors_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "models" / "bad.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    refused = refusal(tmp_path)
    assert (refused.name, refused.reason) == ("bad", reason)


@given(content=st.binary(max_size=200), length=st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_no_bytes_at_all_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{" + content)
    with contextlib.suppress(Refused):
        read_header(path, "model")


NUMBER = st.integers(-1, 5)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F16", "F32", "BF16", "Q7", 3]),
        "shape": st.lists(NUMBER, max_size=5),
        "data_offsets": st.lists(NUMBER, min_size=1, max_size=3),
    }
)


@given(
    family=st.sampled_from(["sd1", "sd2", "sdxl"]),
    changed=st.lists(st.tuples(st.integers(0, 9), ENTRY), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_no_header_makes_a_scan_fail(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: dict[str, Shapes],
    family: str,
    changed: list[tuple[int, dict[str, object]]],
) -> None:
    names = [
        "model.diffusion_model.input_blocks.0.0.weight",
        "first_stage_model.decoder.conv_in.weight",
        "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias",
        "conditioner.embedders.1.model.ln_final.bias",
        "decoder.conv_in.weight",
        "v_pred",
        "a",
        "b",
        "first_stage_model.encoder.conv_in.weight",
        "cond_stage_model.x",
    ]
    entries = dict.fromkeys(checkpoints[family], (4, 4, 3, 3))
    header: dict[str, object] = {
        name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]}
        for name, shape in entries.items()
    }
    header |= {names[place]: entry for place, entry in changed}
    text = json.dumps(header).encode()
    folder = tmp_path_factory.getbasetemp() / "headers"
    for kind in ("models", "vaes"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        path = folder / kind / "any.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + b"\xff" * 16)
    catalogue = scan(folder)
    assert len(catalogue.models) + len(catalogue.vaes) + len(catalogue.refused) == 2


def test_a_file_cut_short_is_refused(tmp_path: Path, checkpoints: dict[str, Shapes]) -> None:
    path = write(tmp_path / "models" / "cut.safetensors", checkpoints["sd1"])
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(tmp_path).reason == "truncated"


def test_offsets_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F16", "shape": [1], "data_offsets": [4, 2]}
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "models" / "odd.safetensors"
    path.parent.mkdir()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert refusal(tmp_path).reason == "unreadable"


def test_pickles_are_refused_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "vaes").mkdir()
    (tmp_path / "models" / "old.ckpt").write_bytes(b"")
    (tmp_path / "vaes" / "anime.vae.pt").write_bytes(b"")
    folder = random_models.write_folder(random_models.tiny("sd1"), tmp_path / "models" / "folder")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refused = scan(tmp_path).refused
    assert [(each.kind, each.name, each.reason) for each in refused] == [
        ("model", "old", "pickle"),
        ("model", "folder", "pickle"),
        ("VAE", "anime.vae", "pickle"),
    ]


@pytest.mark.parametrize(
    "lost",
    [
        "cond_stage_model.transformer.text_model.encoder.layers.7.",
        "cond_stage_model.",
        "first_stage_model.decoder.conv_in.",
        "model.diffusion_model.out.2.",
        "model.diffusion_model.output_blocks.3.",
    ],
)
def test_a_checkpoint_that_lacks_a_part_is_refused(
    tmp_path: Path, checkpoints: dict[str, Shapes], lost: str
) -> None:
    kept = {k: v for k, v in checkpoints["sd1"].items() if not k.startswith(lost)}
    write(tmp_path / "models" / "part.safetensors", kept)
    assert refusal(tmp_path).reason == "missing"


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("unet/config.json", None, "missing"),
        ("unet/config.json", "{", "unreadable"),
        ("vae/config.json", "[]", "unreadable"),
        ("model_index.json", "not json", "unreadable"),
        ("scheduler/scheduler_config.json", '{"prediction_type": "flow"}', "family"),
        ("scheduler/scheduler_config.json", '{"beta_schedule": "squaredcos_cap_v2"}', "family"),
        ("scheduler/scheduler_config.json", '{"beta_end": "much"}', "unreadable"),
        ("scheduler/scheduler_config.json", '{"num_train_timesteps": 0}', "unreadable"),
        ("vae/config.json", '{"latent_channels": 16}', "channels"),
        ("vae/config.json", '{"scaling_factor": "large"}', "unreadable"),
        ("unet/config.json", '{"in_channels": [4]}', "family"),
        ("unet/config.json", '{"in_channels": 9}', "family"),
        ("text_encoder/model.safetensors", None, "missing"),
        ("text_encoder/model.safetensors", "", "truncated"),
    ],
)
def test_a_folder_that_is_damaged_is_refused(
    tmp_path: Path, file: str, text: str | None, reason: str
) -> None:
    folder = random_models.write_folder(random_models.tiny("sd1"), tmp_path / "models" / "dream")
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    refused = refusal(tmp_path)
    assert (refused.name, refused.reason) == ("dream", reason)


# --- VAEs -----------------------------------------------------------------------------------

SD_VAE: Shapes = {
    "encoder.conv_in.weight": (8, 3, 3, 3),
    "encoder.conv_out.weight": (8, 16, 3, 3),
    "decoder.conv_in.weight": (16, 4, 3, 3),
    "decoder.conv_out.weight": (3, 8, 3, 3),
}


def test_a_vae_of_16_channels_is_refused_by_its_number(tmp_path: Path) -> None:
    shapes = SD_VAE | {"decoder.conv_in.weight": (16, 16, 3, 3)}
    write(tmp_path / "vaes" / "flux_ae.safetensors", shapes)
    write(tmp_path / "vaes" / "lora.safetensors", {"lora_unet_x.lora_up.weight": (1,)})
    channels, lora = scan(tmp_path).refused
    assert (channels.kind, channels.reason, channels.detail) == ("VAE", "channels", "16")
    detail = "a LoRA: move it to LORAS_DIR"
    assert (lora.kind, lora.reason, lora.detail) == ("VAE", "wrong_kind", detail)


@pytest.mark.parametrize(
    ("name", "metadata", "expected"),
    [
        ("anime", {}, ""),
        ("sdxl_vae", {}, SDXL_LATENTS),
        ("xlVAE", {}, SDXL_LATENTS),
        ("pixel", {}, ""),
        ("vae-ft-mse-840000-ema-pruned", {}, SD_LATENTS),
        ("anime", {"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"}, SDXL_LATENTS),
        ("sdxl_vae", {"modelspec.architecture": "stable-diffusion-v1/vae"}, SD_LATENTS),
    ],
)
def test_a_bare_vae_is_told_by_metadata_then_by_name(
    tmp_path: Path, name: str, metadata: dict[str, str], expected: str
) -> None:
    write(tmp_path / "vaes" / f"{name}.safetensors", SD_VAE, metadata)
    (vae,) = scan(tmp_path).vaes
    assert vae.latent_space == expected


def test_a_bare_vae_is_told_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "vaes" / "some.safetensors", SD_VAE)
    digest = Hashes(tmp_path / "other").of(path)
    monkeypatch.setitem(
        sys.modules["core.models.weights.single_file"]._KNOWN_VAES, digest, SDXL_LATENTS
    )
    folders = (tmp_path / "models", tmp_path / "vaes", tmp_path / "data")
    assert Catalogue.scan(*folders).vae("some").latent_space == ""
    told = Catalogue.scan(*folders, cache_dir=tmp_path / "cache")
    assert told.vae("some").latent_space == SDXL_LATENTS


def test_a_vae_folder_is_told_by_its_scaling_factor(tmp_path: Path) -> None:
    for family in ("sd1", "sdxl"):
        model = random_models.write_folder(random_models.tiny(family), tmp_path / family)
        (tmp_path / "vaes").mkdir(exist_ok=True)
        (model / "vae").rename(tmp_path / "vaes" / family)
    odd = json.loads((tmp_path / "vaes" / "sd1" / "config.json").read_text())
    random_models.write_config(odd | {"scaling_factor": 0.5}, tmp_path / "vaes/odd/config.json")
    write(tmp_path / "vaes" / "odd" / "diffusion_pytorch_model.safetensors", SD_VAE)
    found = {vae.name: vae.latent_space for vae in scan(tmp_path).vaes}
    assert found == {"sd1": SD_LATENTS, "sdxl": SDXL_LATENTS, "odd": "scaling_factor 0.5"}


@pytest.fixture
def catalogue(tmp_path: Path, checkpoints: dict[str, Shapes]) -> Catalogue:
    models, vaes = tmp_path / "models", tmp_path / "vaes"
    write(models / "Dream Shaper.safetensors", checkpoints["sd1"])
    write(models / "Dream Shaper.vae.safetensors", SD_VAE)
    write(models / "Big.safetensors", checkpoints["sdxl"])
    write(vaes / "sdxl_vae.safetensors", SD_VAE)
    write(vaes / "mystery.safetensors", SD_VAE)
    return scan(tmp_path)


def test_automatic_is_the_sibling_else_the_own(catalogue: Catalogue) -> None:
    assert [model.name for model in catalogue.models] == ["Big", "Dream Shaper"]
    dream, big = catalogue.model("dream shaper"), catalogue.model("big")
    sibling = catalogue.resolve_vae("Automatic", dream)
    assert sibling is not None
    assert sibling.path.name == "Dream Shaper.vae.safetensors"
    assert sibling.latent_space == SD_LATENTS
    assert catalogue.resolve_vae("none", dream) is None
    assert catalogue.resolve_vae("Automatic", big) is None


def test_a_vae_by_name_must_fit(catalogue: Catalogue) -> None:
    dream, big = catalogue.model("Dream Shaper"), catalogue.model("Big")
    for model in (dream, big):
        vae = catalogue.resolve_vae("MYSTERY.safetensors", model)
        assert vae is not None
        assert vae.name == "mystery"
    assert [vae.name for vae in catalogue.fitting_vaes(dream)] == ["mystery"]
    assert catalogue.resolve_vae("sdxl_vae", big) is not None
    with pytest.raises(VaeMismatch) as caught:
        catalogue.resolve_vae("sdxl_vae", dream)
    assert (caught.value.fits, caught.value.needs) == (SDXL_LATENTS, SD_LATENTS)
    with pytest.raises(UnknownName, match="sdxl_vae") as unknown:
        catalogue.resolve_vae("sdxl_vea", dream)
    assert unknown.value.kind == "VAE"


# --- names ----------------------------------------------------------------------------------


def test_a_macs_accents_are_found_as_they_are_typed(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    write(tmp_path / "models" / "cafe\u0301.safetensors", checkpoints["sd1"])
    found = scan(tmp_path)
    assert [model.name for model in found.models] == ["café"]
    assert found.model("Café").name == "café"


def test_a_hash_that_is_known_comes_with_the_scan(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    path = write(tmp_path / "models" / "a.safetensors", checkpoints["sd1"])
    folders = tmp_path / "models", tmp_path / "vaes", tmp_path / "data", tmp_path / "cache"
    assert Catalogue.scan(*folders).model("a").digits == ""
    digits = Hashes(tmp_path / "cache").of(path)
    assert Catalogue.scan(*folders).model("a").digits == digits
    path.write_bytes(path.read_bytes() + b"\0")
    assert Hashes(tmp_path / "cache").known(path) == ""


def test_names_are_found_in_any_case_and_as_others_write_them(catalogue: Catalogue) -> None:
    for name in ("Dream Shaper", "dream shaper", "Dream Shaper.safetensors [0123456789]"):
        assert catalogue.model(name).name == "Dream Shaper"
    with pytest.raises(UnknownName) as caught:
        catalogue.model("drem shapr")
    assert caught.value.close == ("Dream Shaper",)


@pytest.mark.parametrize("name", ["", ".", "../vaes/mystery", "/etc/passwd", "\0", "a" * 10**6])
def test_a_name_never_becomes_a_path(
    tmp_path: Path, catalogue: Catalogue, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "models")
    with pytest.raises(UnknownName):
        catalogue.model(name)
    with pytest.raises(UnknownName):
        catalogue.vae(name)


def test_equal_names_are_told_apart(tmp_path: Path, checkpoints: dict[str, Shapes]) -> None:
    for folder in ("a", "b/x", "c/x"):
        write(tmp_path / "models" / folder / "dream.safetensors", checkpoints["sd1"])
    write(tmp_path / "vaes" / "Automatic.safetensors", SD_VAE)
    catalogue = scan(tmp_path)
    assert [model.name for model in catalogue.models] == ["dream", "dream (x)", "dream (2)"]
    assert [vae.name for vae in catalogue.vaes] == ["Automatic (vaes)"]


@pytest.mark.parametrize("sample", ["null", '"x"', "[1, 2, 3]", '["a", 64]', "1000000", "-8"])
def test_a_native_size_that_makes_no_sense_is_the_familys(tmp_path: Path, sample: str) -> None:
    folder = random_models.write_folder(random_models.tiny("sdxl"), tmp_path / "models" / "dream")
    path = folder / "unet" / "config.json"
    path.write_text(path.read_text().replace('"sample_size": 8', f'"sample_size": {sample}'))
    (model,) = scan(tmp_path).models
    assert model.size == (1024, 1024)


def test_names_can_be_shown_and_sent(tmp_path: Path, checkpoints: dict[str, Shapes]) -> None:
    write(tmp_path / "models" / f"{'x' * 150}.safetensors", checkpoints["sd1"])
    card = write(tmp_path / "models" / "z.safetensors", checkpoints["sd1"]).with_suffix(".toml")
    card.write_text('name = "two\\nlines"')
    assert [model.name for model in scan(tmp_path).models] == ["x" * 100, "two\ufffdlines"]


def test_what_ships_comes_last_and_only_from_its_own_folders(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    data = tmp_path / "data"
    model = random_models.write_folder(random_models.tiny("sd1"), data / "a-demo-model")
    (model / "vae").rename(data / "a-demo-vae")
    random_models.write_folder(random_models.tiny("sd1"), model)
    # Neither the shipped structures nor the owner's folder below are entries of data/ itself.
    random_models.write_configs(random_models.tiny("sd1"), data / "configs")
    write(data / "models" / "z.safetensors", checkpoints["sd1"])
    catalogue = Catalogue.scan(data / "models", data / "vaes", data)
    assert [model.name for model in catalogue.models] == ["z", "a-demo-model"]
    assert [vae.name for vae in catalogue.vaes] == ["a-demo-vae"]
    assert not catalogue.refused


def test_folders_linked_in_a_circle_are_scanned_once(
    tmp_path: Path, checkpoints: dict[str, Shapes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "models" / "dream.safetensors", checkpoints["sd1"])
    try:
        (tmp_path / "models" / "again").symlink_to(tmp_path / "models")
    except OSError:
        pytest.skip("this system does not let us make links")
    seen = []
    scandir = os.scandir

    def counted(path: str) -> object:
        seen.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert [model.name for model in scan(tmp_path).models] == ["dream"]
    # The models' folder once, and those of VAEs and add-ons, which are not there.
    assert len(seen) <= 7


def test_a_link_to_itself_or_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    try:
        for name, target in (("itself", "itself"), ("nothing", "absent")):
            link = tmp_path / "models" / f"{name}.safetensors"
            link.symlink_to(f"{target}.safetensors")
    except OSError:
        pytest.skip("this system does not let us make links")
    assert [each.reason for each in scan(tmp_path).refused] == ["unreadable"] * 2


def test_a_folder_that_cannot_be_looked_into_is_named(
    tmp_path: Path, checkpoints: dict[str, Shapes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "models" / "dream.safetensors", checkpoints["sd1"])
    (tmp_path / "models" / "private").mkdir()
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    catalogue = scan(tmp_path)
    assert [model.name for model in catalogue.models] == ["dream"]
    (refused,) = catalogue.refused
    assert (refused.name, refused.detail) == ("private", "Permission denied")


def test_a_sibling_that_is_no_vae_is_named_and_the_model_works(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    write(tmp_path / "models" / "dream.safetensors", checkpoints["sd1"])
    shapes = SD_VAE | {"decoder.conv_in.weight": (16, 16, 3, 3)}
    write(tmp_path / "models" / "dream.vae.safetensors", shapes)
    catalogue = scan(tmp_path)
    assert catalogue.model("dream").sibling_vae is None
    (refused,) = catalogue.refused
    assert (refused.name, refused.reason) == ("dream.vae", "channels")


def test_search_puts_the_best_first() -> None:
    names = ["Anything V5", "Some anything mix", "Manything", "Dream Shaper", "dream-xl"]
    assert search(names, "any") == ["Anything V5", "Some anything mix", "Manything"]
    assert search(names, "mix any") == ["Some anything mix"]
    assert search(names, "") == names
    assert search(names, "", limit=2) == names[:2]
    assert search(names, "drem shaper")[0] == "Dream Shaper"
    assert search(names, "qqqq") == []


# --- cards ----------------------------------------------------------------------------------

CARD = """
name = "Red Circles"
description = "Draws circles"
licence = "CC0-1.0"
latent_space = "circles"
clip_skip = 2
steps = 12
cfg_scale = 4.5
sampler = "DPM++ 2M Karras"
size = [128, 192]
negative_prompt = "square"
vae = "vivid"
noise_source = "NV"
eta = 1
discard_penultimate = true
"""


def test_a_card_is_read_beside_a_file_and_inside_a_folder(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    write(tmp_path / "models" / "one.safetensors", checkpoints["sd1"])
    (tmp_path / "models" / "one.toml").write_text(CARD)
    folder = random_models.write_folder(random_models.tiny("sd1"), tmp_path / "models" / "two")
    (folder / "card.toml").write_text(CARD)
    catalogue = scan(tmp_path)
    assert [model.name for model in catalogue.models] == ["Red Circles", "Red Circles (models)"]
    for model in catalogue.models:
        assert (model.size, model.latent_space) == ((128, 192), "circles")
        assert model.card.values == {
            "clip_skip": 2,
            "steps": 12,
            "cfg_scale": 4.5,
            "sampler": "DPM++ 2M Karras",
            "negative_prompt": "square",
            "vae": "vivid",
            "noise_source": "NV",
            "eta": 1.0,
            "discard_penultimate": True,
        }
    assert not catalogue.warnings


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("clip_skip = 13", "clip_skip must be 1 to 12"),
        ("clip_skip = true", "clip_skip must be 1 to 12"),
        ('steps = "many"', "steps must be 1 to 150"),
        ("size = [100, 100]", "width must be a multiple of 8"),
        ("size = 512", "size must be"),
        ('sampler = "Magic"', "'Magic'"),
        ('noise_source = "TPU"', "'TPU'"),
        ("eta = 2", "eta must be 0 to 1"),
        ("discard_penultimate = 1", "discard_penultimate must be yes or no"),
        ("eta_noise_seed_delta = 4294967296", "eta_noise_seed_delta must be -2147483648 to"),
        ("vae = 3", "vae must be"),
        ("colour = 1", "'colour'"),
        ("zero_terminal_snr = 1", "true or false"),
        ('prediction_type = "flow"', "prediction_type must be"),
    ],
)
def test_a_mistake_in_a_card_is_named_and_the_rest_is_used(
    tmp_path: Path, checkpoints: dict[str, Shapes], line: str, about: str
) -> None:
    write(tmp_path / "models" / "dream.safetensors", checkpoints["sd1"])
    (tmp_path / "models" / "dream.toml").write_text(f'{line}\nlicence = "MIT"')
    catalogue = scan(tmp_path)
    (warning,) = catalogue.warnings
    assert about in warning
    assert "dream.toml" in warning
    assert catalogue.model("dream").card.licence == "MIT"


@pytest.mark.parametrize("content", [b"= what", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_card_that_is_not_toml_leaves_the_model_usable(
    tmp_path: Path, checkpoints: dict[str, Shapes], content: bytes
) -> None:
    write(tmp_path / "models" / "dream.safetensors", checkpoints["sd1"])
    (tmp_path / "models" / "dream.toml").write_bytes(content)
    catalogue = scan(tmp_path)
    assert len(catalogue.warnings) == 1
    assert catalogue.model("dream").card.values == {}


def test_booru_models_get_clip_skip_2_proposed(
    tmp_path: Path, checkpoints: dict[str, Shapes]
) -> None:
    models = tmp_path / "models"
    for name in ("anything-v5", "photo", "AbyssOrangeMix3"):
        write(models / f"{name}.safetensors", checkpoints["sd1"])
    write(models / "tagged.safetensors", checkpoints["sd1"], {"modelspec.tags": "anime, booru"})
    write(models / "counterfeit.safetensors", checkpoints["sd1"])
    (models / "counterfeit.toml").write_text("clip_skip = 1")
    write(models / "animeXL.safetensors", checkpoints["sdxl"])
    proposed = {model.name: model.card.values.get("clip_skip") for model in scan(tmp_path).models}
    assert proposed == {
        "anything-v5": 2,
        "AbyssOrangeMix3": 2,
        "tagged": 2,
        "photo": None,
        "counterfeit": 1,
        "animeXL": None,
    }


# --- hashes ---------------------------------------------------------------------------------


def test_a_hash_is_sha256s_first_ten_digits_and_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    hashes = Hashes(tmp_path / "cache")
    assert hashes.of(path) == "ba7816bf8f"
    # Same size and time: the cache is believed, in a new process too.
    stamp = path.stat()
    path.write_bytes(b"xyz")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert hashes.of(path) == Hashes(tmp_path / "cache").of(path) == "ba7816bf8f"
    os.utime(path, ns=(0, stamp.st_mtime_ns + 1))
    assert hashes.of(path) == "3608bca1e4"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"/x": 1}'])
def test_a_damaged_cache_of_hashes_is_no_trouble(tmp_path: Path, content: str) -> None:
    (tmp_path / "hashes.json").write_text(content)
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert Hashes(tmp_path).of(path) == "ba7816bf8f"
    assert Hashes(tmp_path).of(path) == "ba7816bf8f"


def test_a_cache_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert Hashes(path / "no-folder").of(path) == "ba7816bf8f"


# --- the helpers others use, and the room's promise -----------------------------------------


def test_tiny_models_are_found_as_what_they_are(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, "one", card="clip_skip = 3")
    assert isinstance(model, Model)
    assert (model.name, model.size, model.card.values) == ("one", (64, 64), {"clip_skip": 3})
    vae = tiny_vae(tmp_path / "vaes")
    assert isinstance(vae, Vae)
    assert vae.fits(model)


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, core.models.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_scan_is_taken_over_in_place() -> None:
    old, new = (Vae(name, Path(name), "file", "sd1") for name in ("old", "new"))
    held = known = Catalogue(vaes=(old,), warnings=("a card",))
    found = Catalogue(vaes=(new,), refused=(Refused("VAE", "bad", "pickle"),))
    known.update(found)
    assert held == found
    assert held.vae("new") is new
    with pytest.raises(UnknownName):
        held.vae("old")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    "name",
    ["a.safetensors", "folder/model_index.json", "sd.toml", "folder/unet/config.json"],
)
def test_a_named_pipe_hangs_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    tiny_model(folder, "sd", layout="file")
    tiny_model(folder, "folder", layout="folder")
    pipe = folder / name
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    found = Catalogue.scan(folder, folder / "none", folder / "nothing")
    said = " ".join([*map(str, found.refused), *found.warnings])
    assert "is not a regular file" in said
    assert [model.name for model in found.models] == (
        ["sd"] if name.startswith("folder") else ["sd", "folder"]
    )
