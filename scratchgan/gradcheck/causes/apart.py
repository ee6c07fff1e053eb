"""Work in a copy of this process, which may crash, hang, or write over its memory, and harms nobody."""

import contextlib
import faulthandler
import multiprocessing
import os
import sys
import time
import warnings

ROOM = 2 << 30  # bytes that the copy may take beside what this process has


def apart(work, until):
    """Return the list of what `work(say)` says in a copy of this process, until it ends, dies, or the time is over.

    until: of `time.monotonic`, in seconds. Systems that cannot copy a process raise ValueError.
    """
    fork, said = multiprocessing.get_context("fork"), []
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=alone, args=(work, theirs), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copy has none of our other threads, and needs none
        child.start()
    theirs.close()
    try:
        with contextlib.suppress(EOFError):
            while ours.poll(max(0.0, until - time.monotonic())):
                said.append(ours.recv())
    finally:
        child.kill()
        child.join()
        ours.close()
    return said


def alone(work, pipe):
    """Do the work, in the copy: what it prints, and the reports of its crash, are nobody's."""
    sys.setprofile(None)  # which may watch for forks of the judged code
    from threadpoolctl import threadpool_limits  # here, since importing it takes long

    faulthandler.disable()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # of C code; Python's may be others
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = open(nowhere, "w", closefd=False)
    with contextlib.suppress(ImportError, OSError, ValueError):
        limit_memory()
    threadpool_limits(1)  # threads of BLAS and OpenMP, and so PyTorch's, are not in the copy: it would wait for them
    work(pipe.send)


def limit_memory():
    """Let an allocation of more than ROOM fail, where the system says how much memory a process has."""
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)
