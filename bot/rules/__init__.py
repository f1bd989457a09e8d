"""What a server decides: its settings, its blocked words, the values it takes."""
