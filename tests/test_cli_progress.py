"""Ctrl-C while the command line follows a job."""

import os
import signal
import subprocess
from types import SimpleNamespace

from certssb_core.cli import progress


def test_ctrl_c_between_two_looks_stops_the_job_and_waits_for_it(monkeypatch, capsys):
    """An interrupt that comes while the job is looked at, not while it is waited for, is no reason to leave it."""
    signal_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = []

    class Worker:
        def wait(self, timeout):
            if asked:
                return 0
            raise subprocess.TimeoutExpired("worker", timeout)

    job = SimpleNamespace(request_stop=lambda: asked.append("stop"), status=lambda: SimpleNamespace(state="stopped"))
    monkeypatch.setattr(progress, "start", lambda job: Worker())
    looks = iter([lambda: os.kill(os.getpid(), signal.SIGINT)])
    try:
        status = progress.attend(job, lambda: next(looks, lambda: None)())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the old answer to Ctrl-C is back"
    finally:
        signal.signal(signal.SIGINT, signal_before)
    assert (status.state, asked) == ("stopped", ["stop"])
    assert "stopping" in capsys.readouterr().err
