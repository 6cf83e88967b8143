"""The error that every part of this floor raises for what a person can put right."""


class RunError(Exception):
    """A run or study that cannot be made, found, read or started; the message says what to do."""
