"""Draws, trains and measures the demo model: a tiny Stable Diffusion that needs no GPU."""
