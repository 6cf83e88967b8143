"""Runs: config, presets, run folder, pipeline, worker process, command line."""
