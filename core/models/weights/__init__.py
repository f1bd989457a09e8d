"""Checkpoint files: headers, keys, configs."""
