"""A run's folder.

What lies there, how it is written and checked, its images, and what a server allows.
"""
