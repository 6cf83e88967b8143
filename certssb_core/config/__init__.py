"""Settings of a run.

``schema`` holds every number once, with unit and range; ``parse`` reads settings from outside; ``presets`` names
instances of the schema.
"""
