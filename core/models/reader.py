"""``ModelReader``: reads checkpoints and VAEs from their files, component by component, offline."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import heartbeat
from core.models.addons import (
    EmbeddingFile,
    NetworkFile,
    UpscalerFile,
    embedding_hash,
    network_hash,
)
from core.models.catalogue import Model, Vae
from core.models.masters import Master, WeightBuffers
from core.models.networks.loaded import NetworkFiles
from core.models.networks.model_networks import ModelNetworks
from core.models.precision import memory_format, vae_dtype
from core.models.residents import LoadedModel, Resident
from core.models.upscalers import LoadedUpscaler, load_upscaler
from core.models.vae import LoadedVae
from core.models.weights import checkpoint, ldm_keys, single_file
from core.models.weights.components import (
    DiffusersTensors,
    LdmTensors,
    Put,
    Tensors,
    load_component,
)
from core.models.weights.diffusers_folder import check_vae_config, read_json, weight_files
from core.models.weights.hashes import Hashes
from core.models.weights.ldm_keys import Config
from core.models.weights.safetensors_header import read_header
from core.text.conditioning import TextConditioner


@dataclass(frozen=True)
class _Beating:
    """Weights whose every tensor is a sign of life: a slow disk takes minutes for all of them."""

    tensors: Tensors
    alive: Callable[[], None]

    def read(self, name: str) -> Tensor | None:
        self.alive()
        return self.tensors.read(name)


class ModelReader:
    """Reads for one ``device``, the UNet and the text encoders in ``dtype``.

    ``configs`` holds the component configs of single-file checkpoints, one folder per family.
    It calls ``alive`` while it reads, as modules do while they run, and VAEs ``free`` when memory
    runs out. Its methods raise :class:`~core.errors.Refused`.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        configs: Path,
        cache_dir: Path,
        *,
        strict: bool,
        alive: Callable[[], None],
        free: Callable[[], None],
    ) -> None:
        self._device, self._dtype = device, dtype
        self._configs = configs
        self._strict = strict
        self._alive, self._free = alive, free
        self._hashes = Hashes(cache_dir, alive)
        self._networks = NetworkFiles(alive=alive)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")

    def close(self) -> None:
        """Cancel pending hash computations."""
        self._hashing.shutdown(wait=False, cancel_futures=True)

    # Tensors created in inference mode can be neither moved nor compiled later.
    @torch.inference_mode(False)
    def checkpoint(self, model: Model, *, parked: bool) -> Resident:
        """Read all components of a checkpoint, ``parked`` in main memory or onto the device.

        Runs nothing on the device, so that a thread can read ahead.
        """
        put = WeightBuffers(pin=self._device.type == "cuda").put if parked else None
        parts = (
            checkpoint.folder_parts(model)
            if model.layout == "folder"
            else checkpoint.file_parts(model, self._configs)
        )
        modules = {
            component: self._component(component, config, tensors, "model", model.name, put)
            for component, config, tensors in parts
        }
        texts = [name for name in modules if name.startswith("text_encoder")]
        tokenizers = [checkpoint.tokenizer(model, name, self._configs) for name in texts]
        checkpoint.check_parts(model, modules, tokenizers)
        file_hash = self._hash_of(checkpoint.weights(model)[0])
        schedule = checkpoint.noise_schedule(model)
        encoders = [modules[name] for name in texts]
        components = {f"te{place}": each for place, each in enumerate(encoders, start=1)}
        components["unet"] = modules["unet"]

        def make() -> LoadedModel:
            return LoadedModel(
                model,
                modules["unet"],
                TextConditioner(tokenizers, encoders, family=model.family),
                self._loaded_vae(modules["vae"], model.name, file_hash),
                schedule,
                ModelNetworks(components, self._networks, shares=not self._strict),
                self._device,
                self._dtype,
                file_hash,
            )

        networks = tuple(modules.values())
        return Resident(model, networks, make, Master(networks) if parked else None)

    @torch.inference_mode(False)
    def vae(self, vae: Vae, own: Config) -> LoadedVae:
        """Read an external VAE onto the device.

        A single file carries no config: it gets ``own``, that of the checkpoint's VAE.
        """
        tensors: Tensors
        if vae.layout == "folder":
            config: Config = read_json(vae.path / "config.json", "VAE", vae.name)
            check_vae_config(config, "VAE", vae.name)
            paths = weight_files(vae.path, "VAE", vae.name)
            tensors = DiffusersTensors(paths, "VAE", vae.name)
        else:
            config, paths = own, (vae.path,)
            header = read_header(vae.path, "VAE", vae.name)
            single_file.check_vae(header)
            if header.has("decoder.up_blocks."):
                tensors = DiffusersTensors(paths, "VAE", vae.name)
            else:
                prefix = single_file.vae_prefix(header)
                tensors = LdmTensors(header, prefix, ldm_keys.vae_key, config, vae.name, "VAE")
        module = self._component("vae", config, tensors, "VAE", vae.name)
        return self._loaded_vae(module, vae.name, self._hash_of(paths[0]))

    def _loaded_vae(self, module: Any, name: str, file_hash: Future[str]) -> LoadedVae:
        return LoadedVae(module, name, file_hash, strict=self._strict, free=self._free)

    def _component(
        self,
        component: str,
        config: Config,
        tensors: Tensors,
        kind: str,
        name: str,
        put: Put | None = None,
    ) -> Any:
        dtype = self._dtype
        if component == "vae":
            dtype = vae_dtype(dtype, self._device, config)
        layout = memory_format(self._device, dtype, component)
        place = torch.device("cpu") if put else self._device
        module = load_component(
            component,
            config,
            _Beating(tensors, self._alive),
            place,
            dtype,
            kind,
            name,
            layout=layout,
            put=put,
        )
        heartbeat.watch(module, self._alive)
        return module

    def addon_hash(self, addon: NetworkFile | EmbeddingFile) -> Future[str]:
        """Compute what A1111 writes of a network or an embedding; empty if it cannot be read."""
        return self._hashing.submit(_addon_hash_or_empty, self._hashes, addon)

    def upscaler(self, upscaler: UpscalerFile) -> LoadedUpscaler:
        """Read an upscaler onto the device, in half precision on a card as in A1111."""
        half = self._device.type == "cuda" and self._dtype != torch.float32
        dtype = torch.float16 if half else torch.float32
        loaded = load_upscaler(upscaler.path, self._device, dtype)
        heartbeat.watch(loaded.module, self._alive)
        return loaded

    def _hash_of(self, path: Path) -> Future[str]:
        return self._hashing.submit(_hash_or_empty, self._hashes, path)


def _addon_hash_or_empty(hashes: Hashes, addon: NetworkFile | EmbeddingFile) -> str:
    try:
        if isinstance(addon, NetworkFile):
            return network_hash(addon, hashes)
        return embedding_hash(addon, hashes)
    except OSError:
        return ""


def _hash_or_empty(hashes: Hashes, path: Path) -> str:
    try:
        return hashes.of(path)
    except OSError:
        # The file was deleted while in use; the infotext omits an empty hash.
        return ""
