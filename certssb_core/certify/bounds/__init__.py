"""Confidence bounds on class probabilities.

``registry`` lists them; each other file proves one.
"""
