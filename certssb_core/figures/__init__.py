"""Figures: pure builders, data in, plotly figure out."""
