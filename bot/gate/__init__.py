"""Who may do what, who sees what, and what is hidden."""
