"""Denoisers: one-step denoising by a diffusion model.

A small one of our own, and any model of the diffusers library.
"""
