"""/config: what a server's owners decide."""
