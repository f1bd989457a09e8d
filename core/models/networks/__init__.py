"""Networks: LoRA and its kin, merged into weights or added row by row to one UNet call."""

from core.models.networks.model_networks import applied

__all__ = ["applied"]
