"""Attacks on a run's certificates.

On test inputs, on the training set, on the store's order of arrival.
"""
