"""``Models``: checkpoints and VAEs on the device, the last few kept warm.

Everything is loaded by component, offline, from files the catalogue has found; a file that
turns out to be bad is refused and disturbs nothing that runs.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import huggingface_hub.constants
import torch
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from core import heartbeat
from core.config import EngineConfig
from core.errors import EngineStopped, OutOfMemory, Refused
from core.families import Family
from core.models.catalogue import Model, Vae
from core.models.vae import LoadedVae
from core.models.weights import checkpoint, ldm_keys, single_file
from core.models.weights.components import (
    Config,
    DiffusersTensors,
    LdmTensors,
    Tensors,
    load_component,
)
from core.models.weights.diffusers_folder import check_vae_config, read_json, weight_files
from core.models.weights.hashes import Hashes
from core.models.weights.safetensors_header import read_header
from core.sampling.sigmas import NoiseSchedule
from core.text.conditioning import TextConditioner

# The memory in use is told in such steps, in bytes: smaller changes are no news.
MEMORY_STEP: Final = 2**27
CONFIGS: Final = Path(__file__).parents[2] / "data" / "configs"
WARM_VAES: Final = 4
# Left free on a GPU beside the weights, for the running set: so much, or a third of a small card.
WORKING_MEMORY: Final = 6 * 2**30


@dataclass(eq=False)
class LoadedModel:
    """A checkpoint ready to use. While anyone holds one, its weights stay on the device."""

    model: Model
    unet: nn.Module
    conditioner: TextConditioner
    vae: LoadedVae
    schedule: NoiseSchedule
    device: torch.device
    dtype: torch.dtype
    _hash: Future[str]

    @property
    def family(self) -> Family:
        """``sd1``, ``sd2`` or ``sdxl``."""
        return self.model.family

    @property
    def hash(self) -> str:
        """First ten digits of the file's sha256; of a folder, its UNet file's.

        Waits when the file is still being read.
        """
        return self._hash.result()


class Models:
    """Loads models for one device, and keeps the ``warm_models`` used last.

    On a GPU that gets short, models nobody holds wait in pinned memory and come back from
    there. ``configs`` holds the structures of single-file checkpoints, a folder a family. What
    it loads calls ``alive`` while it works.
    Raises :class:`EngineStopped` when the device is not there.
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
        # What load() handed out refers to the modules of what is warm: while a handle lives,
        # its model is in use, and is neither parked nor forgotten.
        self._warm: OrderedDict[_Key, _Resident] = OrderedDict()
        self._handles: WeakValueDictionary[_Key, LoadedModel] = WeakValueDictionary()
        self._vaes: OrderedDict[tuple[_Key, str], LoadedVae] = OrderedDict()

    @property
    def device_name(self) -> str:
        """The device in words, e.g. a graphics card's name."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type.upper()

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the models that are loaded, the one used last at the end."""
        return tuple(resident.name for resident in self._warm.values())

    @property
    def memory(self) -> tuple[int, int] | None:
        """A graphics card's memory in bytes: what torch holds, in coarse steps, and its total."""
        if self.device.type != "cuda":
            return None
        held = torch.cuda.memory_reserved(self.device)
        total = torch.cuda.get_device_properties(self.device).total_memory
        return held // MEMORY_STEP * MEMORY_STEP, total

    def close(self) -> None:
        """Stop what runs beside: hashes not yet taken."""
        self._hashing.shutdown(wait=False, cancel_futures=True)

    # Weights made in inference mode could neither be moved nor compiled later.
    @torch.inference_mode(False)
    def load(self, model: Model) -> LoadedModel:
        """The model on its device; the same object while someone holds it.

        Raises :class:`Refused` when its files are not what they seemed, and
        :class:`OutOfMemory` when it does not fit even alone.
        """
        key = _Key.of(model)
        handle = self._handles.get(key)
        if handle is None:
            resident = self._warm.get(key)
            try:
                if resident is None:
                    self._forget_beyond(self._limit - 1)
                    resident = self._with_room(model, lambda: self._build(model))
                    self._warm[key] = resident
                elif not resident.on_device:
                    self._with_room(model, resident.bring_back)
            except torch.OutOfMemoryError:
                raise OutOfMemory(*model.size) from None
            handle = self._handles[key] = resident.handle(model)
        self._warm.move_to_end(key)
        self._forget_beyond(self._limit)
        return handle

    @torch.inference_mode(False)
    def load_vae(self, vae: Vae | None, model: LoadedModel) -> LoadedVae:
        """The VAE on the device; the checkpoint's own for None.

        A bare file is built as the checkpoint's own VAE is, scaling factor included: the files
        of SD and SDXL have the same shapes. Raises :class:`Refused`.
        """
        if vae is None:
            return model.vae
        own: Config = model.vae.module.config
        key = (_Key.of(vae), repr(sorted(own.items(), key=str)))
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

    def _build(self, model: Model) -> _Resident:
        """Read the whole checkpoint onto the device."""
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
        return _Resident(
            model.name,
            tuple(modules.values()),
            modules["unet"],
            TextConditioner(tokenizers, [modules[name] for name in texts], family=model.family),
            LoadedVae(modules["vae"], model.name, file_hash, strict=self._strict),
            checkpoint.noise_schedule(model),
            self.device,
            self.dtype,
            file_hash,
        )

    def _dtype_of(self, component: str, config: Config) -> torch.dtype:
        """The working precision; VAEs differ, for fp16 overflows in SDXL's."""
        if component != "vae" or self.dtype == torch.float32:
            return self.dtype
        if self.device.type != "cuda":
            return torch.float32
        if not config.get("force_upcast", False):
            return torch.float16
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32

    def _hash_of(self, path: Path) -> Future[str]:
        return self._hashing.submit(_hash_or_nothing, self._hashes, path)

    def _with_room(self, model: Model, action: Callable[[], _T]) -> _T:
        """Do what takes the model's memory, after idle models have made room for it."""
        if self.device.type != "cuda":
            return action()
        need = checkpoint.parameters(model) * self.dtype.itemsize
        total = torch.cuda.get_device_properties(self.device).total_memory
        reserve = min(WORKING_MEMORY, total // 3)
        # What was let go of is still torch's until this.
        torch.cuda.empty_cache()
        idle = self._idle_on_device()
        while torch.cuda.mem_get_info(self.device)[0] < need + reserve and idle:
            idle.pop(0).park()
            torch.cuda.empty_cache()
        try:
            return action()
        except torch.OutOfMemoryError:
            if not idle:
                raise
        for resident in idle:
            resident.park()
        torch.cuda.empty_cache()
        return action()

    def _idle_on_device(self) -> list[_Resident]:
        """What is loaded and nobody holds, the one used longest ago first."""
        return [
            resident
            for key, resident in self._warm.items()
            if key not in self._handles and resident.on_device
        ]

    def _forget_beyond(self, limit: int) -> None:
        """Let go of idle models, the one used longest ago first, until ``limit`` are left."""
        idle = [key for key in self._warm if key not in self._handles]
        for key in idle[: max(0, len(self._warm) - limit)]:
            del self._warm[key]


_T = TypeVar("_T")
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class _Key:
    """What decides the weights: the files with their times and sizes, and how they are read.

    A file that was replaced is loaded anew; a card that was edited changes nothing here.
    """

    path: Path
    facts: tuple[str | bool, ...]
    stamp: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, entry: Model | Vae) -> _Key:
        kind = "VAE"
        facts: tuple[str | bool, ...] = ()
        if isinstance(entry, Model):
            kind = "model"
            facts = (entry.family, entry.prediction_type, entry.zero_terminal_snr)
        try:
            status = [path.stat() for path in checkpoint.weights(entry)]
        except OSError as error:
            raise Refused(kind, entry.name, "missing", entry.path.name) from error
        stamp = tuple((each.st_mtime_ns, each.st_size) for each in status)
        return cls(entry.path, facts, stamp)


@dataclass(eq=False)
class _Resident:
    """What stays loaded of a checkpoint, on the device or waiting in the CPU's memory."""

    name: str
    modules: tuple[nn.Module, ...]
    unet: nn.Module
    conditioner: TextConditioner
    vae: LoadedVae
    schedule: NoiseSchedule
    device: torch.device
    dtype: torch.dtype
    file_hash: Future[str]

    def handle(self, model: Model) -> LoadedModel:
        return LoadedModel(
            model,
            self.unet,
            self.conditioner,
            self.vae,
            self.schedule,
            self.device,
            self.dtype,
            self.file_hash,
        )

    @property
    def on_device(self) -> bool:
        """Whether it can be used as it is."""
        return next(self.unet.parameters()).device == self.device

    def park(self) -> None:
        """Leave the device for pinned memory, from where the way back is fast."""
        for module in self.modules:
            module.to(_CPU)
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.data = tensor.data.pin_memory()

    def bring_back(self) -> None:
        """Return to the device."""
        for module in self.modules:
            module.to(self.device, non_blocking=True)


def _hash_or_nothing(hashes: Hashes, path: Path) -> str:
    try:
        return hashes.of(path)
    except OSError:
        # The file went away while it was in use; an unknown hash is left out of the infotext.
        return ""


def _stay_offline_and_quiet() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Read when huggingface_hub was imported, which may have been before this.
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
        # The index too, so that devices can be compared; and it proves that the device is there.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        detail = str(error).splitlines()[0]
        raise EngineStopped(f"the device {name!r} cannot be used ({detail})") from error


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[name]
