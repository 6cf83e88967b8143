"""Members: the networks that vote.

Models, training alone and batched, voting, and weights on disk.
"""
