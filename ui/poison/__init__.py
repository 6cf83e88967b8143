"""Sections of the Poison page."""
