"""Images as files: written with their parameters inside, read without trusting them; enlarged."""

from core.pictures.upscaling import upscale

__all__ = ["upscale"]
