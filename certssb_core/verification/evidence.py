"""The files of a finished run, read afresh, and the comparison of recorded with recomputed values."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.config.schema import RunConfig
from certssb_core.errors import DataError, Differs, NotPossible, RunError
from certssb_core.runs import data_record, store_columns
from certssb_core.runs.files import CAPSULE
from certssb_core.runs.inputs import SETS, Inputs, attacked_inputs, crafted_images, load_dataset
from certssb_core.runs.run import Run
from certssb_core.verification.vote_selection import SELECTIONS, CertifyingVotes, RecordedVotes

TOLERANCE = 1e-9
"""Absolute and relative; the two ways of computing agree to about 1e-12."""


def same(
    name: str, recorded: ArrayLike, recomputed: ArrayLike, rows: ArrayLike, *, tolerance: float = TOLERANCE
) -> None:
    """Compare ``(n, …)`` values: floats within ``tolerance``, NaN equal to NaN, anything else exactly.

    Raises:
        Differs: naming the first of the ``n`` ``rows`` where they do not agree.
    """
    recorded, recomputed = (np.asarray(values) for values in (recorded, recomputed))
    if recorded.shape != recomputed.shape:
        raise Differs(f"{name}: recorded in shape {recorded.shape}, recomputed {recomputed.shape}")
    kinds = {recorded.dtype.kind, recomputed.dtype.kind}
    if "f" in kinds and kinds <= set("fiub"):
        equal = np.isclose(recorded, recomputed, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        equal = recorded == recomputed
    if not equal.all():
        row = int(np.argmin(equal.reshape(len(equal), -1).all(axis=1)))
        place = (row, *np.argwhere(~equal[row])[0])
        raise Differs(f"{np.asarray(rows)[row]}: {name} is {recorded[place]}, recomputed {recomputed[place]}")


class Evidence:
    """The files of a run; a damaged one fails each check that needs it."""

    def __init__(self, run: Run) -> None:
        self.run = Run(run.path)
        self.imported = (run.path / CAPSULE).exists()

    @cached_property
    def capsule(self) -> dict[str, Any]:
        """The description inside the capsule that a run came as."""
        return json.loads((self.run.path / CAPSULE).read_text(encoding="utf-8"))

    @property
    def config(self) -> RunConfig:
        return self.run.config

    @property
    def noise_seed(self) -> int | None:
        """Seed of the noise; None where it is secret and not here."""
        try:
            return self.run.noise_seed
        except RunError:
            return None

    @property
    def kind(self) -> CertificateKind:
        """The kind of certificate that the run makes."""
        return CERTIFICATES[self.config.certification.certificate]

    def hashed(self, name: str) -> bool:
        """True where the manifest names this file, so that it has to be here."""
        return name in self.run.manifest["sha256"]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return self.run.metrics

    @cached_property
    def votes(self) -> dict[str, np.ndarray]:
        return self.run.arrays("votes")

    @cached_property
    def sigma(self) -> dict[str, np.ndarray]:
        return self.run.arrays("sigma")

    @cached_property
    def certifying(self) -> list[CertifyingVotes]:
        """The votes that certify the inputs of each test set, chosen again."""
        select = SELECTIONS[self.config.noise.test_map]
        return [select(RecordedVotes(test_set, self.votes, self.sigma, self.config)) for test_set in SETS]

    @cached_property
    def table(self) -> pd.DataFrame:
        """certificates.csv, read anew."""
        return pd.read_csv(self.run.path / "certificates.csv")

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The table; with each row's votes ``(M,)`` where an image reaches several members, or votes have margins, with
        those margins in steps, and with the members' ranks ``(M, C)``, where votes have them."""
        ballots = [read.ballots for read in self.certifying]
        columns: dict[str, list[np.ndarray]] = {}
        if self.config.training.spread > 1 or self.kind.margins:
            columns["cast"] = [one for read in ballots for one in read.votes.T]
        if self.kind.margins:
            columns["margins"] = [one for read in ballots if read.margins is not None for one in read.margins.T]
        if self.kind.ranks:
            columns["ranks"] = [one for read in ballots for one in np.moveaxis(np.asarray(read.ranks), 1, 0)]
        return self.table.assign(**{name: pd.Series(of, self.table.index, object) for name, of in columns.items()})

    @cached_property
    def rows(self) -> np.ndarray:
        """Names of the table's rows: ``clean 0``, …"""
        return (self.table["set"].astype(str) + " " + self.table["index"].astype(str)).to_numpy(object)

    @cached_property
    def vote_columns(self) -> list[str]:
        return [name for name in self.table if name.startswith("votes_")]

    @cached_property
    def ledger(self) -> dict[str, np.ndarray]:
        if not self.kind.balls:
            raise NotPossible(f"certificates in {self.kind.unit} are no balls, so nothing is stored")
        columns = store_columns.read(self.run.store_path)
        store_columns.check(columns)
        return columns

    @cached_property
    def entries(self) -> np.ndarray:
        """Names of the ledger's entries: ``ledger entry 0 (clean 0)``, …"""
        keys = zip(self.ledger["set"], self.ledger["index"], strict=True)
        return np.array(
            [f"ledger entry {at} ({SETS[which]} {index})" for at, (which, index) in enumerate(keys)], object
        )

    @cached_property
    def inputs(self) -> Inputs:
        """The images, from the dataset; where a capsule says that data lies is not followed.

        Raises:
            NotPossible: the dataset is not here.
            Differs: it is not the data that the run was made from.
        """
        config = self.config
        if self.imported:
            config = config.model_copy(update={"data": config.data.model_copy(update={"root": None})})
        try:
            dataset = load_dataset(config)
        except DataError as error:
            raise NotPossible(f"needs the dataset: {error}") from None
        try:
            data_record.check(self.run, dataset)
        except DataError as error:
            raise Differs(str(error)) from None
        return attacked_inputs(config, dataset, crafted=crafted_images(self.run))

    @cached_property
    def images(self) -> np.ndarray:
        """The ledger's inputs as the dataset has them: ``(entries, d)`` float32."""
        sets = np.stack([self.inputs.test_images(which) for which in SETS])
        images = sets[self.ledger["set"], self.ledger["index"]]
        return images.reshape(len(images), -1)

    @cached_property
    def points(self) -> np.ndarray:
        """The ledger's inputs ``(entries, d)`` float64, NaN where neither the dataset nor a ball has them."""
        try:
            return self.images.astype(np.float64)
        except NotPossible:
            points = np.full((len(self.entries), self.ledger["centres"].shape[1]), np.nan)
            points[self.ledger["stored"] == 1] = self.ledger["centres"]
            return points


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
