"""Checkpoints kept in memory: on the device, or offloaded to the CPU's pinned memory."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import nn

from core.errors import Refused
from core.families import Family
from core.models.catalogue import Model, Vae
from core.models.vae import LoadedVae
from core.models.weights import checkpoint
from core.sampling.schedules import NoiseSchedule
from core.text.conditioning import TextConditioner

_CPU: Final = torch.device("cpu")


@dataclass(eq=False)
class LoadedModel:
    """A checkpoint ready to use.

    :meth:`core.models.loading.Models.load` keeps it on the device while it is referenced.
    """

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
        """First ten hex digits of the file's sha256; of a folder, of its UNet file's.

        Blocks while the hash is being computed.
        """
        return self._hash.result()


@dataclass(frozen=True)
class WeightsKey:
    """What determines the loaded weights: the files with their times and sizes, and the facts.

    So a replaced file is loaded again, while an edited card causes no reload.
    """

    path: Path
    facts: tuple[str | bool, ...]
    stamp: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, entry: Model | Vae) -> WeightsKey:
        """Make the key of a model or VAE. Raises :class:`Refused` when a file is missing."""
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
class Resident:
    """A checkpoint that stays in memory between requests, and all of its ``modules``."""

    loaded: LoadedModel
    modules: tuple[nn.Module, ...]

    def handle(self, model: Model) -> LoadedModel:
        """Make the object that requests reference while they use these weights as ``model``."""
        return replace(self.loaded, model=model)

    @property
    def on_device(self) -> bool:
        """Whether the weights are on the device, not offloaded."""
        return next(self.loaded.unet.parameters()).device == self.loaded.device

    def offload(self) -> None:
        """Move the weights to pinned CPU memory, from where copying back is fast."""
        for module in self.modules:
            module.to(_CPU)
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.data = tensor.data.pin_memory()

    def reload(self) -> None:
        """Move offloaded weights back to the device."""
        for module in self.modules:
            module.to(self.loaded.device, non_blocking=True)
