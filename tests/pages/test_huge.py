"""Every page on a run with 10⁵ certified inputs: no error, and no table or figure that grows with their number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.made_up_runs import write_metrics, write_noise, write_votes
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.data.datasets import Dataset
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import store_columns
from certssb_core.runs.inputs import SETS, load_inputs
from certssb_core.runs.run import Run
from certssb_core.store.store import CASES, Store
from ui.kit.pages import PAGES

APP = str(Path(__file__).parents[2] / "app.py")
TRAINED, TESTED, SIDE, MEMBERS = 200, 50_000, 4, 20
MOST_BYTES = 500_000
"""Of one page's elements together; a table of all inputs alone would be some ten times as large."""


@pytest.fixture
def huge(runs_dir, monkeypatch):
    """A finished run of two classes, 50,000 test images of 4 × 4 pixels, clean and triggered."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (TESTED, 1, SIDE, SIDE)).astype(np.float32) / 255
    labels = generator.integers(0, 2, TESTED)
    dataset = Dataset("digits", ("0", "1"), images[:TRAINED], labels[:TRAINED], images, labels)
    monkeypatch.setattr("certssb_core.runs.inputs.load_dataset", lambda config, download=False: dataset)
    settings = {"data.classes": "0,1", "attack.rate": "0.1", "training.members": str(MEMBERS)}
    run = Run.create(override(RunConfig(title="A huge run"), settings), "huge", runs_dir)
    write_noise(run, TRAINED, TESTED, generator)
    write_votes(run, labels, generator)
    _write_results(run, load_inputs(run.config))
    run.log("stage", stage="store")
    run.log("finished", message="done")
    return run


def _write_results(run, inputs) -> None:
    """Certificates of the votes, and a store in which no ball meets another: its ledger is written, not decided."""
    votes, rule = read_run_votes(run), run.config.certification
    table = certification.certify_votes(votes, mode="sample-specific", bound=rule.bound, alpha=rule.alpha)
    count, radii = len(table), table["radius"].to_numpy()
    stored, points = radii > 0, np.concatenate([inputs.test_images(which).reshape(TESTED, -1) for which in SETS])
    whole = {name: table[name].to_numpy(np.int64) for name in ("index", "prediction")}
    columns = whole | {
        "position": np.arange(count),
        "label": whole["prediction"],
        "partner": np.full(count, -1),
        "radius_before": radii,
        "radius_after": radii,
        "distance": np.full(count, np.nan),
        "sigma": table["sigma"].to_numpy(),
        "set": (table["set"] == "triggered").to_numpy(np.uint8),
        "case": np.where(stored, CASES.index("disjoint"), CASES.index("none")).astype(np.uint8),
        "stored": stored.astype(np.uint8),
        "centres": points[stored],
    }
    store_columns.restore(run.store_path, columns)
    table["store_case"] = np.where(stored, "disjoint", "none")
    table["store_prediction"], table["store_radius"] = table["prediction"], table["radius"]
    table.to_csv(run.path / "certificates.csv", index=False)
    with Store.read(run.store_path) as store:
        write_metrics(run, votes, table, store.ledger())


def elements(node):
    for child in node.children.values():
        yield from elements(child) if hasattr(child, "children") else [child]


@pytest.mark.slow
def test_every_page_opens_on_it_and_sends_the_browser_little(huge):
    app = AppTest.from_file(APP, default_timeout=180).run()
    for page in PAGES:
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, (page, app.exception)
        sizes = {str(element.key or element.type): element.proto.ByteSize() for element in elements(app._tree)}
        assert sum(sizes.values()) < MOST_BYTES, (page, sorted(sizes.items(), key=lambda item: -item[1])[:3])
    words = " ".join(str(element.value) for element in app.switch_page("pages/overlaps.py").run().markdown)
    assert "pairs of the first 6,000 of" in words
    app.number_input(key="ledger-page").set_value(99).run()
    [ledger] = [one.value for one in app.dataframe if "case" in one.value and len(one.value) == 1000]
    assert ledger["position"].tolist() == list(range(99_000, 100_000))
