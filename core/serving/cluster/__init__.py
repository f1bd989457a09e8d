"""Engines on the computers of a Ray cluster."""
