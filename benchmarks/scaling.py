"""Time the making of members against their number, training images and workers.

    python -m benchmarks.scaling [--preset digits] [--members 16]

Digits by default, so that it takes a minute; one number is varied, the others stay. Writes results/scaling.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.training import members
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.pipeline.engines.local import available_cores
from certssb_core.runs.inputs import load_inputs

KEPT = ("members", "workers", "train_images", "seconds", "member_epochs_per_second", "peak_memory_bytes")


def measure(preset: str = "digits", count: int = 16) -> dict[str, Any]:
    config = PRESETS[preset]
    inputs = load_inputs(config)
    images = len(inputs.poisoned.labels)

    def made(number: int, **settings: int) -> dict[str, Any]:
        changed = override(config, {name.replace("__", "."): str(value) for name, value in settings.items()})
        found = members(changed, load_inputs(changed), number)
        return {name: found[name] for name in KEPT}

    cores = available_cores()
    workers = sorted({1, *(2**power for power in range(cores.bit_length())), cores})
    return {
        "preset": preset,
        "in members": [made(count * times) for times in (1, 2, 4)],
        "in images": [made(count, data__max_train=images * share // 4) for share in (1, 2, 4)],
        "in workers": [made(count, training__workers=number) for number in workers],
    }


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured times, in words."""
    varied = {"in members": "members", "in images": "train_images", "in workers": "workers"}
    return [
        (
            f"scaling {name}: {one[varied[name]]:,} ({facts['preset']})",
            f"{one['member_epochs_per_second']:.1f} member-epochs per second, "
            f"{one['peak_memory_bytes'] / 2**30:.2f} GiB",
        )
        for name in varied
        for one in facts[name]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    facts = measure(settings.preset, settings.members)
    record.show(table(facts))
    record.write("scaling", facts, settings.out)


if __name__ == "__main__":
    main()
