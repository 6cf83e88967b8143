"""Where tasks run.

Processes of this machine, its GPU, or a Ray cluster.
"""
