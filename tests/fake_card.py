"""A graphics card that is not there: device ``cuda:0`` on a torch that was built for CPUs only.

Tensors on it have a shape, a type and a device, but no data (torch's FakeTensor); all that lies on
the CPU is real. So whole engines run on it. It notes what would make a real card stand still (every
way by which data comes back to the CPU at once, every upload that waits), and what it would launch.
It does not know values, how long anything takes, or what a kernel chooses; of kernels that read
back by themselves, those of ``linalg`` are known.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

CORE: Final = str(Path(__file__).parents[1] / "core")
GIB: Final = 2**30
aten: Final = torch.ops.aten

# What launches no kernel: views, and memory that nothing is written to.
VIEWS: Final = (
    *("aten.view", "aten.t.", "aten.transpose", "aten.permute", "aten.unsqueeze", "aten.squeeze"),
    *("aten.select", "aten.slice", "aten.expand", "aten._unsafe_view", "aten.alias", "aten.detach"),
    *("aten.split", "aten.unbind", "aten.reshape", "aten.chunk", "aten.as_strided", "aten.empty"),
    *("aten._reshape_alias", "aten.lift_fresh", "aten.new_empty", "prim.", "aten.sym_", "aten.is_"),
    "aten.unfold",
)


class FakeCard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counters, by the line of ours that asked: what stalls the card, and what is launched.

    ``readbacks`` and ``blocking_uploads`` make the CPU wait; ``copies`` do not, for they are
    asked for without waiting and from or to pinned memory. ``launches`` are about one a kernel.
    """

    def __init__(self, card: FakeCard | None = None) -> None:
        """Make a card, or the same ``card`` for another thread."""
        super().__init__()  # type: ignore[no-untyped-call]
        torch._C._ensureCUDADeviceGuardSet()
        # torch's own mode is no thread's own.
        self.lock: Any = card.lock if card else threading.RLock()
        self.fake: Any = card.fake if card else FakeTensorMode(allow_non_fake_inputs=True)
        self.readbacks: Counter[str] = card.readbacks if card else Counter()
        self.blocking_uploads: Counter[str] = card.blocking_uploads if card else Counter()
        self.copies: Counter[str] = card.copies if card else Counter()
        self.launches: Counter[str] = card.launches if card else Counter()
        # Kept, so that no other tensor comes to lie there.
        self.pinned: dict[int, Tensor] = card.pinned if card else {}
        self._left_out = 0

    def clear(self) -> None:
        """Count anew."""
        for counter in (self.readbacks, self.blocking_uploads, self.copies, self.launches):
            counter.clear()

    def leave_out(self, module: nn.Module) -> None:
        """Count no launches of this module from now on."""

        def begin(*_: object) -> None:
            self._left_out += 1

        def end(*_: object) -> None:
            self._left_out -= 1

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            given = args[0]
            return given.fake_device if isinstance(given, FakeTensor) else given.device
        if not _on_card(args, kwargs):
            return func(*args, **kwargs)
        with self.lock:
            return self._answer(func, args, kwargs)

    def _answer(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func is aten.scaled_dot_product_attention.default:
            # One kernel on a card; a build for CPUs knows none of those to choose from.
            return self._made(func, args[0], (*args[0].shape[:-1], args[2].shape[-1]))
        if func.name().startswith("aten::upsample_"):
            return self._made(func, args[0], (*args[0].shape[:2], *_upsampled(args)))
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if func is aten._fused_sdp_choice.default:
            return 1
        if func is aten._local_scalar_dense.default:
            return self.read(_zero(args[0]))
        moved = self._moved(func, args, kwargs)
        if moved is not None:
            return moved
        if "linalg" in func.name() and ("solve" in func.name() or "check" in func.name()):
            # It reads an error code back.
            self._note(self.readbacks)
        return self._launched(func, args, kwargs)

    def _launched(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if not self._left_out and not str(func).startswith(VIEWS):
            self._note(self.launches)
        return self._run(func, args, kwargs)

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        args, kwargs = pytree.tree_map_only(Tensor, self._faked, (args, kwargs))
        with self.fake:
            return func(*args, **kwargs)

    def _made(self, func: Any, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        if not self._left_out and not str(func).startswith(VIEWS):
            self._note(self.launches)
        with self.fake:
            return torch.empty(shape, dtype=like.dtype, device=like.device)

    def _moved(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Note and answer a copy between the card and the CPU; None for all else."""
        if func is aten._to_copy.default:
            device = torch.device(kwargs.get("device") or args[0].device)
            waits = not kwargs.get("non_blocking", False)
            source, target = args[0], device.type
        elif func is aten.copy_.default:
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            source, target = args[1], args[0].device.type
        else:
            return None
        if source.device.type == target:
            return None
        if target == "cuda":
            self._upload(source, waits)
            return self._run(func, args, kwargs)
        if func is aten._to_copy.default:
            return self.read(torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype))
        if waits or not self.is_pinned(args[0]):
            return self.read(args[0].zero_())
        self._note(self.copies)
        return args[0].zero_()

    def _upload(self, source: Tensor, waits: bool) -> None:
        later = not waits and self.is_pinned(source)
        self._note(self.copies if later else self.blocking_uploads)

    def pin(self, tensor: Tensor) -> Tensor:
        """Take the tensor's memory for pinned."""
        self.pinned[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return whether the tensor lies in memory that was asked for as pinned."""
        return tensor.untyped_storage().data_ptr() in self.pinned

    def read(self, stand_in: Any) -> Any:
        """Note that data came back at once; return what it is taken for."""
        self._note(self.readbacks)
        return stand_in

    def _faked(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)

    def _note(self, counter: Counter[str]) -> None:
        counter[_line_of_ours()] += 1


def _line_of_ours() -> str:
    """Return the innermost line of core's that is being run."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(CORE):
            return f"core{frame.f_code.co_filename[len(CORE) :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def _on_card(args: Any, kwargs: dict[str, Any]) -> bool:
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, FakeTensor):
            leaf = leaf.fake_device
        if isinstance(leaf, torch.device) and leaf.type == "cuda":
            return True
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "cuda"


def _zero(tensor: Tensor) -> Any:
    """Return what a value that is read back is taken for."""
    if tensor.dtype == torch.bool:
        return False
    return 0.0 if tensor.dtype.is_floating_point else 0


def _upsampled(args: Any) -> list[int]:
    if args[1] is not None:
        return list(args[1])
    factors = next(each for each in reversed(args) if isinstance(each, list | tuple))
    return [int(side * factor) for side, factor in zip(args[0].shape[2:], factors, strict=True)]


class _Bindings(TorchFunctionMode):
    """Calls that ask for a real card before they are dispatched, by calls that do not."""

    def __init__(self, card: FakeCard) -> None:
        super().__init__()
        self._card = card

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.pop("pin_memory", False):
            return self._card.pin(torch.empty(*args, **kwargs))
        if func in _LISTED and args[0].device.type == "cuda":
            return self._card.read(_LISTED[func](args[0]))
        if func is Tensor.pin_memory:
            return self._card.pin(args[0].clone())
        if func is Tensor.is_pinned:
            return self._card.is_pinned(args[0])
        if func in _GUARDED and isinstance(args[0], Tensor) and args[0].device.type == "cuda":
            return _GUARDED[func](*args, **kwargs)
        return func(*args, **kwargs)


def _get(tensor: Tensor, index: Any) -> Tensor:
    """``tensor[index]`` of slices, numbers, None, an ellipsis and tensors."""
    index = index if isinstance(index, tuple) else (index,)
    whole = [isinstance(each, type(Ellipsis)) for each in index]
    if any(whole):
        place = whole.index(True)
        real = sum(each is not None for each in index) - 1
        fill = (slice(None),) * (tensor.ndim - real)
        index = index[:place] + fill + index[place + 1 :]
    dimension = 0
    tensors: list[Tensor | None] = []
    for each in index:
        if each is None:
            tensor = aten.unsqueeze(tensor, dimension)
        elif isinstance(each, int):
            tensor = aten.select(tensor, dimension, each)
            continue
        elif isinstance(each, slice):
            if each != slice(None):
                tensor = aten.slice(tensor, dimension, each.start, each.stop, each.step or 1)
        else:
            tensors += [None] * (dimension - len(tensors)) + [
                each if isinstance(each, Tensor) else torch.tensor(each)
            ]
        dimension += 1
    return aten.index(tensor, tensors) if tensors else tensor


def _set(tensor: Tensor, index: Any, value: Any) -> None:
    source = value if isinstance(value, Tensor) else torch.tensor(value)
    aten.copy_(_get(tensor, index), source, False)


def _contiguous(tensor: Tensor, *, memory_format: Any = torch.contiguous_format) -> Tensor:
    if tensor.is_contiguous(memory_format=memory_format):
        return tensor
    copied: Tensor = aten.clone(tensor, memory_format=memory_format)
    return copied


def _scalar(kind: Callable[[Any], Any]) -> Callable[[Tensor], Any]:
    return lambda tensor: kind(aten._local_scalar_dense(tensor))


_GUARDED: Final[dict[Any, Callable[..., Any]]] = {
    Tensor.__getitem__: _get,
    Tensor.__setitem__: _set,
    Tensor.contiguous: _contiguous,
    Tensor.new_tensor: lambda tensor, data, dtype=None, device=None: torch.tensor(
        data, dtype=dtype or tensor.dtype, device=device or tensor.device
    ),
    Tensor.copy_: lambda tensor, source, non_blocking=False: aten.copy_(
        tensor, source, non_blocking
    ),
    Tensor.item: aten._local_scalar_dense,
    Tensor.__invert__: aten.bitwise_not,
    Tensor.__bool__: _scalar(bool),
    Tensor.__float__: _scalar(float),
    Tensor.__int__: _scalar(int),
}


# Calls that answer with data, and what that is taken for.
_LISTED: Final[dict[Any, Callable[[Tensor], Any]]] = {
    Tensor.nonzero: lambda tensor: torch.zeros(1, tensor.ndim, dtype=torch.long),
    Tensor.tolist: lambda tensor: torch.zeros(tensor.shape).tolist(),
}


class _Event:
    """What was asked for is there at once."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def record(self, *_: object) -> None:
        """Do nothing."""

    def query(self) -> bool:
        """Say that all is done."""
        return True

    def synchronize(self) -> None:
        """Wait for nothing."""

    def elapsed_time(self, _: object) -> float:
        """Return made-up milliseconds."""
        return 1.0


@contextlib.contextmanager
def fake_card(total: int = 24 * GIB) -> Iterator[FakeCard]:
    """Pretend that there is a card of ``total`` bytes; what pools are given is done at once."""
    card = FakeCard()
    properties = SimpleNamespace(total_memory=total, name="A card that is not there")
    stubs: dict[str, Any] = {
        "is_available": lambda: True,
        "_lazy_init": lambda: None,
        "is_initialized": lambda: True,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "empty_cache": lambda: None,
        "synchronize": lambda *_: None,
        "get_device_name": lambda *_: properties.name,
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (8, 6),
        "memory_reserved": lambda *_: 0,
        "memory_snapshot": list,
        "mem_get_info": lambda *_: (total, total),
        "is_bf16_supported": lambda *_, **__: True,
        "Event": _Event,
    }
    with contextlib.ExitStack() as stack:
        for name, stub in stubs.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stub))

        def submit(_: Any, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            # At once and here: FakeTensors are not for several threads.
            future: Future[Any] = Future()
            try:
                future.set_result(function(*args, **kwargs))
            except Exception as error:
                future.set_exception(error)
            return future

        stack.enter_context(mock.patch.object(ThreadPoolExecutor, "submit", submit))
        stack.enter_context(_seen(card))
        # torch.tensor(…, device="cuda:0") is made on the CPU and then moved: in all threads.
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        yield card


@contextlib.contextmanager
def _seen(card: FakeCard) -> Iterator[None]:
    """Let this thread see the card."""
    with _Bindings(card), card:
        yield
