"""Files that are there in full or not at all, and that are files: no pipe that never ends, no device."""

import contextlib
import json
import math
import os
import stat
from pathlib import Path

from scratchgan.support.errors import UserError

KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip
LONGEST_JSON = 10**7  # bytes
TEMPORARY = ".{name}.{process}.scratchgan-tmp"  # what a killed write leaves; `leftovers` finds it


# ---- writing ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path):
    """Open a new binary file that takes the place of `path` once the `with` block has ended well.

    Whatever happens meanwhile, a power cut included, `path` holds what it held before or all of the new. A link stays
    a link, to a file that is replaced; its mode stays. Two programs may write one file at once.
    Raises UserError, naming the file, where it cannot be written, or is a device, a pipe or a folder.
    """
    path = Path(os.path.expanduser(path))  # which leaves ~name alone where nobody is called that
    target = Path(os.path.realpath(path))
    temporary = target.with_name(TEMPORARY.format(name=target.name, process=os.getpid()))
    try:
        mode = mode_of(path, target)
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode or 0o666)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes must be on the disk before the name points at them
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
        sync_directory(target.parent)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}; nothing was changed.") from error
    finally:
        with contextlib.suppress(OSError):  # it is there only where something was raised, be it by Ctrl-C
            temporary.unlink()


def append(path, line):
    """Add bytes to the end of a file; raise UserError where it is none, or cannot be written. It never waits."""
    try:
        mode_of(path, path)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(path, "ab", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
            file.write(line)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def mode_of(path, target):
    """Return the mode of the file that is to be replaced, None if there is none; raise UserError if it is no file."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise UserError(f"Cannot write {path}: it is {kind(mode)}, not a file; nothing was changed.")
    return stat.S_IMODE(mode)


def kind(mode):
    """Return what a thing of this mode, which is no regular file, is called."""
    return KINDS.get(stat.S_IFMT(mode), "no regular file")


def leftovers(folder):
    """Return what killed writes of this library left in a folder, and nothing of anybody else's."""
    return sorted(Path(folder).glob(TEMPORARY.format(name="*", process="*[0-9]")))


def write_bytes(path, content):
    """Write bytes as the whole of a file; raise UserError where it cannot be written."""
    with replacing(path) as file:
        file.write(content)


def write_json(path, value):
    """Write a value as JSON for people and programs; raise UserError where the file cannot be written."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"))  # names of files need not be text: JSON has such escapes


def sync_directory(path):
    """Put a folder's list of names on the disk, where the system can (Windows cannot, and need not)."""
    with contextlib.suppress(OSError):  # some network file systems refuse, too: the file itself is safe
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- reading ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading(path, *, limit=None, error=UserError):
    """Open a file to read its bytes, once it is known to be a file, and to hold no more than `limit` bytes.

    It never waits: a pipe that nobody writes to is refused, as are devices and folders. Raises `error`, a class of
    exceptions, with one line that names the file.
    """
    path = Path(os.path.expanduser(path))  # which leaves ~name alone where nobody is called that
    try:
        # Without O_NONBLOCK, to open a pipe is to wait for its other end. Windows has neither.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise error(f"There is no file {path}.") from None
    except (OSError, ValueError) as problem:  # ValueError: a name that holds a null character
        raise error(f"Cannot read {path}: {getattr(problem, 'strerror', None) or problem}.") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise error(f"Cannot read {path}: it is {kind(status.st_mode)}, not a file.")
    with open(descriptor, "rb") as file:
        if limit is not None and status.st_size > limit:
            raise error(f"{path} holds {status.st_size:,} bytes, more than the {limit:,} that such a file can hold.")
        try:
            yield file
        except OSError as problem:
            raise error(f"Cannot read {path}: {problem.strerror or problem}.") from None


def read_json(path, *, error=UserError):
    """Return the value of a JSON file; raise `error`, naming the file, where it is none, or holds no such numbers.

    Refused are NaN, infinities, numbers that no float can hold, and lists in lists in lists beyond all sense.
    """
    with reading(path, limit=LONGEST_JSON, error=error) as file:
        content = file.read()
    try:
        return parse_json(content)
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is no JSON file that can be read: {problem}.") from None


def read_record(path, fields, *, error=UserError):
    """Return the object of a JSON file that has fields of these types, {name: type}; else raise `error`."""
    found = read_json(path, error=error)
    wrong = [name for name, kind in fields.items() if not isinstance(found, dict) or not fits(found.get(name), kind)]
    if wrong:
        raise error(f"{path} is damaged, or something else: {wrong[0]!r} is not there as it should be; remove it.")
    return found


def fits(value, kind):
    """Whether a value of JSON is of a type; a whole number is a float, too, and True is none."""
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def parse_json(content):
    """Return the value of JSON text or bytes, whose numbers are finite; raise ValueError, or RecursionError."""
    return DECODER.decode(content.decode("utf-8-sig") if isinstance(content, bytes) else content)


def finite(text):
    """Return a number that JSON text holds; raise ValueError where it is not finite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {text[:20]}")
    return number


def whole(text):
    """Return a whole number that JSON text holds; raise ValueError where no float could hold it."""
    if len(text) > 300:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


DECODER = json.JSONDecoder(parse_float=finite, parse_int=whole, parse_constant=finite)
