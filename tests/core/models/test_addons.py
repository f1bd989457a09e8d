"""Add-ons on disk: found, named, refused, remembered; and those that a request uses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import AmbiguousName, UnknownName
from core.models.addons import EmbeddingFile, NetworkFile, Shelf, UpscalerFile
from core.models.catalogue import Catalogue, Model
from core.models.files_at_hand import files_at_hand
from core.models.names import search
from core.models.uses import addons_of
from core.models.weights.hashes import Hashes
from core.request import GenerationRequest, HiresFix
from tests.core.models.test_catalogue import Shapes, write

CROSS = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
MODEL = Model("demo", Path("demo"), "folder", "sd1", "epsilon", "sd1", (512, 512))


def lora(width: int = 768, key: str = CROSS, rank: int = 4) -> Shapes:
    return {f"{key}.lora_down.weight": (rank, width), f"{key}.lora_up.weight": (320, rank)}


def scan(folder: Path, seconds: float = math.inf) -> Catalogue:
    addons = {name: folder / name for name in ("loras", "embeddings", "upscalers")}
    models, vaes = folder / "models", folder / "vaes"
    return Catalogue.scan(models, vaes, folder / "data", folder / "cache", addons, seconds)


# --- families and metadata -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "metadata", "family"),
    [
        (lora(768), {}, "sd1"),
        (lora(1024), {}, "sd2"),
        (lora(2048), {}, "sdxl"),
        (lora(2048), {"ss_base_model_version": "sd_v1"}, "sdxl"),
        (lora(768, "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"), {}, "sd1"),
        (lora(768, "lora_te_text_model_encoder_layers_0_mlp_fc1"), {}, "sd1"),
        (lora(1024, "lora_te_text_model_encoder_layers_0_mlp_fc1"), {}, "sd2"),
        # SDXL's first encoder is SD 1's.
        (lora(768, "lora_te1_text_model_encoder_layers_0_mlp_fc1"), {}, None),
        (lora(1280, "lora_te2_text_model_encoder_layers_0_mlp_fc1"), {}, "sdxl"),
        (lora(640, "lora_unet_mid_block_attentions_0_transformer_blocks_9_ff_net_2"), {}, "sdxl"),
        (lora(64), {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        (lora(64), {"ss_v2": "True"}, "sd2"),
        (lora(64), {"ss_v2": "False"}, "sd1"),
        (lora(64), {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        (lora(64), {}, None),
    ],
)
def test_a_network_tells_its_family(
    tmp_path: Path, shapes: Shapes, metadata: dict[str, str], family: str | None
) -> None:
    write(tmp_path / "loras" / "sub" / "ink.safetensors", shapes, metadata)
    (network,) = scan(tmp_path).networks
    assert (network.name, network.family) == ("ink", family)


def test_a_network_has_an_alias_a_hash_and_trigger_words(tmp_path: Path) -> None:
    counts = {"5_ink": {"ink": 40, "cat": 3}, "1_more": {"cat": 38, "dog": "many"}}
    metadata = {
        "ss_output_name": "My Ink",
        "sshs_model_hash": "0123456789abcdef" * 4,
        "ss_tag_frequency": json.dumps(counts),
    }
    write(tmp_path / "loras" / "ink-v2.safetensors", lora(), metadata)
    (network,) = scan(tmp_path).networks
    assert (network.alias, network.hash) == ("My Ink", "0123456789ab")
    assert network.triggers == ("cat", "ink")


@pytest.mark.parametrize("frequency", ["", "no json", "[1]", '{"a": 1}', "[" * 5000])
def test_metadata_of_any_kind_does_no_harm(tmp_path: Path, frequency: str) -> None:
    metadata = {"ss_tag_frequency": frequency, "sshs_model_hash": "none", "ss_output_name": ""}
    write(tmp_path / "loras" / "ink.safetensors", lora(), metadata)
    (network,) = scan(tmp_path).networks
    assert (network.triggers, network.hash, network.alias) == ((), "", "")


@pytest.mark.parametrize(
    ("shapes", "family", "vectors"),
    [
        ({"emb_params": (3, 768)}, "sd1", 3),
        ({"<word>": (1024,)}, "sd2", 1),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "sdxl", 2),
        ({"emb_params": (3, 64)}, None, 3),
    ],
)
def test_an_embedding_tells_its_family(
    tmp_path: Path, shapes: Shapes, family: str | None, vectors: int
) -> None:
    write(tmp_path / "embeddings" / "bad.safetensors", shapes)
    (embedding,) = scan(tmp_path).embeddings
    assert (embedding.name, embedding.family, embedding.vectors) == ("bad", family, vectors)


@pytest.mark.parametrize(
    "shapes", [{"a": (1, 768), "b": (1, 768)}, {"emb_params": (2, 3, 4)}, {"emb_params": (0, 768)}]
)
def test_what_is_no_embedding_is_refused(tmp_path: Path, shapes: Shapes) -> None:
    write(tmp_path / "embeddings" / "bad.safetensors", shapes)
    found = scan(tmp_path)
    assert not len(found.embeddings)
    assert [refused.reason for refused in found.refused] == ["wrong_kind"]


def test_a_file_without_tensors_is_of_no_kind(tmp_path: Path) -> None:
    for folder in ("loras", "embeddings", "upscalers"):
        write(tmp_path / folder / "empty.safetensors", {})
    details = {each.kind: each.detail for each in scan(tmp_path).refused}
    assert len(details) == 3
    assert not any("_DIR" in detail for detail in details.values())


def test_networks_for_other_families_are_named(tmp_path: Path) -> None:
    for name, key in {
        "flux": "transformer.single_transformer_blocks.0.attn.to_q",
        "sd3": "lora_unet_joint_blocks_0_x_block_attn_proj",
        "motion": "down_blocks.0.motion_modules.0.proj_in",
    }.items():
        write(tmp_path / "loras" / f"{name}.safetensors", lora(key=key))
    refused = {each.name: each for each in scan(tmp_path).refused}
    assert {name: each.detail for name, each in refused.items()} == {
        "flux": "for Flux",
        "sd3": "for Stable Diffusion 3",
        "motion": "for AnimateDiff",
    }


# --- names ---------------------------------------------------------------------------------------


def shelf(*files: NetworkFile) -> Shelf[NetworkFile]:
    return Shelf("LoRA", files)


def test_a_network_is_found_by_name_alias_and_hash() -> None:
    ink = NetworkFile("ink: v2", Path("a"), alias="My Ink", hash="0123456789ab")
    found = shelf(ink, NetworkFile("Pen", Path("b")), NetworkFile("pencil", Path("c"), alias="Pen"))
    for name in ("ink: v2", " INK: V2 ", "ink v2", "my ink", "ink: v2.safetensors"):
        assert found.find(name) is ink
    # An alias never hides a name.
    assert found.find("pen").path == Path("b")
    assert found.by_hash("0123456789ABcdef") is ink
    assert found.by_hash("") is None


def test_an_alias_of_several_files_is_refused_with_their_names() -> None:
    found = shelf(NetworkFile("a", Path("a"), alias="x"), NetworkFile("b", Path("b"), alias="X"))
    with pytest.raises(AmbiguousName) as caught:
        found.find("x")
    assert caught.value.names == ("a", "b")


@pytest.mark.parametrize("name", ["../ink", "/etc/passwd", "ink\0", "", "x" * 5000])
def test_a_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(UnknownName):
        shelf(NetworkFile("ink", Path("ink.safetensors"))).find(name)


def test_of_thousands_of_names_the_right_ones_come_first() -> None:
    names = [f"style {number:05} of some long name" for number in range(10_000)]
    assert search(names, "style 01234") == [names[1234]]
    assert search(names, "long", 2) == names[:2]
    assert search(names, "ztyle 01234 of some long nme", 1) == [names[1234]]
    found = Shelf("LoRA", [NetworkFile(name, Path(name)) for name in names])
    with pytest.raises(UnknownName) as caught:
        found.find("style 09999 of some log name")
    assert caught.value.close[0] == names[9999]


def test_files_of_one_name_get_different_ones(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        write(tmp_path / "loras" / folder / "ink.safetensors", lora())
    (tmp_path / "loras" / "other").mkdir()
    (tmp_path / "loras" / "other" / "linked.safetensors").symlink_to(
        tmp_path / "loras" / "old" / "ink.safetensors"
    )
    # A link is the same file once more.
    assert sorted(scan(tmp_path).networks.names) == ["ink", "ink (old)"]


def test_an_embedding_named_as_a_word_of_most_prompts_is_refused(tmp_path: Path) -> None:
    for name in ("a", "xl", "ink", "狐"):
        write(tmp_path / "embeddings" / f"{name}.safetensors", {"emb_params": (2, 768)})
    found = scan(tmp_path)
    assert sorted(found.embeddings.names) == ["ink", "狐"]
    assert [(each.name, each.reason) for each in found.refused] == [
        ("a", "short_name"),
        ("xl", "short_name"),
    ]


def test_a_text_of_parameters_finds_add_ons_by_all_their_names() -> None:
    ink = NetworkFile("ink", Path("loras/pens/ink.safetensors"), alias="My Ink", hash="0" * 12)
    upscaler = UpscalerFile("4x-Sharp", Path("4x-Sharp.safetensors"), 4)
    here = files_at_hand(Catalogue(networks=shelf(ink), upscalers=Shelf("upscaler", [upscaler])))
    assert here.loras is not None
    assert here.upscalers is not None
    for name, digits in (("INK", ""), ("my ink", ""), ("pens_ink", ""), ("other", "0" * 12)):
        found = here.loras.find(name, digits)
        assert found is not None
        assert found.name == "ink"
    assert here.loras.find("oil") is None
    assert here.upscalers.find("4x-sharp") is not None


# --- the cache -----------------------------------------------------------------------------------


def test_a_header_is_read_once_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "loras" / "ink.safetensors"
    write(path, lora(), {"ss_output_name": "one"})
    write(tmp_path / "loras" / "broken.safetensors", {"emb_params": (1, 768)})
    first = scan(tmp_path)
    read: list[Path] = []

    def reading(path: Path) -> tuple[Any, ...]:
        read.append(path)
        return "sd2", "two", "", ()

    monkeypatch.setattr("core.models.addons._describe_network", reading)
    again = scan(tmp_path)
    assert not read
    assert again.networks.entries == first.networks.entries
    assert list(map(str, again.refused)) == list(map(str, first.refused))
    write(path, lora(1024), {"ss_output_name": "a longer one"})
    assert scan(tmp_path).networks.find("ink").alias == "two"
    assert read == [path]
    (tmp_path / "cache" / "headers.json").write_text("[]")
    assert scan(tmp_path).networks.find("ink").alias == "two"


def test_without_time_files_are_known_by_name_and_read_later(tmp_path: Path) -> None:
    write(tmp_path / "loras" / "ink.safetensors", lora(), {"ss_output_name": "My Ink"})
    hurried = scan(tmp_path, seconds=-1)
    assert (hurried.unread, hurried.networks.find("ink").family) == (1, None)
    found = scan(tmp_path)
    assert (found.unread, found.networks.find("my ink").family) == (0, "sd1")
    assert scan(tmp_path, seconds=-1).unread == 0


def test_a_networks_hash_leaves_its_header_out(tmp_path: Path) -> None:
    hashes = Hashes(tmp_path / "cache")
    one = write(tmp_path / "loras" / "one.safetensors", lora(), {"a": "b"})
    two = write(tmp_path / "loras" / "two.safetensors", lora(), {"another": "title"})
    assert hashes.known(one, 12, after_header=True) == ""
    assert hashes.of(one, 12, after_header=True) == hashes.of(two, 12, after_header=True)
    assert hashes.of(one) != hashes.of(two)
    # What was hashed is found by its hash from then on.
    digest = hashes.known(one, 12, after_header=True)
    assert len(digest) == 12
    assert scan(tmp_path).networks.by_hash(digest) is not None


# --- what a request uses -------------------------------------------------------------------------


def catalogue() -> Catalogue:
    files = (
        NetworkFile("ink", Path("ink"), "sd1", alias="brush"),
        NetworkFile("oil", Path("oil"), None, alias="brush"),
        NetworkFile("big", Path("big"), "sdxl"),
    )
    embeddings = (
        EmbeddingFile("bad hands", Path("bad"), "sd1", 4),
        EmbeddingFile("xl", Path("xl"), "sdxl", 4),
        EmbeddingFile("rare", Path("rare"), "sd1", 4),
    )
    return Catalogue(networks=Shelf("LoRA", files), embeddings=Shelf("embedding", embeddings))


def used(prompt: str, hires: HiresFix | None = None, **more: Any) -> Any:
    request = GenerationRequest(prompt, "demo", 1, hires=hires, **more)
    return addons_of(request, catalogue(), MODEL)


def test_a_prompts_networks_are_found_in_its_order() -> None:
    addons, notes = used("a <lora:oil:0.5:0.8:4> cat <lora:INK:1:lbw=OUTS>")
    assert [(each.name, each.file.name) for each in addons.networks] == [
        ("oil", "oil"),
        ("INK", "ink"),
    ]
    first, second = (each.use for each in addons.networks)
    assert first == (Path("oil"), 0.5, 0.8, 4, ())
    assert dict(second.blocks)["OUT08"] == 1
    assert addons.second == addons.networks
    assert not notes


def test_the_second_passs_own_prompt_has_its_own_networks() -> None:
    addons, _ = used("a cat <lora:ink>", HiresFix(prompt="a dog <lora:oil:0.3>"))
    assert [each.name for each in addons.networks] == ["ink"]
    assert [each.name for each in addons.second] == ["oil"]
    addons, _ = used("a cat <lora:ink>", HiresFix())
    assert addons.second == addons.networks


@pytest.mark.parametrize(
    ("tag", "note", "used_ones"),
    [
        ("<lora:nothing:1>", "unknown_name", 0),
        ("<lora:../ink:1>", "unknown_name", 0),
        ("<lora:brush:1>", "network_ambiguous", 0),
        ("<lora:big:1>", "network_family", 0),
        ("<lora:ink:1e30>", "network_weight", 0),
        ("<lora:ink:nan>", "network_weight", 0),
        ("<lora:ink:1:lbw=1,2,3>", "network_blocks", 1),
        ("<lora:ink:1>" * 200, "networks_many", 32),
    ],
)
def test_what_cannot_be_used_is_noted(tag: str, note: str, used_ones: int) -> None:
    addons, notes = used(f"a cat {tag}")
    assert [each.key for each in notes] == [note]
    assert str(notes[0])
    assert len(addons.networks) == used_ones


def test_embeddings_that_the_prompts_may_name_go_along() -> None:
    addons, _ = used("a cat", negative_prompt="(Bad  Hands:1.2), xl")
    assert [each.name for each in addons.embeddings] == ["bad hands"]
    other, _ = addons_of(
        GenerationRequest("xl", "demo", 1), catalogue(), replace(MODEL, family="sdxl")
    )
    assert [each.name for each in other.embeddings] == ["xl"]
