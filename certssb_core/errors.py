"""Errors that a person can put right. The message says what to do."""


class DataError(Exception):
    """Data that cannot be used, in one sentence: what is missing or bad, where, and what to do."""


class PoisonError(ValueError):
    """A trigger or a poisoning that cannot be carried out as asked, in one plain sentence."""


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key and what it accepts."""


class StoreError(Exception):
    """The store's file cannot be used; the message says why."""


class ShardError(Exception):
    """A member file that is missing or damaged; the message names it."""


class EngineError(RuntimeError):
    """A worker process died; the message says what to do."""


class RunError(Exception):
    """A run or study that cannot be made, found, read or started; the message says what to do."""


class LockedError(RunError):
    """Another process is at work there; the message says on what."""


class NameTakenError(RunError):
    """A run or study of that name is there already."""


class Stopped(Exception):
    """A job was asked to stop: what is finished is kept, and the message says how it goes on."""


class Differs(Exception):
    """A recorded value and its recomputation disagree; the message names the first place."""


class NotPossible(Exception):
    """A re-verification lacks something that it needs; the message says what."""


class CapsuleError(RunError):
    """A file that is no whole capsule, or a run that cannot become one; the message says why."""
