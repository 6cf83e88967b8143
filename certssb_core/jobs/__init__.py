"""Long work in processes of its own.

Start it, queue it, run several in sequence; forecast and time what it costs.
"""
