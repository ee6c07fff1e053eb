"""Several processes that train one network, each with its share of every batch: `mpiexec -n 4 python ...`.

An optimizer's step begins with the mean of all gradients, so that all keep the same weights. MPI (mpi4py) sums arrays
of NumPy, NCCL those of CuPy. docs/parallel.md says what else there is to it.
"""

import contextlib
import functools
import importlib
import os
import sys
import time

import numpy

from scratchgan.support.errors import UserError

STARTED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # how many a launcher has started: Open MPI; MPICH and its kin
PATIENCE = 2.0  # seconds that a process which fails leaves the first one to say why


class Group:
    """All processes that train together: this one alone, to which it costs nothing, or those that MPI has started."""

    def __init__(self, MPI=None):
        self.rank, self.size, self.MPI = 0, 1, MPI
        if MPI:
            self.comm = MPI.COMM_WORLD
            self.rank, self.size = self.comm.rank, self.comm.size
            machine = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
            self.place, self.neighbours = machine.rank, machine.size  # among those on the same machine

    def sum(self, array):
        """Replace a contiguous array, on host or device, by its sum over all processes, and return it."""
        if self.size > 1 and isinstance(array, numpy.ndarray):
            self.comm.Allreduce(self.MPI.IN_PLACE, array)
        elif self.size > 1:
            self.nccl.all_reduce(array, array, "sum")
        return array

    @functools.cached_property
    def nccl(self):  # made by all processes at once, at their first sum on GPUs
        return importlib.import_module("cupyx.distributed").NCCLBackend(self.size, self.rank, use_mpi=True)

    def mean(self, array):
        """Replace an array by its mean over all processes, and return it."""
        if self.size > 1:
            array = self.sum(array)
            array *= 1 / self.size
        return array

    def share(self, rows):
        """Return this process's part of the rows of a batch, one of `size` equal blocks."""
        n, rest = divmod(len(rows), self.size)
        if rest:
            raise UserError(f"{self.size} processes cannot share {len(rows)} samples: choose another --batch-size.")
        return rows[self.rank * n : (self.rank + 1) * n]

    def broadcast(self, value):
        """Return what the first process gives: an array, or any other value."""
        return self.comm.bcast(value) if self.size > 1 else value

    def gather(self, value):
        """Return what each process gives, as a list."""
        return self.comm.allgather(value) if self.size > 1 else [value]


ALONE = _group = Group()


def group():
    """Return the Group of all processes that train together; this one alone unless `join` has found several."""
    return _group


def join():
    """Join the processes that a launcher has started, if any: from now on only the first prints. Return the group."""
    global _group
    started = next((int(os.environ[name]) for name in STARTED if name in os.environ), 1)
    if started > 1 and _group is ALONE:
        os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")  # who waits leaves the processor to who computes
        try:
            MPI = importlib.import_module("mpi4py.MPI")
        except ImportError as error:
            raise UserError(f'{started} processes need mpi4py: pip install "scratchgan[parallel]" ({error})') from None
        if MPI.COMM_WORLD.size != started:
            raise UserError(f"{started} processes, and mpi4py knows {MPI.COMM_WORLD.size}: its mpiexec is another one.")
        _group, hook = Group(MPI), sys.excepthook
        sys.excepthook = lambda *error: end(1, lambda: hook(*error))
        sys.stdout = open(os.devnull, "w") if _group.rank else sys.stdout
    return _group


@contextlib.contextmanager
def alone():
    """Within the `with` block, this process works for itself: it draws samples, say, while the others wait."""
    global _group
    before, _group = _group, ALONE
    try:
        yield
    finally:
        _group = before


def first(do, *arguments):
    """Let the first process alone do something: print, draw, write. Return what it returns; elsewhere None."""
    if _group.rank == 0:
        with alone():
            return do(*arguments)


def end(status, say):
    """Say why this process ends, and end the others, which would wait for it for ever."""
    time.sleep(PATIENCE if _group.rank else 0)  # the first one has failed, too, as a rule, and says the same
    say()
    if _group.size > 1:
        _group.comm.Abort(status)
