"""The queue and the engine's client in the bot's process, and the engine's process."""
