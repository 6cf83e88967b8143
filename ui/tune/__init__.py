"""Sections of the Tune page."""
