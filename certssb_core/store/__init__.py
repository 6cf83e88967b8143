"""The store: certified balls that never contradict each other.

The file, the storage-update, exact nearest balls, pairs of balls that overlap.
"""
