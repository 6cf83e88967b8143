"""Tasks on a Ray cluster that shares no folder with the driver.

A task reads files of its run's folder and may write some there. On a cluster it finds a copy of what it reads: every
file travels as an object named by its content, once per node, and lies there once for all processes. What it writes
flows back as bytes, and the driver puts it where the task meant it to be. So a task is the same function on any engine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certssb_core.errors import EngineError, RunError
from certssb_core.pipeline.engines.local import Task, measured, peak_memory
from certssb_core.runs import files
from certssb_core.runs.files import SECRET

READ = ("config.json", SECRET, "release.json", "scratch.safetensors", "sigma.safetensors", "models/*")
"""Files that tasks read in a run's folder; falsification also reads ``members/shard-*``."""
RETRIES = 8
"""Number of times a task is sent again after its process or node was lost."""
PACKAGE = Path(__file__).parents[2]
"""The code that goes to the nodes."""
_CLEANING_SECONDS, _KNOCKING_SECONDS = 10.0, 10.0


@dataclass(frozen=True)
class Luggage:
    """The files of a run's folder that its tasks read.

    Attributes:
        name: of all contents together; folders: to be there, empty or not.
        contents: per file its sha256 and the reference to its bytes.
    """

    name: str
    folders: tuple[str, ...]
    contents: dict[str, tuple[str, Any]]


class RayEngine:
    """Single-threaded tasks (on a GPU: one task per device) wherever the cluster has room."""

    def __init__(self, address: str | None, *, device: str, workers: int | None, reads: Sequence[str] = ()) -> None:
        """Join the cluster at ``address``; None: the one of ``RAY_ADDRESS``, else one on this machine.

        Args:
            device: cpu or cuda, of every node; workers: tasks at once, default: one per core or GPU of the cluster.
            reads: patterns of files in a run's folder that tasks read beside :data:`READ`.

        Raises:
            RunError: Ray is not installed, or there is no cluster.
        """
        ray = imported()
        self._device, self._workers, self._reads = device, workers, (*READ, *reads)
        self._token = uuid.uuid4().hex
        self._peaks: dict[str, int] = {}
        self._sent: dict[Any, Any] = {}
        try:
            _knock(address)
            ray.init(
                address=address,
                runtime_env={"py_modules": [str(PACKAGE)]},
                log_to_driver=False,
                logging_level="error",
            )
        except (OSError, RuntimeError, ValueError) as error:
            where = f"at {address}" if address else "on this machine"
            raise RunError(f"no Ray cluster can be joined {where}: {error}") from None
        needs = {"num_cpus": 1} if device == "cpu" else {"num_cpus": 1, "num_gpus": 1}
        self._carry_out = ray.remote(max_retries=RETRIES, **needs)(carry_out)

    def map(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Yield results as they finish, what they wrote already in place; as many tasks ahead as fit twice.

        Tasks in hand when the caller stops run on until :meth:`close`: Ray can abort a driver that cancels a task just
        as it finishes.

        Raises:
            EngineError: a task was lost with its process or node, again and again.
        """
        import ray

        queue = iter(tasks)
        pending: dict[Any, Task] = {}
        luggage: dict[Any, Any] = {}
        try:
            while True:
                while len(pending) < 2 * self._room() and (task := next(queue, None)) is not None:
                    home = task[0]
                    if home not in luggage:
                        luggage[home] = self._packed(home)
                    work = ray.cloudpickle.dumps((function, task))
                    pending[self._carry_out.remote(work, home, luggage[home], self._token)] = task
                if not pending:
                    return
                for finished in ray.wait(list(pending), num_returns=1)[0]:
                    task = pending.pop(finished)
                    result, written, process, peak = ray.cloudpickle.loads(ray.get(finished))
                    self._peaks[process] = peak
                    for name, content in written.items():
                        files.write_bytes(task[0] / name, content)
                    yield task, result
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"the cluster lost a task {RETRIES + 1} times ({type(error).__name__}: out of memory?). "
                "Finished members are kept: resume the run"
            ) from None

    def peak_memory(self) -> int:
        """Sum of the peak resident memory of this process and of every process of the cluster that worked, bytes."""
        return peak_memory() + sum(self._peaks.values())

    def close(self) -> None:
        """Remove the run's files from the nodes, and leave the cluster."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        clean = ray.remote(num_cpus=0, max_retries=0)(clean_up)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        cleaned = [
            clean.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(self._token)
            for node in nodes
        ]
        ray.wait(cleaned, num_returns=len(cleaned), timeout=_CLEANING_SECONDS)
        ray.shutdown()

    def _room(self) -> int:
        """Tasks that the cluster can work on at once, as it is now."""
        import ray

        there = int(ray.cluster_resources().get("CPU" if self._device == "cpu" else "GPU", 0))
        return max(1, min(there, self._workers or there))

    def _packed(self, home: Path) -> Luggage:
        """The files that tasks read; one that was sent before is not sent again."""
        import ray

        contents = {}
        for path in sorted(path for pattern in self._reads for path in home.glob(pattern) if path.is_file()):
            digest = files.sha256(path)
            if digest not in self._sent:
                self._sent[digest] = ray.put(path.read_bytes())
            contents[path.relative_to(home).as_posix()] = (digest, self._sent[digest])
        folders = tuple(sorted(path.name for path in home.iterdir() if path.is_dir()))
        named = "\n".join([str(home), *folders, *(f"{name} {digest}" for name, (digest, _) in contents.items())])
        return Luggage(hashlib.sha256(named.encode()).hexdigest(), folders, contents)


def imported() -> Any:
    """Ray.

    Raises:
        RunError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise RunError("training.engine ray needs the package ray: pip install ray, here and on every node") from None
    return ray


def carry_out(work: bytes, home: Path, luggage: Luggage, token: str) -> bytes:
    """On a node: run a task in a copy of its run's folder.

    Args:
        work: the function and the task, pickled; paths in it lie in ``home``, the folder on the driver's machine.

    Returns:
        pickled: its result, the files it wrote, which process it was, and that process's peak memory.
    """
    import ray
    import torch

    torch.set_num_threads(1)
    function, task = ray.cloudpickle.loads(work)
    place = _unpacked(luggage, token)
    here = tuple(place / part.relative_to(home) if _inside(part, home) else part for part in task)
    result, process, peak = measured(function, here)
    written = {}
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink():
            written[path.relative_to(place).as_posix()] = path.read_bytes()
            path.unlink()
    return ray.cloudpickle.dumps((result, written, (_node(), process), peak))


def clean_up(token: str) -> None:
    """On a node: remove the files of a run."""
    shutil.rmtree(_folder(token), ignore_errors=True)


def _knock(address: str | None) -> None:
    """Check that something listens at HOST:PORT; Ray itself would try for minutes.

    Raises:
        OSError, ValueError: nobody does, or it is no such address.
    """
    if address not in (None, "auto", "local"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=_KNOCKING_SECONDS).close()


def _unpacked(luggage: Luggage, token: str) -> Path:
    """This process's copy of a run's folder: links to files that all processes of the node share."""
    import ray

    shared = _folder(token)
    place = shared / str(os.getpid()) / luggage.name
    if place.exists():
        return place
    partial = place.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("", *luggage.folders):
        (partial / folder).mkdir(parents=True, exist_ok=True)
    for name, (digest, reference) in luggage.contents.items():
        if not (shared / digest).exists():
            content = ray.get(reference)
            files.write_bytes(shared / digest, content)
        (partial / name).symlink_to(shared / digest)
    return partial.rename(place)


def _folder(token: str) -> Path:
    return Path(tempfile.gettempdir()) / f"certssb-{token}-{_node()}"


def _node() -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def _inside(part: Any, home: Path) -> bool:
    return isinstance(part, Path) and part.is_relative_to(home)
