"""Images in, poisoned images out.

Datasets and their readers, one decoder for pictures, triggers, poisoning: NumPy and Pillow alone.
"""
