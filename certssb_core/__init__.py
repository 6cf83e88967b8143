"""Certified backdoor defence by sample-specific randomised smoothing (Cert-SSBD, arXiv 2504.21730).

The names below are the Python door: the whole job from a notebook. They are loaded when first used, so that importing
the package is fast and loads torch only where it is needed.

Settings: :class:`RunConfig`, :data:`PRESETS`, :func:`override`.
Data: :func:`load_inputs` loads, poisons and triggers; :func:`attacked_inputs` takes a :class:`Dataset` of your own.
Stages: :func:`find_sigma` → :func:`train_ensemble` → :func:`collect_votes` → :func:`certify_votes` → :func:`assess`.
Runs: :func:`run_experiment` makes one, :func:`open_run` opens one, :func:`read_run_votes` reads its votes and
:func:`run_inputs` its images; a :class:`LoadedEnsemble` answers for new images.
"""

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from certssb_core.version import VERSION as __version__

if TYPE_CHECKING:
    from certssb_core.certify.bounds.registry import BOUNDS
    from certssb_core.config.parse import override
    from certssb_core.config.presets import PRESETS
    from certssb_core.config.schema import RunConfig
    from certssb_core.data.datasets import DATASETS, Dataset
    from certssb_core.errors import ConfigError, DataError, PoisonError, RunError, StoreError
    from certssb_core.jobs.launch import run_experiment
    from certssb_core.pipeline.in_memory import Ensemble, collect_votes, craft_poisons, find_sigma, train_ensemble
    from certssb_core.query.ensemble import LoadedEnsemble
    from certssb_core.results.certification import assess, certify_votes, joint_budget
    from certssb_core.results.votes import RunVotes, read_run_votes
    from certssb_core.runs.inputs import Inputs, attacked_inputs, load_dataset, load_inputs, run_inputs
    from certssb_core.runs.run import Run
    from certssb_core.store.store import Store

    open_run = Run.open

_MODULES = {
    "certify.bounds.registry": ("BOUNDS",),
    "config.presets": ("PRESETS",),
    "config.parse": ("override",),
    "config.schema": ("RunConfig",),
    "data.datasets": ("DATASETS", "Dataset"),
    "errors": ("ConfigError", "DataError", "PoisonError", "RunError", "StoreError"),
    "jobs.launch": ("run_experiment",),
    "pipeline.in_memory": ("Ensemble", "collect_votes", "craft_poisons", "find_sigma", "train_ensemble"),
    "query.ensemble": ("LoadedEnsemble",),
    "results.certification": ("assess", "certify_votes", "joint_budget"),
    "results.votes": ("RunVotes", "read_run_votes"),
    "runs.inputs": ("Inputs", "attacked_inputs", "load_dataset", "load_inputs", "run_inputs"),
    "runs.run": ("Run",),
    "store.store": ("Store",),
}
_PLACES = {name: (module, name) for module, names in _MODULES.items() for name in names}
_PLACES["open_run"] = ("runs.run", "Run.open")

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    globals()[name] = attrgetter(attribute)(import_module(f"{__name__}.{module}"))
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
