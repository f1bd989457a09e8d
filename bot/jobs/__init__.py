"""Accepting jobs and following them to their end."""
