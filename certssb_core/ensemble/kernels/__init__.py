"""Layers of k networks, each on images of its own, as one kernel of a GPU (Triton): :class:`..batched.Stacking` calls
them, and nobody loads them without a GPU.

Images ``(k, n, C, H, W)`` lie channels last in memory, an order that torch's other operations keep. Sums are float32
and have a fixed order, so the same images give the same bits.
"""
