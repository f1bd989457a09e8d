"""``Models``: loads checkpoints and VAEs onto the device and keeps the last few in memory.

Loading goes component by component, offline, and only from files in the catalogue. A damaged
file is refused without any effect on what is loaded already.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import huggingface_hub.constants
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from core import heartbeat
from core.config import EngineConfig
from core.errors import EngineStopped, OutOfMemory
from core.models.catalogue import Model, Vae
from core.models.residents import LoadedModel, Resident, WeightsKey
from core.models.vae import LoadedVae
from core.models.weights import checkpoint, ldm_keys, single_file
from core.models.weights.components import (
    DiffusersTensors,
    LdmTensors,
    Tensors,
    load_component,
)
from core.models.weights.diffusers_folder import check_vae_config, read_json, weight_files
from core.models.weights.hashes import Hashes
from core.models.weights.ldm_keys import Config
from core.models.weights.safetensors_header import read_header
from core.text.conditioning import TextConditioner

# Memory in use is rounded down to this many bytes, for each change of it sends a message.
MEMORY_STEP: Final = 2**27
CONFIGS: Final = Path(__file__).parents[2] / "data" / "configs"
WARM_VAES: Final = 4
# Bytes kept free on a GPU for the running set; on a small one, a third of its memory.
WORKING_MEMORY: Final = 6 * 2**30
_T = TypeVar("_T")


class Models:
    """The models of one device; the ``warm_models`` used most recently stay in memory.

    When GPU memory is short, idle models are offloaded to pinned CPU memory. ``configs`` holds
    the component configs of single-file checkpoints, one folder per family. Loaded modules call
    ``alive`` while they run (:func:`core.heartbeat.watch`). Raises :class:`EngineStopped` when
    the device is not available.
    """

    def __init__(
        self,
        config: EngineConfig,
        configs: Path = CONFIGS,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        _stay_offline_and_quiet()
        self.device = _device(config.device)
        self.dtype = _dtype(config.dtype, self.device)
        self._configs = configs
        self._alive = alive
        self._strict = config.strict
        self._limit = max(1, config.warm_models)
        self._hashes = Hashes(config.cache_dir)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
        # A handle shares the modules of its resident: while it is referenced, the resident is
        # in use, and neither offloaded nor evicted.
        self._warm: OrderedDict[WeightsKey, Resident] = OrderedDict()
        self._handles: WeakValueDictionary[WeightsKey, LoadedModel] = WeakValueDictionary()
        self._vaes: OrderedDict[tuple[WeightsKey, str], LoadedVae] = OrderedDict()

    @property
    def device_name(self) -> str:
        """The device's name, e.g. "NVIDIA H100" or "CPU"."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type.upper()

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the loaded models, least recently used first."""
        return tuple(resident.loaded.model.name for resident in self._warm.values())

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
        """Cancel pending hash computations."""
        self._hashing.shutdown(wait=False, cancel_futures=True)

    # Tensors created in inference mode can be neither moved nor compiled later.
    @torch.inference_mode(False)
    def load(self, model: Model) -> LoadedModel:
        """Return the model on the device; the same object while it is referenced.

        Raises :class:`~core.errors.Refused` when its files are not valid, and
        :class:`OutOfMemory` when it does not fit even alone.
        """
        key = WeightsKey.of(model)
        handle = self._handles.get(key)
        if handle is None:
            resident = self._warm.get(key)
            try:
                if resident is None:
                    self._evict_to(self._limit - 1)
                    resident = self._with_memory(model, lambda: self._build(model))
                    self._warm[key] = resident
                elif not resident.on_device:
                    self._with_memory(model, resident.reload)
            except torch.OutOfMemoryError:
                raise OutOfMemory(*model.size) from None
            handle = self._handles[key] = resident.handle(model)
        self._warm.move_to_end(key)
        self._evict_to(self._limit)
        return handle

    @torch.inference_mode(False)
    def load_vae(self, vae: Vae | None, model: LoadedModel) -> LoadedVae:
        """Return the VAE on the device; for None the checkpoint's own.

        A single file carries no config: it gets that of the checkpoint's VAE, scaling factor
        included (SD's and SDXL's have the same shapes). Raises :class:`~core.errors.Refused`
        and :class:`OutOfMemory`.
        """
        if vae is None:
            return model.vae
        own: Config = model.vae.module.config
        key = (WeightsKey.of(vae), repr(sorted(own.items(), key=str)))
        if key not in self._vaes:
            try:
                self._vaes[key] = self._load_vae(vae, own)
            except torch.OutOfMemoryError:
                raise OutOfMemory(*model.model.size) from None
        self._vaes.move_to_end(key)
        while len(self._vaes) > WARM_VAES:
            self._vaes.popitem(last=False)
        return self._vaes[key]

    def _load_vae(self, vae: Vae, own: Config) -> LoadedVae:
        tensors: Tensors
        if vae.layout == "folder":
            config: Config = read_json(vae.path / "config.json", "VAE", vae.name)
            check_vae_config(config, "VAE", vae.name)
            paths = weight_files(vae.path, "VAE", vae.name)
            tensors = DiffusersTensors(paths, "VAE", vae.name)
        else:
            config, paths = own, (vae.path,)
            header = read_header(vae.path, "VAE")
            single_file.check_vae(header)
            if header.has("decoder.up_blocks."):
                tensors = DiffusersTensors(paths, "VAE", vae.name)
            else:
                prefix = single_file.vae_prefix(header)
                tensors = LdmTensors(header, prefix, ldm_keys.vae_key, config, vae.name, "VAE")
        dtype = self._dtype_of("vae", config)
        module = load_component("vae", config, tensors, self.device, dtype, "VAE", vae.name)
        heartbeat.watch(module, self._alive)
        return LoadedVae(module, vae.name, self._hash_of(paths[0]), strict=self._strict)

    def _build(self, model: Model) -> Resident:
        """Load all components of the checkpoint onto the device."""
        modules: dict[str, Any] = {}
        parts = (
            checkpoint.folder_parts(model)
            if model.layout == "folder"
            else checkpoint.file_parts(model, self._configs)
        )
        for component, config, tensors in parts:
            dtype = self._dtype_of(component, config)
            modules[component] = load_component(
                component, config, tensors, self.device, dtype, "model", model.name
            )
            heartbeat.watch(modules[component], self._alive)
        file_hash = self._hash_of(checkpoint.weights(model)[0])
        texts = [name for name in modules if name.startswith("text_encoder")]
        tokenizers = [checkpoint.tokenizer(model, name, self._configs) for name in texts]
        checkpoint.check_parts(model, modules, tokenizers)
        loaded = LoadedModel(
            model,
            modules["unet"],
            TextConditioner(tokenizers, [modules[name] for name in texts], family=model.family),
            LoadedVae(modules["vae"], model.name, file_hash, strict=self._strict),
            checkpoint.noise_schedule(model),
            self.device,
            self.dtype,
            file_hash,
        )
        return Resident(loaded, tuple(modules.values()))

    def _dtype_of(self, component: str, config: Config) -> torch.dtype:
        """Return a component's precision; a VAE has its own, for SDXL's overflows in fp16."""
        if component != "vae" or self.dtype == torch.float32:
            return self.dtype
        if self.device.type != "cuda":
            return torch.float32
        if not config.get("force_upcast", False):
            return torch.float16
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32

    def _hash_of(self, path: Path) -> Future[str]:
        return self._hashing.submit(_hash_or_empty, self._hashes, path)

    def _with_memory(self, model: Model, action: Callable[[], _T]) -> _T:
        """Run ``action``, which allocates the model's memory; offload idle models if needed."""
        if self.device.type != "cuda":
            return action()
        need = checkpoint.parameter_count(model) * self.dtype.itemsize
        total = torch.cuda.get_device_properties(self.device).total_memory
        reserve = min(WORKING_MEMORY, total // 3)
        # torch keeps freed memory reserved, which mem_get_info counts as used.
        torch.cuda.empty_cache()
        idle = self._idle_on_device()
        while torch.cuda.mem_get_info(self.device)[0] < need + reserve and idle:
            idle.pop(0).offload()
            torch.cuda.empty_cache()
        try:
            return action()
        except torch.OutOfMemoryError:
            if not idle:
                raise
        for resident in idle:
            resident.offload()
        torch.cuda.empty_cache()
        return action()

    def _idle_on_device(self) -> list[Resident]:
        """Return the residents on the device without a handle, least recently used first."""
        return [
            resident
            for key, resident in self._warm.items()
            if key not in self._handles and resident.on_device
        ]

    def _evict_to(self, limit: int) -> None:
        """Drop idle models, least recently used first, until ``limit`` are left or all are used."""
        idle = [key for key in self._warm if key not in self._handles]
        for key in idle[: max(0, len(self._warm) - limit)]:
            del self._warm[key]


def _hash_or_empty(hashes: Hashes, path: Path) -> str:
    try:
        return hashes.of(path)
    except OSError:
        # The file was deleted while in use; the infotext omits an empty hash.
        return ""


def _stay_offline_and_quiet() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    # The environment is read at import, which may have happened already.
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    for logging in libraries:
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _device(name: str) -> torch.device:
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else mps
    try:
        # Allocating resolves the device's index, and proves that the device is available.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        detail = str(error).splitlines()[0]
        raise EngineStopped(f"the device {name!r} cannot be used ({detail})") from error


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[name]
