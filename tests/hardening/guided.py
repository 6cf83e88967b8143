"""One reader fed by a fuzzer that sees which lines an input reaches: ``python -m tests.hardening.guided NAME …``.

The fuzzer, atheris, proposes the random draws that inputs are made of, so every reader of :mod:`tests.hardening.inputs`
serves as it is. Run by ``python -m tests.hardening guided``, a process per reader; ends with 0 if nothing failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from pathlib import Path

INSTRUMENTED = ["certssb_core", "ui", "tests.hardening.inputs"]


class Draws(random.Random):
    """Random numbers read from bytes; zeros once they end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def getrandbits(self, k: int) -> int:
        count = -(-k // 8)
        part = self._data[self._at : self._at + count]
        self._at += count
        return int.from_bytes(part.ljust(count, b"\0"), "little") >> (8 * count - k)

    def random(self) -> float:
        return self.getrandbits(53) / 2**53


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader")
    parser.add_argument("--run", type=Path, required=True, help="a finished run")
    parser.add_argument("--capsule", type=Path, required=True, help="its capsule")
    parser.add_argument("--folder", type=Path, required=True, help="where the reader may write")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.hardening import inputs
    warnings.simplefilter("ignore")  # Pillow warns of what is then refused
    work = chosen.folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    reader = inputs.readers(chosen.run, chosen.capsule, chosen.folder)[chosen.reader]

    def one(data: bytes) -> None:
        if found := inputs.attack(reader, [("guided", Draws(data))], work).failures:
            raise AssertionError(found)

    options = {"max_total_time": chosen.seconds, "seed": chosen.seed, "rss_limit_mb": 0, "max_len": 4096}
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, f"-artifact_prefix={chosen.folder}/"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
