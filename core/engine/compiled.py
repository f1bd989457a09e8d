"""Regional compile: the UNet's transformer blocks, compiled by torch in a thread after warm-up.

A block is compiled once for all that are like it, and for any number of rows. Calls go on plainly
meanwhile, and for good where compiling fails.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import nn

from core.threads import beside

log = logging.getLogger(__name__)

# Plain calls of a UNet before its blocks are compiled: somebody uses it.
WARM_UP: Final = 20
BLOCK: Final = "BasicTransformerBlock"

BlockCall = Callable[..., Any]


class Compiled:
    """Compiled blocks of UNets. ``compiler`` is torch's; ``cache`` is where it keeps its code."""

    def __init__(
        self, cache: Path, compiler: Callable[[BlockCall], BlockCall] | None = None
    ) -> None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache.absolute()))
        self._compiler = compiler or partial(torch.compile, dynamic=True)
        self._thread = beside(1, "compile")
        self._calls: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
        self._making: WeakKeyDictionary[nn.Module, Future[Any]] = WeakKeyDictionary()
        # None where compiling failed.
        self._ready: WeakKeyDictionary[nn.Module, dict[str, BlockCall] | None] = WeakKeyDictionary()

    def close(self) -> None:
        """Compile nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def ready(self, unet: nn.Module) -> bool:
        """Return whether calls of this UNet are as they will stay; it changes once."""
        return unet in self._ready

    def in_use(self, unet: nn.Module) -> bool:
        """Return whether its blocks are compiled."""
        return bool(self._ready.get(unet))

    def call(self, unet: nn.Module, run: Callable[[], Any]) -> Any:
        """Return ``run()``, which calls the UNet, with its compiled blocks if they are there."""
        blocks = self._ready.get(unet) or self._blocks(unet, run)
        if not blocks:
            return run()
        try:
            with _installed(unet, blocks):
                return run()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Whatever the compiler's code raises, the plain call decides.
            self._fail(unet, error)
        return run()

    def _blocks(self, unet: nn.Module, run: Callable[[], Any]) -> dict[str, BlockCall] | None:
        """Return the compiled blocks once they are; begin to compile after the warm-up."""
        if unet in self._ready:
            return None
        making = self._making.get(unet)
        if making is None:
            self._calls[unet] = self._calls.get(unet, 0) + 1
            if self._calls[unet] >= WARM_UP:
                given = _given(unet, run)
                self._making[unet] = self._thread.submit(self._compile, unet, given)
            return None
        if not making.done():
            return None
        # An error's traceback holds the UNet and the blocks' inputs, so the future goes.
        del self._making[unet]
        error = making.exception()
        if error is not None:
            # The compiler needs a C compiler, Triton, memory; it raises of many kinds.
            self._fail(unet, error)
            return None
        self._ready[unet] = making.result()
        log.info("the UNet's blocks are compiled")
        return self._ready[unet]

    @torch.inference_mode()
    def _compile(self, unet: nn.Module, given: dict[str, Any]) -> dict[str, BlockCall]:
        compiled = {}
        for name, (args, kwargs) in given.items():
            compiled[name] = self._compiler(unet.get_submodule(name).forward)
            compiled[name](*args, **kwargs)
        return compiled

    def _fail(self, unet: nn.Module, error: BaseException) -> None:
        self._ready[unet] = None
        what = str(error).strip().splitlines()[:1]
        log.warning("the UNet is not compiled, and called plainly: %s", *what or [repr(error)])


def _given(unet: nn.Module, run: Callable[[], Any]) -> dict[str, Any]:
    """Run a call and return what each block was given."""
    given: dict[str, Any] = {}
    hooks = []
    for name, block in unet.named_modules():
        if type(block).__name__ == BLOCK:

            def note(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                given[name] = args, kwargs

            hooks.append(block.register_forward_pre_hook(note, with_kwargs=True))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return given


@contextmanager
def _installed(unet: nn.Module, blocks: dict[str, BlockCall]) -> Iterator[None]:
    """Calls of the blocks are compiled; networks of rows act on plain ones only."""
    modules = [unet.get_submodule(name) for name in blocks]
    for module, forward in zip(modules, blocks.values(), strict=True):
        module.forward = forward
    try:
        # Shapes that were not compiled are not compiled now, when everybody waits.
        with torch.compiler.set_stance("eager_on_recompile"):
            yield
    finally:
        for module in modules:
            del module.forward
