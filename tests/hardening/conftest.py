"""The undisturbed run that every disturbed one is compared with; made with an audit hook that refuses the network."""

from __future__ import annotations

import os

import pytest

from tests.hardening import faults

NO_SOCKETS = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"):
        address = arguments[-1]
        if not (isinstance(address, str) and address.startswith("/")):  # a file of this machine is no network
            raise RuntimeError(f"this run asked for the network: {event} {arguments}")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A finished run, whose worker and the processes under it would have failed at the first socket of a network."""
    folder = tmp_path_factory.mktemp("undisturbed")
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(NO_SOCKETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")]))
        return faults.finish(faults.new_run(folder, "undisturbed"))
