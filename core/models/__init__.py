"""What models and VAEs there are, and how they are loaded."""
