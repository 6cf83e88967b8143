"""Noise: laws and seeds, sample-specific σ*, preprocessing of noisy images."""
