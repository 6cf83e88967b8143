"""The command line: ``python -m certssb_core``. Everything the dashboard does, without a browser.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 data missing or damaged; 130 stopped, resumable.
"""

import sys

from certssb_core.cli import runs, certificates, measurements, audit, tuning, denoisers, machine  # isort: skip (in the order of the help)
from certssb_core.cli.common import DATA, FAILED, MISUSED, STOPPED, app, fail, say, speak_every_encoding
from certssb_core.errors import ConfigError, DataError, EngineError, PoisonError, RunError, ShardError, StoreError
from certssb_core.runs import server_limits

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
    speak_every_encoding()
    for sentence in server_limits.misspelt():
        say(f"warning: {sentence}", file=sys.stderr)
    try:
        app()
    except (ConfigError, RunError) as error:
        fail(str(error), MISUSED if isinstance(error, ConfigError) else FAILED)
    except PoisonError as error:
        fail(str(error), MISUSED)
    except DataError as error:
        fail(str(error), DATA)
    except (StoreError, ShardError, EngineError) as error:
        fail(str(error), FAILED)
    except ImportError as error:
        fail(f"a package cannot be loaded ({error}): install the requirements again; `doctor` shows what works", FAILED)
    except OSError as error:
        fail(f"{error.filename or 'the system refused'}: {error.strerror or error}", FAILED)
