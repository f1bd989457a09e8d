"""Networks on a model: merged, added row by row, and files that cannot be used."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from core.errors import NetworkLimit, NetworkMismatch, Refused
from core.models.block_weights import block_weights
from core.models.networks import applied
from core.models.networks.kinds import change
from core.models.networks.model_networks import ModelNetworks
from core.models.weights.network_file import _PARTS, MAX_NETWORKS, MAX_RANK, NetworkUse

Tensors = dict[str, Tensor]
Write = Callable[..., NetworkUse]

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
KOHYA = "lora_unet_" + ATTENTION.replace(".", "_")
CONV = "lora_unet_mid_block_resnets_0_conv1"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    unet_class: Any = UNet2DConditionModel
    model = unet_class(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=24,
    )
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def text() -> Any:
    torch.manual_seed(1)
    config = CLIPTextConfig(
        vocab_size=100, hidden_size=24, intermediate_size=32, num_hidden_layers=2
    )
    model: Any = CLIPTextModel(config)
    return model.eval().requires_grad_(False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a network's tensors to a file; its use at given weights."""
    count = iter(range(1000))

    def write(tensors: Tensors, *weights: Any, metadata: dict[str, str] | None = None) -> Any:
        path = tmp_path / f"{next(count)}.safetensors"
        save_file(tensors, path, metadata)
        return NetworkUse(path, *weights)

    return write


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 4


def lora(
    key: str = KOHYA, out: int = 16, inner: tuple[int, ...] = (16,), rank: int = 2, seed: int = 0
) -> Tensors:
    ones = (1,) * (len(inner) - 1)
    return {
        f"{key}.lora_down.weight": noise(rank, *inner, seed=seed),
        f"{key}.lora_up.weight": noise(out, rank, *ones, seed=seed + 1),
        f"{key}.alpha": torch.tensor(1.0),
    }


def style(seed: int) -> Tensors:
    """A LoCon on a linear layer, a convolution and a layer with a stride."""
    conv = lora(CONV, 32, (32, 3, 3), 3, seed + 10)
    down = lora("lora_unet_down_blocks_0_downsamplers_0_conv", 16, (16, 3, 3), 1, seed + 20)
    return lora(seed=seed) | conv | down


def loha(key: str = KOHYA, seed: int = 5) -> Tensors:
    shapes = {"w1_a": (16, 2), "w1_b": (2, 16), "w2_a": (16, 2), "w2_b": (2, 16)}
    return {f"{key}.hada_{part}": noise(*shape, seed=seed) for part, shape in shapes.items()}


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    return noise(rows, 4, 8, 8, seed=3) * 4, torch.linspace(1, 900, rows), noise(rows, 77, 24)


@torch.inference_mode()
def draw(unet: Any, rows: int, only: slice = slice(None)) -> Tensor:
    x, t, context = (each[only] for each in inputs(rows))
    output: Tensor = unet(x, t, context, return_dict=False)[0]
    return output


def distance(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


# --- rows of one call ----------------------------------------------------------------------------


def test_rows_with_different_networks_share_a_call(unet: Any, write: Write) -> None:
    networks = ModelNetworks({"unet": unet})
    uses = [
        [write(style(1), 1.0, 0.8)],
        [write(lora(rank=5, seed=2), 1.0, -0.5)],
        [write(style(3)), write(style(4), 1.0, 0.3), write(lora(rank=4), 1.0, 1.0, 2)],
        [],
    ]
    sets = [networks.set_of(each) for each in uses]
    assert [own and own.merged_key for own in sets] == [(), (), (), None]
    rows = [own for own in sets for _ in range(2)]
    with networks.rows(rows):
        together = draw(unet, 8)
    # Neither in pairs, nor sorted.
    order = [2, 0, 0, 1, 3, 2, 2, 2]
    with networks.rows([sets[place] for place in order]):
        mixed = draw(unet, 8)
    for place, each in enumerate(uses):
        with applied({"unet": unet}, each):
            alone = draw(unet, 8)
        mine = slice(2 * place, 2 * place + 2)
        assert distance(together[mine], alone[mine]) < 1e-5
        for row in (row for row, other in enumerate(order) if other == place):
            assert distance(mixed[row], alone[row]) < 1e-5
    assert distance(together[:2], draw(unet, 8)[:2]) > 1e-3


def test_layers_of_other_kinds_are_merged_and_must_be_equal(unet: Any, write: Write) -> None:
    networks = ModelNetworks({"unet": unet})
    plain, other = write(style(1)), write(loha())
    both = networks.set_of([plain, other])
    swapped = networks.set_of([other, plain])
    alone = networks.set_of([plain])
    assert both
    assert swapped
    assert alone
    # On the layer that both change, the LoRA is merged too; elsewhere it is added.
    assert both.merged_key
    assert both.merged_key != swapped.merged_key
    assert KOHYA.removeprefix("lora_unet_") not in str(list(both.factors)).replace(".", "_")
    assert len(both.factors) == 2
    with networks.rows([both, both]):
        rows = draw(unet, 2)
    with applied({"unet": unet}, [plain, other]):
        assert distance(rows, draw(unet, 2)) < 1e-5
    with pytest.raises(ValueError, match="cannot share"), networks.rows([both, alone]):
        pass


def test_without_sharing_everything_is_merged(unet: Any, write: Write) -> None:
    networks = ModelNetworks({"unet": unet}, shares=False)
    own = networks.set_of([write(style(1))])
    assert own
    assert own.merged_key
    assert not own.factors
    with networks.rows([own]):
        merged = draw(unet, 1)
    with networks.rows([None]):
        assert distance(merged, draw(unet, 1)) > 1e-3


def test_a_call_without_networks_runs_the_model_as_it_is(unet: Any, write: Write) -> None:
    networks = ModelNetworks({"unet": unet})
    with networks.rows([networks.set_of([write(style(1))]), None]):
        changed = sum("forward" in vars(module) for module in unet.modules())
    assert changed == 3
    with networks.rows([None, networks.set_of([])]):
        assert not any("forward" in vars(module) for module in unet.modules())


# --- merging -------------------------------------------------------------------------------------


def test_the_weights_are_the_same_bits_afterwards(unet: Any, text: Any, write: Write) -> None:
    before = {id(each): each.clone() for each in (*unet.parameters(), *text.parameters())}
    use = write(style(1) | loha(TEXT.replace("fc1", "fc9")) | lora(TEXT, 32, (24,)))
    with applied({"te1": text, "unet": unet}, [use]):
        assert text.networks.key
        assert not all(torch.equal(before[id(each)], each) for each in unet.parameters())
    with contextlib.suppress(RuntimeError), applied({"te1": text, "unet": unet}, [use]):
        raise RuntimeError
    after = [*unet.parameters(), *text.parameters()]
    assert all(torch.equal(before[id(each)], each) for each in after)
    assert len(after) == len(before)
    assert not hasattr(text, "networks")


def test_networks_inside_networks_act_together_and_leave_one_by_one(
    unet: Any, text: Any, write: Write
) -> None:
    components = {"te1": text, "unet": unet}
    names = [name for name, _ in text.named_modules() if name.endswith("layers.0.mlp.fc1")]
    layer = text.get_submodule(names[0])
    both = [
        write(lora() | lora(TEXT, 32, (24,), seed=seed), metadata={"at": str(seed)})
        for seed in (1, 2)
    ]

    def state() -> tuple[Tensor, Tensor, Any]:
        weight = layer.weight
        key = text.networks.key if hasattr(text, "networks") else ()
        return unet.get_submodule(ATTENTION).weight.clone(), weight.clone(), key

    def same(one: tuple[Tensor, Tensor, Any], other: tuple[Tensor, Tensor, Any]) -> bool:
        return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])

    before = state()
    with applied(components, [both[1]]):
        alone = state()
    with applied(components, both):
        together = state()
    with applied(components, [both[0]]):
        outer = state()
        with applied(components, [both[1]]):
            inner = state()
        after = state()
        assert same(outer, after)
        assert outer[2] == after[2]
    assert same(inner, together)
    # What is encoded is cached by the key: it is neither network's alone.
    assert len({before[2], outer[2], alone[2], inner[2]}) == 4
    assert same(before, state())
    assert not hasattr(text, "networks")


def test_a_path_may_be_a_string(unet: Any, write: Write) -> None:
    use = write(lora())
    with applied({"unet": unet}, [(str(use.path), 1.0, 1.0, None)]) as (match,):
        assert match.matched


def test_each_part_has_its_multiplier(unet: Any, text: Any, write: Write) -> None:
    tensors = lora() | lora(TEXT, 32, (24,))
    layer = text.get_submodule(
        next(name for name, _ in text.named_modules() if name.endswith("layers.0.mlp.fc1"))
    )
    own = [layer.weight.clone(), unet.get_submodule(ATTENTION).weight.clone()]
    with applied({"te1": text, "unet": unet}, [write(tensors, 0.5, -2.0)]) as (match,):
        changes = [layer.weight - own[0], unet.get_submodule(ATTENTION).weight - own[1]]
    assert len(match.matched) == 2
    for change_, key, weight in zip(changes, (TEXT, KOHYA), (0.5, -2.0), strict=True):
        down, up = (tensors[f"{key}.lora_{side}.weight"] for side in ("down", "up"))
        # alpha ÷ rank is 1 ÷ 2.
        assert torch.allclose(change_, up @ down * weight / 2, atol=1e-6)


def test_the_same_network_twice_counts_with_both_weights(unet: Any, write: Write) -> None:
    use = write(lora())
    with applied({"unet": unet}, [use._replace(unet=0.5), use._replace(unet=0.3)]):
        twice = draw(unet, 1)
    with applied({"unet": unet}, [use._replace(unet=0.8)]):
        assert distance(twice, draw(unet, 1)) < 1e-5


def test_block_weights_act_on_their_blocks(unet: Any, write: Write) -> None:
    use = write(style(1))
    with applied({"unet": unet}, [use._replace(blocks=block_weights("ALL0.5"))]):
        half = unet.get_submodule(ATTENTION).weight.clone()
    with applied({"unet": unet}, [use._replace(unet=0.5)]):
        assert torch.allclose(half, unet.get_submodule(ATTENTION).weight)
    # IN01 alone, in a list of 17: of the style only the attention lies there.
    only = block_weights(",".join("1" if place == 1 else "0" for place in range(17)))
    own = ModelNetworks({"unet": unet}).set_of([use._replace(blocks=only)])
    assert own
    assert list(own.factors) == [ATTENTION]


@pytest.mark.parametrize("text", ["", "1,1", "OUT", "1,x,1", ",".join(["nan"] * 17)])
def test_block_weights_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        block_weights(text)


def test_a_bias_is_added_where_there_was_none(unet: Any, write: Write) -> None:
    layer = unet.get_submodule(ATTENTION)
    assert layer.bias is None
    with applied({"unet": unet}, [write({f"{KOHYA}.diff_b": noise(16)}, 1.0, 2.0)]):
        bias: Any = layer.bias
        assert torch.equal(bias, noise(16) * 2)
    assert layer.bias is None


@pytest.mark.parametrize(
    "key",
    [
        KOHYA,
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q",
        "lycoris_" + ATTENTION.replace(".", "_"),
        ATTENTION,
        f"unet.{ATTENTION}",
        f"base_model.model.{ATTENTION}",
        "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    ],
)
def test_every_spelling_of_a_key_is_found(unet: Any, write: Write, key: str) -> None:
    with applied({"unet": unet}, [write(lora(key))]) as (match,):
        assert match.matched == (f"unet.{ATTENTION}",)


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (".lora_B.weight", ".lora_A.weight"),
        (".lora_B.default.weight", ".lora_A.default.weight"),
        (".lora.up.weight", ".lora.down.weight"),
        (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    ],
)
def test_every_spelling_of_the_parts_is_found(unet: Any, write: Write, up: str, down: str) -> None:
    parts = {f"unet.{ATTENTION}{up}": noise(16, 2), f"unet.{ATTENTION}{down}": noise(2, 16)}
    with applied({"unet": unet}, [write(parts)]) as (match,):
        assert match.matched == (f"unet.{ATTENTION}",)


def test_early_files_name_an_attentions_processor(unet: Any, write: Write) -> None:
    block = ATTENTION.removesuffix(".to_q")
    parts = {
        f"unet.{block}.processor.to_{part}_lora.{side}.weight": noise(*shape)
        for part in ("q", "out")
        for side, shape in (("up", (16, 2)), ("down", (2, 16)))
    }
    with applied({"unet": unet}, [write(parts)]) as (match,):
        assert set(match.matched) == {f"unet.{ATTENTION}", f"unet.{block}.to_out.0"}


def test_what_does_not_fit_is_told(unet: Any, write: Write) -> None:
    strange = lora("lora_unet_no_such_layer") | lora(CONV, 16, (16, 3, 3))
    with applied({"unet": unet}, [write(lora() | strange)]) as (match,):
        assert match.matched == (f"unet.{ATTENTION}",)
        assert match.unmatched == ("lora_unet_no_such_layer",)
        assert match.misfits == (CONV,)
    own = ModelNetworks({"unet": unet}).set_of([write(lora() | strange)])
    assert own
    assert [dict(note.values)["out"] for note in own.notes] == ["2"]


# --- kinds, by their definitions -----------------------------------------------------------------


def test_dora_has_one_magnitude_an_input_or_one_an_output() -> None:
    weight, up, down = noise(6, 4), noise(6, 2, seed=1), noise(2, 4, seed=2)
    changed = weight + up @ down
    for shape, dim in (((1, 4), 0), ((6, 1), 1), ((6,), 1)):
        magnitude = noise(*shape, seed=3)
        wide = magnitude.reshape(-1, 1) if dim else magnitude
        wanted = changed / changed.norm(dim=dim, keepdim=True) * wide - weight
        parts = {"up": up, "down": down, "dora_scale": magnitude}
        found = change(parts, weight)
        assert found is not None
        assert torch.allclose(found, wanted, atol=1e-6)


def test_oft_turns_blocks_of_outputs_without_changing_lengths() -> None:
    weight = noise(8, 5)
    delta = change({"oft_blocks": noise(2, 4, 4), "alpha": torch.tensor(0.0)}, weight)
    assert delta is not None
    turned = weight + delta
    for rows in (slice(0, 4), slice(4, 8)):
        assert torch.allclose(turned[rows].norm(dim=0), weight[rows].norm(dim=0), atol=1e-6)
        assert not torch.allclose(turned[rows], weight[rows], atol=1e-2)


def test_an_inpainting_models_first_layer_keeps_its_other_inputs() -> None:
    parts = {"up": noise(8, 2, 1, 1), "down": noise(2, 4, 3, 3)}
    delta = change(parts, noise(8, 9, 3, 3))
    assert delta is not None
    assert delta.shape == (8, 9, 3, 3)
    assert delta[:, :4].any()
    assert not delta[:, 4:].any()


def test_tucker_is_low_rank_too(unet: Any, write: Write) -> None:
    parts = lora(CONV, 32, (32, 1, 1), 3) | {f"{CONV}.lora_mid.weight": noise(3, 3, 3, 3, seed=9)}
    use = write(parts)
    networks = ModelNetworks({"unet": unet})
    own = networks.set_of([use])
    assert own
    assert own.factors
    assert not own.merged_key
    with networks.rows([own]):
        rows = draw(unet, 1)
    with applied({"unet": unet}, [use]):
        assert distance(rows, draw(unet, 1)) < 1e-5


# --- files that cannot be used -------------------------------------------------------------------


def refusal(unet: Any, use: NetworkUse) -> str:
    with pytest.raises(Refused) as caught, applied({"unet": unet}, [use]):
        pass
    assert str(caught.value)
    return caught.value.reason


def test_damaged_files_are_refused(unet: Any, write: Write, tmp_path: Path) -> None:
    use = write(lora())
    data = use.path.read_bytes()
    for name, content, reason in (
        ("cut", data[:-40], "truncated"),
        ("pickle", b"\x80\x02}q\x00." + bytes(100), "pickle"),
        ("page", b"<!doctype html>" + bytes(100), "unreadable"),
        ("empty", b"", "truncated"),
    ):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        assert refusal(unet, NetworkUse(path)) == reason
    assert refusal(unet, NetworkUse(tmp_path / "gone.safetensors")) == "unreadable"
    assert refusal(unet, write(lora() | {f"{CONV}.diff": noise(1) * torch.nan})) == "not_finite"
    assert refusal(unet, write(lora(rank=0))) == "no_rank"
    assert refusal(unet, write({"emb_params": noise(2, 24)})) == "wrong_kind"
    assert refusal(unet, write({"something": noise(2)})) == "wrong_kind"
    flux = lora("lora_unet_double_blocks_0_img_attn_proj")
    assert refusal(unet, write(flux)) == "family"


def test_three_gigabytes_of_ranks_are_refused_before_they_are_read(
    unet: Any, tmp_path: Path
) -> None:
    path = tmp_path / "huge.safetensors"
    ranks = 50_000_000
    shapes = {f"{KOHYA}.lora_down.weight": [ranks, 16], f"{KOHYA}.lora_up.weight": [16, ranks]}
    entries, end = {}, 0
    for name, shape in shapes.items():
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + 32 * ranks]}
        end += 32 * ranks
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        # A file with a hole takes no room on the disk.
        file.truncate(8 + len(header) + end)
    assert refusal(unet, NetworkUse(path)) == "too_large"


def test_a_rank_above_all_use_is_refused(unet: Any, write: Write) -> None:
    assert refusal(unet, write(lora(rank=MAX_RANK + 1))) == "too_large"


@pytest.mark.parametrize("weight", [1e30, float("nan"), float("inf"), -101])
def test_weights_out_of_range_are_refused(unet: Any, write: Write, weight: float) -> None:
    own = write(lora())
    for use in (own._replace(te=weight), own._replace(unet=weight)):
        with pytest.raises(NetworkLimit), applied({"unet": unet}, [use]):
            pass


def test_too_many_networks_are_refused(unet: Any, write: Write) -> None:
    use = write(lora())
    with applied({"unet": unet}, [use] * MAX_NETWORKS):
        pass
    with pytest.raises(NetworkLimit), applied({"unet": unet}, [use] * 200):
        pass


def test_a_network_for_another_family_is_refused(write: Write) -> None:
    unet_class: Any = UNet2DConditionModel
    model = unet_class(
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=8,
        layers_per_block=1,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    sdxl = lora("lora_te2_text_model_encoder_layers_0_mlp_fc1", 5120, (1280,))
    with pytest.raises(NetworkMismatch) as caught, applied({"unet": model}, [write(sdxl)]):
        pass
    assert (caught.value.fits, caught.value.needs) == ("sdxl", "sd1")


def test_a_replaced_file_is_read_again(unet: Any, write: Write) -> None:
    networks = ModelNetworks({"unet": unet})
    use = write(lora(seed=1))
    first = networks.set_of([use])
    assert first is networks.set_of([use])
    save_file(lora(seed=2) | lora(CONV, 32, (32, 3, 3)), use.path)
    assert networks.set_of([use]) is not first


# Keys as tools write them and as none does; parts of every kind together; sizes that fit or not.
any_key = st.one_of(
    st.sampled_from(
        [
            KOHYA,
            CONV,
            TEXT,
            "lora_unet_conv_in",
            "lycoris_conv_in",
            "unet." + ATTENTION,
            "oft_unet_",
        ]
    ),
    st.text("loraunet_.012", min_size=1, max_size=12),
)
any_part = st.sampled_from([*_PARTS, "up.weight", "x"])
any_size = st.lists(st.sampled_from([0, 1, 2, 3, 4, 16, 24, 32]), max_size=4)


# Each draws three times.
@settings(
    max_examples=(settings.default or settings()).max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.dictionaries(st.tuples(any_key, any_part), any_size, min_size=1, max_size=8),
    st.sampled_from([torch.float32, torch.float16, torch.int64]),
)
def test_any_keys_and_sizes_are_used_or_refused(
    unet: Any,
    text: Any,
    write: Write,
    given_sizes: dict[tuple[str, str], list[int]],
    dtype: torch.dtype,
) -> None:
    tensors = {
        f"{key}.{part}": torch.ones(size, dtype=dtype) for (key, part), size in given_sizes.items()
    }
    before = draw(unet, 1)
    with contextlib.suppress(Refused, NetworkMismatch, NetworkLimit):
        use = write(tensors)
        with applied({"unet": unet, "te1": text}, [use]):
            draw(unet, 1)
        networks = ModelNetworks({"unet": unet, "te1": text})
        with networks.rows([networks.set_of([use])]):
            draw(unet, 1)
    assert torch.equal(draw(unet, 1), before)


@pytest.mark.parametrize(
    "sizes",
    [
        {"oft_blocks": ()},
        {"lokr_w1_b": (0, 4), "lokr_w1_a": (4, 0), "lokr_w2": (4, 4), "alpha": ()},
        {"lora_up.weight": (16, 2), "lora_down.weight": (2, 16), "alpha": (2,)},
    ],
)
def test_layers_whose_sizes_make_no_sense_are_left_out(
    unet: Any, write: Write, sizes: dict[str, tuple[int, ...]]
) -> None:
    wrong = {f"{KOHYA}.{part}": torch.ones(size) for part, size in sizes.items()}
    with applied({"unet": unet}, [write(wrong | lora(CONV, 32, (32, 3, 3)))]) as (match,):
        draw(unet, 1)
    assert match.misfits == (KOHYA,)
