"""Noise.

Noise laws and their seeds, the search for each image's σ*, preprocessing and denoising of noisy images.
"""
