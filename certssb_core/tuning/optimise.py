"""Make a study's trials: propose settings, make a run with them, report its values to Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.jobs import run_sequence
from certssb_core.jobs.worker import carry_out
from certssb_core.runs.run import Run
from certssb_core.tuning import ranges
from certssb_core.tuning.study import OBJECTIVES, Study, StudyConfig, trial_name

FAILURES_IN_A_ROW = 3
"""A study stops after this many: the next one would most likely fail, too."""
FEWEST_FOR_IMPORTANCE = 4

optuna.logging.set_verbosity(optuna.logging.WARNING)


class TrialFailed(Exception):
    """No value came of the trial; the message says why."""


def work(study: Study) -> bool:
    """Make the remaining trials of ``study``; True if it has them all.

    Raises:
        RunError: another worker holds the study.
    """
    return carry_out(study, lambda: _make_trials(study))


def propose(config: StudyConfig, earlier: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The settings of the next trial: the same for the same study and the same earlier trials.

    Each proposal is seeded by the study's seed and its own number, so an interrupted study goes on as if it had
    not been.
    """
    seed = int(np.random.SeedSequence([config.seed, len(earlier)]).generate_state(1)[0])
    study = optuna.create_study(directions=_directions(config), sampler=optuna.samplers.TPESampler(seed=seed))
    study.add_trials(earlier)
    return study.ask(distributions(config)).params


def distributions(config: StudyConfig) -> dict[str, BaseDistribution]:
    """The study's ranges in Optuna's terms."""
    kinds = ranges.tunable()
    found: dict[str, BaseDistribution] = {}
    for key, values in config.ranges.items():
        if isinstance(values, ranges.Choices):
            found[key] = CategoricalDistribution(values.choices)
        elif kinds[key] == "whole number":
            found[key] = IntDistribution(int(values.low), int(values.high), log=values.log)
        else:
            found[key] = FloatDistribution(values.low, values.high, log=values.log)
    return found


def importance(study: Study) -> pd.DataFrame:
    """Share of each objective's variance over the trials that each setting explains (fANOVA).

    Returns:
        Columns ``objective, setting, share`` (in [0, 1], summing to 1 per objective); no rows for fewer than
        ``FEWEST_FOR_IMPORTANCE`` finished trials, and none for an objective in which they do not differ.
    """
    found, rows = study.optuna(), list[dict[str, Any]]()
    if found is None:
        return pd.DataFrame(rows, columns=["objective", "setting", "share"])
    done = found.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    for place, name in enumerate(study.config.objectives):
        if len(done) < FEWEST_FOR_IMPORTANCE or len({trial.values[place] for trial in done}) < 2:
            continue
        shares = get_param_importances(
            found,
            evaluator=FanovaImportanceEvaluator(seed=study.config.seed),
            target=lambda trial, place=place: trial.values[place],  # type: ignore[misc]
        )
        rows += [{"objective": name, "setting": key, "share": share} for key, share in shares.items()]
    return pd.DataFrame(rows, columns=["objective", "setting", "share"])


def _make_trials(study: Study) -> None:
    found, config, failures = _open(study), study.config, 0
    while True:
        trials = found.get_trials(deepcopy=False)
        at_work = next((trial for trial in trials if not trial.state.is_finished()), None)
        if at_work is None:
            if len(trials) >= config.trials:
                return _conclude(study, trials)
            study.check_stop()
            found.add_trial(_proposed(study, trials))
            continue
        number, name = at_work.number, at_work.user_attrs["run"]
        study.log("trial", number=number + 1, run=name, settings=at_work.params)
        try:
            values = _tried(study, name, number + 1, at_work.params)
        except TrialFailed as reason:
            study.log("told", number=number + 1, run=name, message=f"failed: {reason}")
            found.tell(number, state=TrialState.FAIL)
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                raise RunError(f"{failures} trials failed one after the other; the last: {reason}") from None
        else:
            study.log("told", number=number + 1, run=name, **dict(zip(config.objectives, values, strict=True)))
            found.tell(number, values)
            failures = 0


def _conclude(study: Study, trials: Sequence[FrozenTrial]) -> None:
    """Log the end of a study.

    Raises:
        RunError: no trial came to its end.
    """
    if not any(trial.state == TrialState.COMPLETE for trial in trials):
        reason = study.trials()[-1].message
        raise RunError(f"none of the {len(trials)} trials came to its end; the last {reason}")
    study.log("finished", message="all trials are made")


def _open(study: Study) -> optuna.Study:
    """The journal, begun if there is none, without the half line that a power cut may have left."""
    if study.journal.exists():
        written = study.journal.read_bytes()
        if not written.endswith(b"\n"):
            with study.journal.open("r+b") as file:
                file.truncate(written.rfind(b"\n") + 1)
    # The lock by a link, Optuna's default, asks for special rights on Windows.
    backend = JournalFileBackend(str(study.journal), lock_obj=JournalFileOpenLock(str(study.journal)))
    return optuna.create_study(
        study_name=study.name,
        storage=optuna.storages.JournalStorage(backend),
        directions=_directions(study.config),
        load_if_exists=True,
    )


def _directions(config: StudyConfig) -> list[StudyDirection]:
    chosen = [OBJECTIVES[name].maximise for name in config.objectives]
    return [StudyDirection.MAXIMIZE if maximise else StudyDirection.MINIMIZE for maximise in chosen]


def _proposed(study: Study, earlier: Sequence[FrozenTrial]) -> FrozenTrial:
    """The next trial with all its settings and the name of its run: one line of the journal, there or not."""
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=propose(study.config, earlier),
        distributions=distributions(study.config),
        user_attrs={"run": trial_name(study.name, len(earlier) + 1)},
    )


def _tried(study: Study, name: str, number: int, settings: dict[str, Any]) -> tuple[float, ...]:
    """Finish the trial's run, from whatever state it is in, and read its objectives."""
    try:
        config = ranges.applied(study.config.base, settings)
        config = config.model_copy(update={"title": _title(study, number, settings)})
        run = _run(study, name, config)
        run_sequence.finish(study, run)
        return tuple(OBJECTIVES[objective].read(run.metrics) for objective in study.config.objectives)
    except (ConfigError, RunError, run_sequence.RunEnded) as error:
        raise TrialFailed(str(error)) from None


def _run(study: Study, name: str, config: RunConfig) -> Run:
    """The trial's run, made if there is none.

    Raises:
        RunError: another run has its name, or it cannot be made.
    """
    if not (study.runs_dir / name).exists():
        return Run.create(config, name, study.runs_dir)
    run = Run.open(name, study.runs_dir)
    if run.config.title != config.title:
        raise RunError(f"there is another run named {name}")
    return run


def _title(study: Study, number: int, settings: dict[str, Any]) -> str:
    words = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items())
    return f"Trial {number} of the study {study.name}: {', '.join(words)}"[:200]
