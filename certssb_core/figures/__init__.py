"""Figures: data in, plotly figure out.

Pure builders, one file per picture.
"""
