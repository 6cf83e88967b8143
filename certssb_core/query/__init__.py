"""Ask a finished run about an image.

The store answers first, else the members vote, in a process of its own.
"""
