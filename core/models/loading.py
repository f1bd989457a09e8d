"""``Models``: loads checkpoints and VAEs onto the device and keeps the last few in memory.

A damaged file is refused without any effect on what is loaded already. Files can be read ahead in
a thread, so that only the copy to the device is left to make.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import huggingface_hub.constants
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from core.config import EngineConfig
from core.errors import OutOfMemory, Refused
from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.catalogue import Model, Vae
from core.models.memory import CardMemory, Memory, free_ram, memory_errors
from core.models.precision import find_device, unet_dtype
from core.models.reader import ModelReader
from core.models.residents import Held, LoadedModel, Resident, WeightsKey
from core.models.upscalers import LoadedUpscaler
from core.models.vae import LoadedVae
from core.models.weights import checkpoint
from core.models.weights.ldm_keys import Config
from core.threads import beside

# Memory in use is rounded down to this many bytes, for each change of it sends a message.
MEMORY_STEP: Final = 2**27
CONFIGS: Final = Path(__file__).parents[2] / "data" / "configs"
WARM_UPSCALERS: Final = 2
WARM_VAES: Final = 4
# Models read ahead at most.
PREPARED: Final = 2
# Bytes kept free on a card for the running set; on a small one, a third of its memory.
WORKING_MEMORY: Final = 6 * 2**30
# Bytes of main memory that parked checkpoints leave to others.
SPARE_RAM: Final = 2 * 2**30
GIB: Final = 2**30
_T = TypeVar("_T")


class Models:
    """The models of one device; the ``warm_models`` used most recently stay in memory.

    Where the device has a memory of its own, checkpoints lie in main memory too, as far as that
    suffices, and idle ones are parked there when the device's is short. ``configs`` holds
    the component configs of single-file checkpoints, one folder per family. Loaded modules call
    ``alive`` while they run (:func:`core.heartbeat.watch`). ``memory`` is the device's, a card's
    own where None; ``ram`` says how much main memory is free. Raises
    :class:`~core.errors.EngineStopped` when the device is not available.
    """

    def __init__(
        self,
        config: EngineConfig,
        configs: Path = CONFIGS,
        *,
        alive: Callable[[], None] = lambda: None,
        memory: Memory | None = None,
        ram: Callable[[], int | None] = free_ram,
    ) -> None:
        _stay_offline_and_quiet()
        self.device = find_device(config.device)
        self.dtype = unet_dtype(config.dtype, self.device)
        card = CardMemory(self.device) if self.device.type == "cuda" else None
        self._memory = memory or card
        self._ram = ram
        self._parking_limit = config.parking_gb * GIB
        self._limit = max(1, config.warm_models)
        self._reader = ModelReader(
            self.device,
            self.dtype,
            configs,
            config.cache_dir,
            strict=config.strict,
            alive=alive,
            free=self.free,
        )
        # What else frees the device's memory when it runs out.
        self.also_free: Callable[[], None] = lambda: None
        self._threads = beside(1, "read")
        # A handle shares the modules of its resident: while it is referenced, the resident is
        # in use, and neither parked nor evicted.
        self._warm: OrderedDict[WeightsKey, Resident] = OrderedDict()
        self._handles: WeakValueDictionary[WeightsKey, LoadedModel] = WeakValueDictionary()
        # What is being read ahead, until it is loaded.
        self._prepared: dict[WeightsKey, Future[Resident]] = {}
        self._needs: dict[WeightsKey, int] = {}
        self._vaes: OrderedDict[tuple[WeightsKey, str], LoadedVae] = OrderedDict()
        self._upscalers: OrderedDict[Path, LoadedUpscaler] = OrderedDict()
        self._upscaling = threading.Lock()

    @property
    def device_name(self) -> str:
        """The device's name, e.g. "NVIDIA H100" or "CPU"."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type.upper()

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the loaded models, least recently used first."""
        return tuple(resident.model.name for resident in self._warm.values())

    @property
    def memory(self) -> tuple[int, int] | None:
        """GPU memory in bytes, (reserved by torch, total); None on other devices.

        The first is rounded to :data:`MEMORY_STEP`.
        """
        if self.device.type != "cuda":
            return None
        held = torch.cuda.memory_reserved(self.device)
        total = torch.cuda.get_device_properties(self.device).total_memory
        return held // MEMORY_STEP * MEMORY_STEP, total

    def close(self) -> None:
        """Cancel what is still to be read or hashed."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reader.close()

    def prepare(self, model: Model) -> Future[Any]:
        """Read the model into main memory in a thread, so that :meth:`load` has little left to do.

        The future is done when ``load`` need not wait for files; at once when the model is warm,
        or there is no memory to read ahead. It never is while :data:`PREPARED` others are read
        ahead: ask again when one was loaded, or forgotten. ``load`` raises what went wrong. Called
        where ``load`` is.
        """
        nothing: Future[Any] = Future()
        nothing.set_result(None)
        try:
            key = WeightsKey.of(model)
            if key in self._warm:
                return nothing
            need = self._need(model)
        except Refused:
            return nothing
        if key not in self._prepared:
            # Files that were replaced meanwhile have another key.
            self._forget(key.path)
            # First of all: those that were read ahead have the memory that this one lacks.
            if len(self._prepared) >= PREPARED:
                return Future()
            parked = self._memory is not None
            ahead = parked or self.device.type == "cpu"
            if not ahead or not self._fits_in_ram(need):
                return nothing
            read = partial(self._reader.checkpoint, model, parked=parked)
            self._prepared[key] = self._threads.submit(read)
        return self._prepared[key]

    def forget(self, model: Model) -> None:
        """Let go of what was read ahead of a model that nobody waits for any more."""
        self._forget(model.path)

    def _forget(self, path: Path) -> None:
        for key in [key for key in self._prepared if key.path == path]:
            self._prepared.pop(key).cancel()

    @torch.inference_mode(False)
    def load(self, model: Model) -> LoadedModel:
        """Return the model on the device; the same object while it is referenced.

        Raises :class:`~core.errors.Refused` when its files are not valid or the memory is not
        enough even without pictures, :class:`Held` when it does not fit beside models that are in
        use, and :class:`OutOfMemory` when it does not fit even alone.
        """
        key = WeightsKey.of(model)
        handle = self._handles.get(key)
        if handle is None:
            resident = self._bring(key, model)
            make = partial(resident.handle, model)
            handle = self._handles[key] = self._retried(key, model, make)
        self._warm.move_to_end(key)
        self._evict_to(self._limit)
        return handle

    def _bring(self, key: WeightsKey, model: Model) -> Resident:
        """Return the model's resident on the device: warm, read ahead, or read now."""
        resident = self._warm.get(key)
        if resident is None:
            need = self._need(model)
            if key not in self._prepared:
                self._evict_to(self._limit - 1)
                self._make_room(model, need)
            resident = self._warm[key] = self._read(key, model, need)
        if resident.master is not None and not resident.on_device:
            self._make_room(model, resident.master.nbytes)
            self._retried(key, model, partial(resident.bring_back, self.device))
        return resident

    def _read(self, key: WeightsKey, model: Model, need: int) -> Resident:
        if key in self._prepared:
            return self._prepared.pop(key).result()
        fits = self._fits_in_ram(need)
        if self._memory is None and self.device.type == "cpu" and not fits:
            raise _too_large(model, need, self._ram() or 0)
        parked = self._memory is not None and fits
        return self._retried(key, model, partial(self._reader.checkpoint, model, parked=parked))

    @torch.inference_mode(False)
    def load_vae(self, vae: Vae | None, model: LoadedModel) -> LoadedVae:
        """Return the VAE on the device; for None the checkpoint's own.

        A single file carries no config: it gets that of the checkpoint's VAE, scaling factor
        included (SD's and SDXL's have the same shapes). Raises as :meth:`load` does.
        """
        if vae is None:
            return model.vae
        own: Config = model.vae.module.config
        key = (WeightsKey.of(vae), repr(sorted(own.items(), key=str)))
        if key not in self._vaes:
            user = next(key for key, handle in self._handles.items() if handle is model)
            read = partial(self._reader.vae, vae, own)
            self._vaes[key] = self._retried(user, model.model, read)
        self._vaes.move_to_end(key)
        while len(self._vaes) > WARM_VAES:
            self._vaes.popitem(last=False)
        return self._vaes[key]

    @torch.inference_mode(False)
    def load_upscaler(self, upscaler: UpscalerFile, model: LoadedModel) -> LoadedUpscaler:
        """Return the upscaler on the device, used beside ``model``; raises as :meth:`load` does."""
        user = next(key for key, handle in self._handles.items() if handle is model)
        return self._retried(user, model.model, partial(self.upscaler, upscaler))

    @torch.inference_mode(False)
    def upscaler(self, upscaler: UpscalerFile) -> LoadedUpscaler:
        """Return the upscaler on the device, from any thread. Raises
        :class:`~core.errors.Refused`, and torch's error when the device has no room."""
        with self._upscaling:
            found = self._upscalers.pop(upscaler.path, None) or self._reader.upscaler(upscaler)
            self._upscalers[upscaler.path] = found
            while len(self._upscalers) > WARM_UPSCALERS:
                self._upscalers.popitem(last=False)
            return found

    def addon_hash(self, addon: NetworkFile | EmbeddingFile) -> Future[str]:
        """Compute what a text says of a network or an embedding."""
        return self._reader.addon_hash(addon)

    # Memory

    def _need(self, model: Model) -> int:
        """Return the bytes of the model's weights on the device; its files are looked into once."""
        key = WeightsKey.of(model)
        if key not in self._needs:
            self._needs[key] = checkpoint.parameter_count(model) * self.dtype.itemsize
        return self._needs[key]

    def _fits_in_ram(self, need: int) -> bool:
        """Return whether main memory suffices for these bytes of weights more."""
        free = self._ram()
        # What is being read ahead is not in main memory yet.
        need += sum(self._needs[key] for key, read in self._prepared.items() if not read.done())
        if self._memory is None:
            return free is None or need <= free
        masters = (resident.master for resident in self._warm.values())
        parked = sum(master.nbytes for master in masters if master is not None)
        parked += sum(self._needs[key] for key, read in self._prepared.items() if read.done())
        enough = free is None or need + SPARE_RAM <= free
        return enough and parked + need <= self._parking_limit

    def _make_room(self, model: Model, need: int) -> None:
        """Park or drop idle models until ``need`` bytes and the running set's fit."""
        if self._memory is None:
            return
        total = self._memory.total
        if need > total:
            raise _too_large(model, need, total)
        wanted = need + min(WORKING_MEMORY, total // 3)
        idle = self._idle_beside(None)
        while self._memory.free < wanted and idle:
            self._clear(idle.pop(0))
            if self._memory.free < wanted:
                # Its graphs' memory, which torch keeps for graphs.
                self._memory.release()
        held = self._held_beside(None)
        if self._memory.free < wanted and held:
            raise Held(held)

    def _retried(self, own: WeightsKey, model: Model, action: Callable[[], _T]) -> _T:
        """Run what allocates on the device; out of memory, free all that is idle and run it again.

        It is done for the model of the key ``own``, which stays. Raises :class:`Held` if others
        are in use, else :class:`OutOfMemory`.
        """
        try:
            with memory_errors():
                return action()
        except torch.OutOfMemoryError:
            pass
        # Outside of the except block the failed attempt's tensors are freed.
        self.free(own)
        try:
            with memory_errors():
                return action()
        except torch.OutOfMemoryError:
            if held := self._held_beside(own):
                raise Held(held) from None
            raise OutOfMemory(*model.size) from None

    def free(self, own: WeightsKey | None = None) -> None:
        """Free what the device can be without: idle models but that of ``own``, recorded calls."""
        for key in self._idle_beside(own):
            self._clear(key)
        self.also_free()
        if self._memory is not None:
            self._memory.release()

    def _idle_beside(self, own: WeightsKey | None) -> list[WeightsKey]:
        """Return the other models on the device without a handle, least recently used first."""
        return [
            key
            for key, resident in self._warm.items()
            if key != own and key not in self._handles and resident.on_device
        ]

    def _held_beside(self, own: WeightsKey | None) -> tuple[str, ...]:
        """Return the names of the other models that are in use."""
        held = (key for key in self._handles if key != own and key in self._warm)
        return tuple(self._warm[key].model.name for key in held)

    def _clear(self, key: WeightsKey) -> None:
        """Free the model's memory on the device: park it, or drop it if it lies nowhere else."""
        if self._warm[key].master is None:
            del self._warm[key]
        else:
            self._warm[key].park()

    def _evict_to(self, limit: int) -> None:
        """Drop idle models, least recently used first, until ``limit`` are left or all are used."""
        idle = [key for key in self._warm if key not in self._handles]
        for key in idle[: max(0, len(self._warm) - limit)]:
            del self._warm[key]


def _too_large(model: Model, need: int, there: int) -> Refused:
    detail = f"{need / GIB:.1f} GB of {there / GIB:.1f}"
    return Refused("model", model.name, "memory", detail)


def _stay_offline_and_quiet() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    # The environment is read at import, which may have happened already.
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    for logging in libraries:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
