"""Measurements over several runs.

Defences side by side, clean-label attacks, backdoor smoothing.
"""
