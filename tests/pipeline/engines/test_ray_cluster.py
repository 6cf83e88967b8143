"""A real Ray cluster of two nodes on this machine: tasks find what they read, and a run survives the loss of a node."""

import os
import sys

import pytest

from certssb_core.config.schema import TrainingConfig
from certssb_core.errors import RunError
from certssb_core.pipeline.engines.choose import make_engine
from tests.conftest import make_small_run
from tests.pipeline.test_resume import assert_same_votes, run_until

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False, "include_log_monitor": False}


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    utils = pytest.importorskip("ray.cluster_utils", reason="spreading over a cluster needs ray")
    cluster = utils.Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


def on_ray(**settings) -> TrainingConfig:
    return TrainingConfig(engine="ray", device="cpu", **settings)


def test_tasks_read_and_write_their_run_wherever_they_are(cluster, tmp_path):
    def doubled(home, number, beside):
        import ray

        read = int((home / "models" / "base").read_text()) + int(beside.read_text())
        (home / "members" / f"part-{number}").write_text(str(2 * read))
        if number == 9:
            raise ZeroDivisionError("nine")
        return ray.get_runtime_context().get_node_id(), str(home)

    home = tmp_path / "run"
    for name, text in {"models/base": "4", "members/shard-0": "1", "events.jsonl": "not for tasks"}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    engine = make_engine(on_ray(address=cluster.address), reads=["members/shard-*"])
    try:
        found = {task[1]: result for task, result in engine.map(doubled, tasks(home, range(8)))}
        assert sorted(found) == list(range(8))
        assert len({node for node, _ in found.values()}) == 2
        assert str(home) not in {place for _, place in found.values()}
        assert {path.name: path.read_text() for path in home.glob("members/part-*")} == {
            f"part-{number}": "10" for number in range(8)
        }
        (home / "models" / "base").write_text("5")  # a later stage reads what an earlier one wrote
        assert len(list(engine.map(doubled, tasks(home, [8])))) == 1
        assert (home / "members" / "part-8").read_text() == "12"
        with pytest.raises(ZeroDivisionError, match="nine"):
            list(engine.map(doubled, tasks(home, [9])))
        assert engine.peak_memory() > 2**27
    finally:
        engine.close()


def tasks(home, numbers):
    return [(home, number, home / "members" / "shard-0") for number in numbers]


@pytest.mark.slow
def test_a_run_that_loses_a_node_has_the_votes_of_a_local_one(cluster, small_run, tmp_path):
    spread = {"training.engine": "ray", "training.address": cluster.address, "training.workers": "null"}
    run = make_small_run(tmp_path, "spread", **spread)
    worker = run_until(run, "members", 2, deadline=240)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert worker.wait(timeout=240) == 0, run.status().message
    assert_same_votes(run, small_run)


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(RunError, match=r"no Ray cluster can be joined at 127\.0\.0\.1:9"):
        make_engine(on_ray(address="127.0.0.1:9"))


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match="pip install ray"):
        make_engine(on_ray())
