"""Engines run tasks.

Processes of this machine, its GPU, or a Ray cluster.
"""
