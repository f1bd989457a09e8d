"""From the queue in the bot's process to the engine in its own."""
