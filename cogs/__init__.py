"""One feature a file: a cog parses, asks, and answers, nothing more."""
