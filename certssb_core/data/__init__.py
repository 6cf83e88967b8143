"""Load datasets and poison them: readers, picture files, triggers and poisoning, with NumPy and Pillow alone."""
