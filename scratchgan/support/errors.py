"""Errors meant for people: each says what is wrong, where, and what to do about it."""


class UserError(Exception):
    """Something that the person at the keyboard can put right; a command line prints it without a traceback."""


class DataError(UserError):
    """A data file, folder or download cannot be used."""


class CheckpointError(UserError):
    """A checkpoint or run directory cannot be used."""


class DeviceError(UserError):
    """The device that was asked for cannot be used."""


class SettingsError(UserError):
    """An option has a value that it cannot have."""


class TrainingError(UserError):
    """Training failed: a number that is not finite appeared."""
