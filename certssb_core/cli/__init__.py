"""The command line: ``python -m certssb_core``. Everything the dashboard does, without a browser.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 data missing or damaged; 130 stopped, resumable.
"""

from certssb_core.cli import runs, certificates, measurements, audit, tuning, denoisers, machine  # isort: skip (in the order of the help)
from certssb_core.cli.common import DATA, FAILED, MISUSED, STOPPED, app, fail
from certssb_core.errors import ConfigError, DataError, PoisonError, RunError

__all__ = [
    "DATA",
    "FAILED",
    "MISUSED",
    "STOPPED",
    "app",
    "audit",
    "certificates",
    "denoisers",
    "machine",
    "main",
    "measurements",
    "runs",
    "tuning",
]

app.info.help = __doc__


def main() -> None:
    """Run the command line; expected errors become one plain line and an exit code."""
    try:
        app()
    except (ConfigError, RunError) as error:
        fail(str(error), MISUSED if isinstance(error, ConfigError) else FAILED)
    except PoisonError as error:
        fail(str(error), MISUSED)
    except DataError as error:
        fail(str(error), DATA)
