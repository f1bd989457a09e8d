"""A server's rules: its settings, its blocked words, the values they may have."""
