"""Sections of the Overlaps page."""
