"""Cost of 1,000 members of each preset on this machine, from rates measured here.

    python -m benchmarks.costs [PRESET …]        (MNIST and CIFAR-10 under CERTSSB_DATA)

Every preset's own network on its own images is timed for a few seconds, with as many processes as a run has; the cost
is that of members and their votes, without data, σ* and store. A preset whose data are not at hand is left out. Presets
that differ in their attack alone cost the same: one of them stands for all. Writes results/costs.json.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import record
from certssb_core.config.presets import PRESETS
from certssb_core.errors import DataError
from certssb_core.jobs import forecast
from certssb_core.jobs.timing import measure as calibrate

MEMBERS = 1000
STANDING_FOR_ALL = tuple(
    name
    for name in PRESETS
    if not name.startswith(("digits-39-", "mnist-49-")) and not name.endswith(("fourpixel", "blended"))
)


def measure(names: tuple[str, ...] = STANDING_FOR_ALL) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        try:
            measured = calibrate(PRESETS[name])
        except DataError:
            found[name] = {"left_out": "its data are not at hand"}
            continue
        training = PRESETS[name].training.model_copy(update={"members": MEMBERS})
        config = PRESETS[name].model_copy(update={"training": training})
        seconds = forecast.member_seconds(config, measured) * MEMBERS / measured.workers
        found[name] = {
            "seconds": seconds,
            "core_hours": seconds * measured.workers / 3600,
            "disk_bytes": forecast.from_calibration(config, measured).disk_bytes,
            "calibration": asdict(measured),
        }
    return {"members": MEMBERS, "presets": found}


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured costs, in words."""

    def words(one: dict[str, Any]) -> str:
        if "seconds" not in one:
            return one["left_out"]
        minutes, gigabytes = one["seconds"] / 60, one["disk_bytes"] / 1e9
        return f"{minutes:,.1f} min, {one['core_hours']:,.2f} processor hours, {gigabytes:.2f} GB"

    return [(f"{facts['members']:,} members of {name}", words(one)) for name, one in facts["presets"].items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    facts = measure(tuple(settings.presets) or STANDING_FOR_ALL)
    record.show(table(facts))
    record.write("costs", facts, settings.out)


if __name__ == "__main__":
    main()
