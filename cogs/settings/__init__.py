"""/settings: a panel for a member's default values."""
