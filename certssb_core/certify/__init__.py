"""Certification: votes become promises.

Bounds, certificates of every kind, the choice of a test input's σ, metrics.
"""
