"""The supported families of checkpoints, and what their UNets predict."""

from __future__ import annotations

from typing import Literal

# Stable Diffusion 1.x, 2.x and XL.
Family = Literal["sd1", "sd2", "sdxl"]
Prediction = Literal["epsilon", "v_prediction"]
