"""/preset: named sets of values."""
