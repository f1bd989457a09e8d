"""What the bot's owner can watch: metrics, health, and the day as a picture."""
