"""The generation core: requests, the waiting line and the engine. Knows no Discord.

Importing this package, and everything listed here, does not import torch: that happens only in
the engine process.
"""

from core.config import EngineConfig
from core.errors import PenultimateError
from core.events import Cancelled, Failed, Finished, Image, Progress, Queued, Restarting, Started
from core.models.catalogue import Card, Model, Vae
from core.notes import Note
from core.request import GenerationRequest, HiresFix, draw_seed
from core.work import Work

__all__ = [
    "Cancelled",
    "Card",
    "EngineConfig",
    "Failed",
    "Finished",
    "GenerationRequest",
    "HiresFix",
    "Image",
    "Model",
    "Note",
    "PenultimateError",
    "Progress",
    "Queued",
    "Restarting",
    "Started",
    "Vae",
    "Work",
    "draw_seed",
]
