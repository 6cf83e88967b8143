"""Settings of a run.

``schema`` holds every number once, with unit and range; ``presets`` names instances of it.
"""
