"""Locks on files: one process at a time, let go of by the operating system when that process ends."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from certssb_core.errors import LockedError, RunError

_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOSPC, errno.EDQUOT}


@contextmanager
def hold(path: Path, *, held: str, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock on the file ``path``, which is made where it is missing.

    Args:
        held: says that another process has it.
        timeout: seconds to wait for that process.

    Raises:
        LockedError: another process holds it.
        RunError: the folder cannot be written, or its file system has no locks.
    """
    lock = filelock.FileLock(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            lock.acquire(timeout=timeout)
    except filelock.Timeout:
        raise LockedError(held) from None
    except OSError as error:
        raise RunError(_refused(path, error)) from None
    except NotImplementedError as error:
        raise RunError(_lockless(path, str(error))) from None
    try:
        if isinstance(lock, filelock.SoftFileLock):  # what filelock falls back to: a kill leaves it locked for ever
            raise RunError(_lockless(path, "not supported"))
        yield
    finally:
        lock.release()


def _refused(path: Path, error: OSError) -> str:
    if error.errno in _NO_RIGHT:
        return f"{path.parent} cannot be written: {error.strerror}"
    return _lockless(path, error.strerror or str(error))


def _lockless(path: Path, reason: str) -> str:
    return (
        f"{path.parent} is on a disk without file locks ({reason}), so two workers could take the same run: keep the "
        "runs on another disk (--runs-dir or CERTSSB_RUNS)"
    )
