"""The prompt language: a text to weighted chunks, prompt editing, choices. No torch."""
