"""Commands about what a finished run promises: certificates, budgets, reports, and the answer to one image."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from certssb_core.certify import published_release
from certssb_core.cli.common import (
    FAILED,
    MISUSED,
    AsJson,
    BoundName,
    Mode,
    RunName,
    RunsDir,
    app,
    fail,
    intact,
    print_json,
    print_metrics,
    say,
)
from certssb_core.config.parse import override
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run
from certssb_core.store.store import Store


@app.command()
def certify(
    run: RunName,
    bound: BoundName = None,
    alpha: Annotated[float | None, typer.Option(min=1e-12, max=0.5, help="Failure probability.")] = None,
    mode: Mode = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Certify again from the stored votes, under another bound, α or mode; nothing is trained."""
    from certssb_core.audit.release_corrections import attribution
    from certssb_core.results import certification

    found = intact(run, runs_dir)
    wanted = {"certification.bound": bound, "certification.alpha": alpha}
    config = override(found.config, {key: json.dumps(value) for key, value in wanted.items() if value is not None})
    settings, mode = config.certification, mode or config.noise.test_map
    run_votes = read_run_votes(found)
    table = certification.certify_votes(run_votes, mode=mode, bound=settings.bound, alpha=settings.alpha)
    metrics = certification.assess(run_votes, table, radii=settings.radii)
    promise = certification.promise(config, mode)
    steps = (
        attribution(run_votes, bound=settings.bound, alpha=settings.alpha) if mode == published_release.MODE else None
    )
    chosen: dict[str, Any] = {"mode": certification.label(mode)}
    used = {"bound": settings.bound, "count": int(table["members"].iloc[0])}
    if mode == published_release.MODE:
        used = {"bound": published_release.BOUND.title, "count": published_release.COUNT}
    chosen |= used | {"alpha": settings.alpha, "members": run_votes.members}
    if as_json:
        attributed = {} if steps is None else {"attribution": steps.to_dict("records")}
        print_json(chosen | metrics | {"promise": promise.__dict__} | attributed)
        return
    say("  ".join(f"{key} {value}" for key, value in chosen.items()))
    print_metrics(metrics)
    say(f"Promise: {promise.test_radius}\nCondition: {promise.condition}")
    if steps is not None:
        say("From the release's arithmetic to a certificate, which only the last two rows are:")
        say(steps.round(4).to_string(index=False))


@app.command()
def fixed(
    run: RunName,
    draws: Annotated[int, typer.Option(min=1, max=1_000_000, help="Draws K per test input.")] = 1000,
    jury: Annotated[int, typer.Option(min=1, help="Members per draw.")] = 20,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the draws; default: from the system's randomness.")
    ] = None,
    bound: BoundName = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Certify a test radius of the members as they are: many fresh draws of a jury and of noise per input."""
    from certssb_core.certify.certificate import FIXED
    from certssb_core.pipeline.fixed_ensemble import draw_again
    from certssb_core.results import certification

    found = Run.open(run, runs_dir)
    told = draw_again(found, draws=draws, jury=jury, seed=seed, bound=bound)
    if as_json:
        print_json(told)
        return
    say(f"{draws:,} draws of {jury} members each, seed {told['seed']}, bound {told['bound']}, alpha {told['alpha']:g}")
    print_metrics(told)
    promise = certification.promise(found.config, FIXED)
    say(f"Promise: {promise.test_radius}\nJoint budget: {promise.joint_budget}\nCondition: {promise.condition}")


@app.command()
def curve(
    run: RunName,
    images: Annotated[str, typer.Argument(metavar="SET", help="train, clean or triggered.")],
    index: Annotated[int, typer.Argument(min=0, help="Number of the image in its set.")],
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Compute r(x, σ) of one image on a grid of σ; a run keeps such curves of some images only."""
    from certssb_core.pipeline.sigma_stage import one_curve

    sigma, radius = one_curve(Run.open(run, runs_dir), images, index)
    if as_json:
        print_json({"sigma": sigma.tolist(), "radius": radius.tolist()})
        return
    for level, reached in zip(sigma, radius, strict=True):
        say(f"{level:8.4f} {reached:8.4f}")


@app.command()
def budget(
    run: RunName,
    images: Annotated[int | None, typer.Option(help="n poisoned training images; default: 253, as published.")] = None,
    norm: Annotated[float | None, typer.Option(help="Their norm τ and the test input's; default: the run's.")] = None,
    replaced: Annotated[int, typer.Option(help="Further images replaced by anything, labels included.")] = 0,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Translate "n poisoned images at norm τ" into certified inputs, and back, in every mode of a run."""
    from certssb_core.audit.joint_budget import run_norm, translate

    found = intact(run, runs_dir)
    run_votes = read_run_votes(found)
    norm = run_norm(found) if norm is None else norm
    budgets = translate(run_votes, images=images, norm=norm, replaced=replaced)
    if as_json:
        print_json([one.__dict__ | {"promise": one.promise.__dict__} for one in budgets])
        return
    for one in budgets:
        say(f"test noise {one.mode}, training noise {one.train_map}; {one.right} of {one.inputs} clean inputs right")
        if run_votes.config.training.share < 1:
            counted = f"sees {one.seen:,} of {one.training_images:,} images, and the draw is counted"
            plain = f"saw all {one.training_images:,} images (the draw is not counted)"
            say(f"  A member {counted}" if one.seen < one.training_images else f"  As if every member {plain}")
        if one.replaced:
            say(f"  {one.replaced} further images replaced by anything, labels included")
        say(f"  {one.images} images at norm {one.norm:g}: {one.certified} inputs certified")
        say(f"  at norm {one.norm:g}: up to {one.images_max} images (median {one.images_median}; -1: no move at all)")
        say(f"  {one.images} images: below norm {one.norm_max:.4g} (median {one.norm_median:.4g})")
        say(f"  Promise: {one.promise.joint_budget}\n  Condition: {one.promise.condition}")


@app.command()
def query(
    run: RunName,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    insert: Annotated[
        bool, typer.Option("--insert", help="Store the certificate, so that later images in its ball get its answer.")
    ] = False,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Ask a finished run about an image: a stored ball answers first, else the members vote and are certified."""
    from certssb_core.data.image_file import read_image
    from certssb_core.query.ensemble import LoadedEnsemble

    loaded = LoadedEnsemble(Run.open(run, runs_dir))
    reply = loaded.ask(read_image(image, loaded.shape), insert=insert)
    if as_json:
        print_json(reply.__dict__)
        return
    say(f"answered by {reply.answered_by}: {reply.answer}, certified below {reply.radius:.4g} {reply.unit}")
    say(f"votes {reply.votes} at σ {reply.sigma:.4g}; prediction {reply.prediction}; margin {reply.margin:.4g}")
    if reply.ball is not None:
        say(f"ball {reply.ball}, in order of arrival{', stored just now' * reply.inserted}")
    say(f"Promise: {reply.promise}\nCondition: {reply.condition}")


@app.command()
def stream(run: RunName, runs_dir: RunsDir = None) -> None:
    """Send a finished run a stream of images between its answers, to see certified balls meet; prints the file."""
    from certssb_core.query import stream as streams

    found = Run.open(run, runs_dir)
    streams.make(found, told=lambda done, of: say(f"{done + 1} of {of} ways", file=sys.stderr))
    with Store.read(found.stream_path) as store:
        for case, count in sorted(Counter(entry.case for entry in store.ledger()).items()):
            say(f"{case:12} {count}")
    say(found.stream_path)


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="One run, or several to compare.")],
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    mode: Annotated[list[str] | None, typer.Option(help="Mode to read the votes in; repeatable.")] = None,
    bound: BoundName = None,
    alpha: Annotated[float | None, typer.Option(min=1e-9, max=0.5, help="Failure probability.")] = None,
    norm: Annotated[float, typer.Option(min=0, help="Norm τ of every moved image in the joint budget.")] = 0.05,
    runs_dir: RunsDir = None,
) -> None:
    """Write a report on one run or several: one HTML file that needs no network; prints its path."""
    from certssb_core.certify.bounds.registry import BOUNDS
    from certssb_core.report import report as made
    from certssb_core.runs import files

    if bound is not None and bound not in BOUNDS:
        fail(f"--bound {bound}: expected one of {', '.join(BOUNDS)}", MISUSED)
    page = made([intact(name, runs_dir) for name in runs], modes=mode, bound=bound, alpha=alpha, norm=norm)
    try:
        files.write_atomically(output, lambda partial: partial.write_text(page, encoding="utf-8"))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", FAILED)
    say(output)
