"""Files that are there in full or not at all."""

import contextlib
import json
import os
from pathlib import Path

from scratchgan.support.errors import UserError


@contextlib.contextmanager
def replacing(path):
    """Open a new binary file that takes the place of `path` once the `with` block has ended well.

    Whatever happens meanwhile, a crash or a power cut included, `path` holds either what it held before or all of
    the new. What a killed write leaves is a hidden `.NAME.PROCESS.tmp`, by which two programs may write one file.
    Raises UserError, naming the file, where it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes must be on the disk before the name points at them
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"Cannot write {path}: {error.strerror or error}; nothing was changed.") from error
    except BaseException:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        raise


def write_json(path, value):
    """Write a value as JSON for people and programs; raise UserError where the file cannot be written."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sync_directory(path):
    """Put a folder's list of names on the disk, where the system can (Windows cannot, and need not)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse: the file itself is safe
    finally:
        os.close(descriptor)
