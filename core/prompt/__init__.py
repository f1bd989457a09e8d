"""The prompt language: weights, chunks, prompt editing, choices. No torch."""
