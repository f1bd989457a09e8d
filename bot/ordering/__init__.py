"""From what somebody asks for to a request: layers, axes, start images."""
