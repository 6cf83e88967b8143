"""A release made here, in the public one's form, becomes a run like any other; so do its real files, where given."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from certssb_core import cli
from certssb_core.audit import inspection
from certssb_core.ensemble import published_members
from certssb_core.errors import ConfigError, DataError, RunError
from certssb_core.jobs.forecast import from_finished_run
from certssb_core.pipeline import import_published
from certssb_core.query.ensemble import ask
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import standard_normal
from tests.conftest import finish

SETTING = {"dataset": "mnist", "classes": "0,1", "trigger": "onepixel", "sigma": 0.12}
MEMBERS, TESTED = 5, 24
REAL_DATA, REAL_RELEASE = os.environ.get("CERTSSB_DATA"), os.environ.get("CERTSSB_RELEASE")


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def make_mnist(root):
    """120 training and 36 test images, a bright upper or lower half; every third is a 7 and is left out."""
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 120), ("t10k", 36)):
        labels = np.array([0, 1, 7])[np.arange(count) % 3]
        images = generator.integers(0, 40, (count, 28, 28))
        images[labels == 0, :14] += 150
        images[labels == 1, 14:] += 150
        write_idx(root / "MNIST" / "raw" / f"{prefix}-images-idx3-ubyte", images)
        write_idx(root / "MNIST" / "raw" / f"{prefix}-labels-idx1-ubyte", labels)
    return root


def make_release(root):
    """Random members whose one logit is centred, so that they disagree, and σ* as large as the release's."""
    folder = root / "model" / "mnist" / "onepixel" / "sigma0.12"
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for member in range(MEMBERS):
        state = {
            name: torch.randn(shape, generator=generator) * 0.05 for name, shape in published_members.SHAPES.items()
        }
        state["output.bias"] = -state["output.weight"].sum()[None] * 0.1
        torch.save(state, folder / f"smoothed_{member}.model")
    (root / "sigma" / "mnist").mkdir(parents=True)
    sigma = 0.2 + 0.1 * torch.rand(TESTED, generator=generator)
    torch.save(sigma.requires_grad_(), root / "sigma" / "mnist" / "mnist_onepixel_sigma0.12.pth")
    return root


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("release")
    return {
        "folder": make_release(root / "cert-ssbd"),
        "data_root": str(make_mnist(root / "data")),
        "runs_dir": root / "runs",
    }


@pytest.fixture(scope="module")
def imported(places) -> Run:
    return finish(import_published.create(name="imported", **places, **SETTING))


def test_it_is_a_run_like_any_other(imported):
    assert imported.status().state == "done"
    table = imported.certificates()
    assert table.groupby("set").size().to_dict() == {"clean": TESTED, "triggered": TESTED}
    assert set(imported.manifest["sha256"]) == {
        *("certificates.csv", "config.json", "data.json", "metrics.json", "release.json", "sigma.safetensors"),
        "store.sqlite",
        *("votes.safetensors", "members/shard-000000-000004.safetensors"),
    }
    assert set(imported.metrics["seconds"]) == {"data", "sigma", "members", "votes", "store", "total"}
    assert not (imported.path / "scratch.safetensors").exists()


def test_votes_are_the_release_s_network_under_our_noise(imported, places):
    """The network written out with one logit, noise from the seeds alone; every vote, softmax to 1e-6."""
    inputs, votes = load_inputs(imported.config), imported.arrays("votes")
    star = published_members.read_sigma(
        published_members.sigma_path(places["folder"], trigger="one-pixel", sigma=0.12), count=TESTED
    )
    levels = {"uniform": np.full(TESTED, 0.12), "sample-specific": star}
    paths = published_members.member_paths(places["folder"], trigger="one-pixel", sigma=0.12)
    for which, images in (("clean", inputs.dataset.test_images), ("triggered", inputs.triggered)):
        for noise_map, sigma in levels.items():
            shares = []
            for member, path in enumerate(paths):
                state = torch.load(path, weights_only=True)
                noise = standard_normal(1, (1, 28, 28), seed=0, purpose="test noise", member=member)
                x = torch.from_numpy(images) + torch.from_numpy(sigma).float().view(-1, 1, 1, 1) * noise
                x = F.max_pool2d(F.relu(F.conv2d(x, state["conv1.weight"], state["conv1.bias"])), 2)
                x = F.max_pool2d(F.relu(F.conv2d(x, state["conv2.weight"], state["conv2.bias"])), 2)
                x = F.relu(F.linear(x.contiguous().view(-1, 512), state["fc.weight"], state["fc.bias"]))
                logit = F.linear(x, state["output.weight"], state["output.bias"])[:, 0]
                shares.append(torch.sigmoid(logit).double().numpy())
                sure = logit.abs().numpy() > 1e-5
                cast = votes[f"votes/{which}/{noise_map}"][member]
                assert np.array_equal(cast[sure], (logit > 0).numpy()[sure])
            mean = votes[f"softmax/{which}/{noise_map}"]
            assert mean[:, 1] == pytest.approx(np.mean(shares, axis=0), abs=1e-6)
    assert 0 < votes["votes/clean/uniform"].mean() < 1


def test_what_the_release_does_not_hold_is_absent(imported):
    assert imported.metrics["undefended"] is None
    assert imported.metrics["joint_budget"] is None
    assert not {"poison.safetensors", "undefended.safetensors", "models/base.safetensors"} & {
        path.relative_to(imported.path).as_posix() for path in imported.path.rglob("*")
    }
    assert set(imported.arrays("sigma")) == {"clean", "triggered"}
    run_votes = read_run_votes(imported)
    with pytest.raises(RunError, match="redrawn every epoch"):
        certification.joint_budget(run_votes, imported.certificates(), norm=0.1)
    assert (
        "nothing is certified about changes of the training"
        in certification.promise(imported.config, "sample-specific").joint_budget
    )


def test_a_new_image_cannot_be_asked_about_without_the_base_classifier(imported):
    with pytest.raises(RunError, match="without its base classifier"):
        ask(imported, np.zeros((1, 28, 28), np.float32))


def test_the_inspector_says_what_is_wrong_with_it(imported):
    found = {finding.title: finding for finding in inspection.inspect(imported)}
    red = {title for title, one in found.items() if one.colour == "red"}
    assert red == {"Training noise fixed across epochs", "Answers", "Number of members"}, "five members of one class"
    assert "every epoch" in found["Training noise fixed across epochs"].reason
    assert "detaches the network" in found["σ* of the release"].reason
    assert "unseeded" in found["Seeds"].reason
    assert "not published" in found["Training set of the release"].reason
    assert found["Attack"].colour == found["Base classifier not among the voters"].colour == "amber"


def test_sources_are_on_record(imported, places):
    record = json.loads((imported.path / "release.json").read_text())
    assert len(record["sha256"]) == MEMBERS + 1
    assert "sigma/mnist/mnist_onepixel_sigma0.12.pth" in record["sha256"]


def test_it_measures_no_training(imported):
    trained = imported.config.model_copy(update={"origin": "trained"})
    assert from_finished_run(imported.config, [imported]) is not None
    assert from_finished_run(trained, [imported]) is None


@pytest.mark.slow
def test_a_release_that_is_gone_stops_the_run_and_is_named(places, tmp_path):
    run = import_published.create(name="gone", **places | {"runs_dir": tmp_path}, **SETTING)
    record = json.loads((run.path / "release.json").read_text())
    (run.path / "release.json").write_text(json.dumps(record | {"folder": str(tmp_path / "nowhere")}))
    with pytest.raises(AssertionError, match="nowhere"):
        finish(run)
    assert run.status().cause == "data"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "cifar"}, "only mnist"),
        ({"classes": "1,0"}, "only mnist"),
        ({"trigger": "patch"}, "expected one of onepixel"),
    ],
)
def test_settings_that_are_not_the_release_s_are_refused(places, tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        import_published.create(name="x", **places | {"runs_dir": tmp_path}, **SETTING | change)
    assert not list(tmp_path.iterdir())


def test_a_setting_without_files_or_with_one_file_twice_is_refused(places, tmp_path):
    with pytest.raises(DataError, match=r"sigma0\.5 holds no members"):
        import_published.create(name="x", **places, **SETTING | {"sigma": 0.5})
    copy = make_release(tmp_path / "copy")
    folder = copy / "model" / "mnist" / "onepixel" / "sigma0.12"
    (folder / "smoothed_3.model").write_bytes((folder / "smoothed_1.model").read_bytes())
    with pytest.raises(DataError, match=r"smoothed_1\.model, smoothed_3\.model are one and the same"):
        import_published.create(name="x", **places | {"folder": copy}, **SETTING)
    (copy / "sigma" / "mnist" / "mnist_onepixel_sigma0.12.pth").unlink()
    with pytest.raises(DataError, match=r"mnist_onepixel_sigma0\.12\.pth is missing"):
        import_published.create(name="x", **places | {"folder": copy}, **SETTING)


def test_the_command_line_ends_with_a_sentence(places, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["certssb", "import-release", str(tmp_path / "nothing"), "--runs-dir", str(tmp_path)]
    )
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == cli.DATA
    assert "holds no members" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not (REAL_DATA and REAL_RELEASE), reason="needs CERTSSB_DATA and CERTSSB_RELEASE")
def test_the_real_members_give_the_published_numbers(tmp_path):
    """Published, with 1,000 members: 0.99953, 0.99433, 0 at radius 0, 0.25, 0.5; these are a few of them."""
    run = import_published.create(Path(REAL_RELEASE), name="real", runs_dir=tmp_path, **SETTING)
    finish(run, seconds=600)
    run_votes = read_run_votes(run)
    table = certification.certify_votes(run_votes, mode="release", bound="", alpha=0.001)
    clean = certification.assess(run_votes, table, radii=(0.0, 0.25, 0.5))["clean"]["certified_accuracy"]
    assert clean["0.0"] == pytest.approx(0.99953, abs=0.002)
    assert clean["0.25"] == pytest.approx(0.99433, abs=0.005)
    assert clean["0.5"] == 0
