"""Models and VAEs: the catalogue, cards, and loading."""
