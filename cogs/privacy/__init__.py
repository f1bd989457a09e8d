"""/privacy: a member's own data, exported or deleted."""
