"""From what somebody asks for to a request: options, defaults, choices, axes, pictures."""
