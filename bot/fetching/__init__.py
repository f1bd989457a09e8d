"""Downloading a model for its owner. Only ``python run.py fetch`` uses this: the bot is offline."""
