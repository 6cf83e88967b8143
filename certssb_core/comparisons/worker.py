"""The worker of a measurement: makes the runs that it needs, one after the other, and writes what follows from them."""

from __future__ import annotations

import json

from certssb_core.comparisons.measurement import Measurement, taken_up
from certssb_core.errors import RunError
from certssb_core.jobs import run_sequence
from certssb_core.jobs.worker import carry_out
from certssb_core.runs import files
from certssb_core.runs.run import Run


def work(measurement: Measurement) -> bool:
    """Make the runs that are missing and the result; True if it is there.

    Raises:
        RunError: another worker holds the measurement.
    """
    return carry_out(measurement, lambda: _measure(measurement))


def _measure(measurement: Measurement) -> None:
    config, runs = measurement.config, {}
    for name, settings in config.runs.items():
        measurement.check_stop()
        run = taken_up(name, settings, measurement.runs_dir)
        measurement.log("run", run=name)
        try:
            run_sequence.finish(measurement, run)
        except run_sequence.RunEnded as reason:
            raise RunError(f"{name} did not come to its end: {reason}") from None
        runs[name] = Run(run.path)  # read afresh: its worker has replaced the config
    measurement.log("run", run="the result")
    result = measurement.kind.conclude(config.name, runs)
    files.write_text(measurement.result_path, json.dumps(result, ensure_ascii=False) + "\n")
    measurement.log("finished", message="the result is written")
