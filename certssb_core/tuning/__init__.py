"""Studies: searches over settings.

What is varied, the trials, and the loop that makes them.
"""
