"""Sigmas, samplers and the noise they start from."""
