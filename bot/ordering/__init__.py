"""Make a request from what is asked for: layers, axes, start images."""
