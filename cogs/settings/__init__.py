"""/settings: the values of a member's own."""
