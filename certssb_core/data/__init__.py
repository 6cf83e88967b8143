"""Images in, poisoned images out: datasets, triggers and poisoning, in NumPy alone."""
