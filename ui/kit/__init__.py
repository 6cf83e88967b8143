"""Shared by every page.

Runs and tables read from disk, charts, controls, forms, texts, jobs, the canvas.
"""
