"""Weights in main memory and their copies on a device: exact, and shared as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.models import masters
from core.models.masters import Master, WeightBuffers
from core.models.weights.components import empty_module
from tools import random_models

CPU = torch.device("cpu")


class Net(nn.Module):
    """A weight under two names, two views of one tensor, a buffer that repeats one row."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        whole = torch.randn(4, 3)
        self.upper = nn.Parameter(whole[:2])
        self.lower = nn.Parameter(whole[2:])
        self.register_buffer("ids", torch.arange(3).expand(2, 3), persistent=False)
        self.requires_grad_(False)


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def test_what_comes_back_is_exact_and_shares_what_it_shared() -> None:
    net = Net()
    before = {name: tensor.clone() for name, tensor in tensors(net).items()}
    homes = {name: tensor.data_ptr() for name, tensor in tensors(net).items()}
    master = Master([net])
    master.upload(CPU)
    after = tensors(net)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(after[name].data_ptr() != homes[name] for name in before)
    assert net.first.weight is net.second.weight
    assert net.upper.untyped_storage().data_ptr() == net.lower.untyped_storage().data_ptr()
    assert after["ids"].stride() == (0, 1)
    assert not any(tensor.requires_grad for tensor in after.values())
    net.first.weight[0, 0] = 99.0
    master.park()
    assert {name: tensor.data_ptr() for name, tensor in tensors(net).items()} == homes
    assert all(torch.equal(tensors(net)[name], before[name]) for name in before)
    assert net.first.weight is net.second.weight


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weights_are_packed_in_their_precision_and_layout(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format
) -> None:
    monkeypatch.setattr(masters, "BUFFER", 2**12)
    put = WeightBuffers(pin=False).put
    given = [torch.randn(size) for size in ((5,), (8, 3, 3, 3), (), (100, 7), (2, 1, 1, 1))]
    # One larger than a buffer.
    given.append(torch.randn(64, 64))
    module = nn.ParameterList(
        nn.Parameter(put(each, torch.float16, layout), requires_grad=False) for each in given
    )
    master = Master([module])
    assert sum(each.numel() * 2 for each in given) <= master.nbytes < 2**14
    master.upload(CPU)
    for each, kept in zip(given, module, strict=True):
        assert torch.equal(kept, each.half())
        assert kept.data_ptr() % 64 == 0
        assert each.ndim != 4 or kept.is_contiguous(memory_format=layout)


def test_out_of_memory_leaves_the_weights_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    homes = {name: tensor.data_ptr() for name, tensor in tensors(net).items()}
    master = Master([net])
    copied: list[int] = []
    to: Any = Tensor.to

    def full(tensor: Tensor, *given: Any, **options: Any) -> Tensor:
        copied.append(len(tensor))
        if len(copied) > 1:
            raise torch.OutOfMemoryError
        moved: Tensor = to(tensor, *given, **options)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "to", full)
        with pytest.raises(torch.OutOfMemoryError):
            master.upload(CPU)
    assert len(copied) == 2
    assert {name: tensor.data_ptr() for name, tensor in tensors(net).items()} == homes


def test_where_no_more_memory_can_be_pinned_ordinary_memory_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    empty: Any = torch.empty

    def refuse(*given: Any, **options: Any) -> Tensor:
        if options.pop("pin_memory", False):
            raise RuntimeError("cannot pin")
        made: Tensor = empty(*given, **options)
        return made

    monkeypatch.setattr(torch, "empty", refuse)
    put = WeightBuffers(pin=True).put
    for _ in range(2):
        assert put(torch.ones(3), torch.float32, torch.contiguous_format).tolist() == [1, 1, 1]
    assert [record.message for record in caplog.records] == [
        "no more memory can be pinned (cannot pin)"
    ]


def test_a_whole_network_answers_the_same_from_its_copy() -> None:
    recipe = random_models.tiny("sd1")
    module = empty_module("text_encoder", recipe.configs["text_encoder"])
    state = random_models.random_state(module, torch.Generator().manual_seed(0), torch.float32)
    put = WeightBuffers(pin=False).put
    kept = {k: put(t, torch.float32, torch.contiguous_format) for k, t in state.items()}
    module.load_state_dict(kept, assign=True)
    for part in module.modules():
        if hasattr(part, "position_ids"):
            part.position_ids = torch.arange(77).expand(1, 77)
    module.eval().requires_grad_(False)
    ids = torch.arange(77)[None]
    expected = module(ids).last_hidden_state
    master = Master([module])
    for _ in range(2):
        master.upload(CPU)
        assert torch.equal(module(ids).last_hidden_state, expected)
        master.park()
        assert torch.equal(module(ids).last_hidden_state, expected)
