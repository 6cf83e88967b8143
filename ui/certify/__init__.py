"""Sections of the Certify page."""
