"""Images in, poisoned images out.

Datasets and their readers, triggers, poisoning: NumPy alone.
"""
