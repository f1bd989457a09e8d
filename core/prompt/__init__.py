"""The prompt language: weights, chunks, prompt editing, choices, networks. No torch."""

from core.prompt.tags import Use, networks

__all__ = ["Use", "networks"]
