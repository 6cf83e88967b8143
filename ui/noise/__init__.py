"""Sections of the Noise page."""
