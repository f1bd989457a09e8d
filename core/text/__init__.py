"""Text encoders: prompts to conditionings at any clip skip, and guidance."""
