"""/privacy: one's own data, as a file or deleted."""
