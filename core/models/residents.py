"""Checkpoints kept in memory: on the device, or parked in main memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from core.errors import Refused
from core.families import Family
from core.models.catalogue import Model, Vae
from core.models.masters import Master
from core.models.networks.model_networks import ModelNetworks
from core.models.vae import LoadedVae
from core.models.weights import checkpoint
from core.sampling.schedules import NoiseSchedule
from core.text.conditioning import TextConditioner


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
    networks: ModelNetworks
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


class Held(Exception):
    """A model cannot be loaded now: there is no room beside ``names``, which are being used.

    It can be as soon as one of them is let go of. No error of a request's: the engine waits.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"no memory beside {', '.join(names)}")
        self.names = names


class Resident:
    """A checkpoint that stays in memory between requests: on the device, or parked beside it.

    ``modules`` are all of its networks, and ``make`` makes what is used of them, once they are on
    the device. Without a ``master`` they are there already, and cannot be parked.
    """

    def __init__(
        self,
        model: Model,
        modules: Sequence[nn.Module],
        make: Callable[[], LoadedModel],
        master: Master | None = None,
    ) -> None:
        self.model = model
        self.on_device = master is None
        self.master = master
        self._modules = modules
        self._make = make
        self._loaded: LoadedModel | None = None
        self._dtypes = self._precisions()

    def handle(self, model: Model) -> LoadedModel:
        """Make the object that requests reference while they use these weights as ``model``."""
        self._loaded = self._loaded or self._make()
        return replace(self._loaded, model=model)

    def bring_back(self, device: torch.device) -> None:
        """Copy parked weights to the device. Out of memory, they are as parked as before."""
        if self.on_device or self.master is None:
            return
        self.master.upload(device)
        for module, dtype, parked in zip(
            self._modules, self._dtypes, self._precisions(), strict=True
        ):
            # A VAE that overflowed stays in fp32.
            if dtype != parked:
                module.to(dtype)
        self.on_device = True

    def park(self) -> None:
        """Free the device's copy of the weights."""
        assert self.master is not None
        self._dtypes = self._precisions()
        if self._loaded is not None:
            self._loaded.networks.forget()
        self.master.park()
        self.on_device = False

    def _precisions(self) -> list[torch.dtype]:
        return [next(module.parameters()).dtype for module in self._modules]
