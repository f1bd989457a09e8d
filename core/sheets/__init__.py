"""X/Y sheets: their axes, their cells, and the drawn sheet."""
