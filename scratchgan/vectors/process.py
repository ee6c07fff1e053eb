"""Judge code of others in a process of its own, so that it can neither end ours, nor garble what we say, nor hang it.

The child's stdout is a file without a name, which it keeps for messages alone, one JSON list a line: ["at", where it
is], and at last ["outcome", status, text], ["failed", why], or ["raised", an error of the judged code]. What that code
prints goes elsewhere.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from scratchgan.support.errors import UserError

ENDING = 5  # seconds that a child which was killed may take to go
START = "import sys; sys.path[:] = {}; from scratchgan.vectors.child import main; main()"


def in_child(job, timeout, prints=False):
    """Return (status, text) of a job, as `judge` takes it, in a child; raise UserError where it came to no verdict.

    prints: whether what the judged code prints is shown, on stderr.
    """
    loud = sys.stderr is not None and (prints or bool(os.environ.get("SCRATCHGAN_TRACEBACK")))
    # -u: what is printed is out before a process ends that runs no more code.
    command = [sys.executable, "-u", "-c", START.format(own_path()), json.dumps(job | {"timeout": timeout})]
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the child then ends, too
    with tempfile.TemporaryFile() as channel:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=channel, start_new_session=True,
                                 stderr=None if loud else subprocess.DEVNULL)  # fmt: skip
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(child)
        channel.seek(0)
        return verdict(code, list(messages(channel.read())), job["code"], timeout)


def own_path():
    """Return a sys.path for our own imports: no neighbour of the checked file, or of where one stands, comes first."""
    here, root = Path.cwd(), str(Path(__file__).parents[2])
    path = [p for p in sys.path if isinstance(p, str) and p and Path(p).absolute() != here]
    return path if root in path else behind_library(path, root)


def behind_library(path, folder):
    """Return a sys.path with a folder behind Python's own library, and before what is installed."""
    library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    library += [os.path.join(folder, "lib-dynload") for folder in library]
    last = max((i for i, p in enumerate(path) if p in library), default=len(path) - 1)
    return [*path[: last + 1], folder, *path[last + 1 :]]


def end(child):
    """End a child with all that it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a child that is gone
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # the system itself may hang, as with a network's files
        child.wait(ENDING)


def messages(content):
    """Yield the messages of a child; noise, and a line that it was killed in, is none."""
    for line in content.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line)
            if isinstance(message, list) and message[:1] in (["at"], ["outcome"], ["failed"], ["raised"]):
                yield message


def verdict(code, said, name, timeout):
    """Return (status, text) of what a child said, if it ended well; else raise UserError with what happened to it."""
    place = next((text for kind, text, *_ in reversed(said) if kind == "at"), "before it was imported")
    for kind, text, *_ in said:
        if kind in ("failed", "raised"):
            raise UserError(text if kind == "failed" else f"{name} could not be checked: {text}, {place}.")
    if code is None:
        raise UserError(f"{name} gave no answer within {timeout:g} s (--timeout), {place}.")
    if code < 0:
        why = {signal.SIGKILL: "perhaps as memory ran out"}.get(-code, signal.strsignal(-code))
        raise UserError(f"{name} was ended by signal {-code} ({why}), {place}.")
    if code or not said or said[-1][0] != "outcome":
        raise UserError(f"{name} ended the process, with exit status {code}, {place}.")
    return tuple(said[-1][1:])
