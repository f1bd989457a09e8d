"""Checkpoint files: headers, tensor names, configs."""
