"""How processes find each other, and a GPU each: launchers, MPI's stand-in, and the names of CuPy that are called."""

import importlib
import inspect
import os
import sys
import types

import numpy as np
import pytest

from scratchgan import parallel
from scratchgan.support.errors import UserError
from scratchgan.tools.strict import strict_xp
from scratchgan.training import together


def test_without_a_launcher_nothing_is_imported(monkeypatch):
    for name in parallel.STARTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)  # whose import would fail
    assert parallel.join() is parallel.group() is parallel.ALONE and parallel.ALONE.size == 1
    array = np.ones(3)
    assert parallel.ALONE.mean(array) is array and parallel.ALONE.sum(array) is array
    assert parallel.first(lambda: 7) == 7 and parallel.ALONE.gather(1) == [1]


def test_what_is_wrong_with_a_launcher_is_told(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    with pytest.raises(UserError, match=r"4 processes need mpi4py: pip install \"scratchgan\[parallel\]\""):
        parallel.join()
    other = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1))
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", other)
    with pytest.raises(UserError, match="4 processes, and mpi4py knows 1"):
        parallel.join()
    assert parallel.group() is parallel.ALONE
    os.environ.pop("OMPI_MCA_mpi_yield_when_idle", None)


class NCCLBackend:
    """Stands for CuPy's: one process of two, and the other has the same numbers. Only what CuPy documents is here."""

    def __init__(self, n_devices, rank, host="127.0.0.1", port=13333, use_mpi=False):
        assert (n_devices, rank, use_mpi) == (2, 0, True)

    def all_reduce(self, in_array, out_array, op="sum", stream=None):
        assert op == "sum" and in_array is out_array and in_array.flags.c_contiguous
        out_array *= 2


class MPI:
    """Stands for mpi4py's: process 0 of two on a machine."""

    COMM_TYPE_SHARED = "machine"
    COMM_WORLD = types.SimpleNamespace(
        rank=0, size=2, Split_type=lambda kind: types.SimpleNamespace(rank=1, size=2)
    )


def test_arrays_of_a_gpu_are_summed_by_nccl(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx.distributed", types.SimpleNamespace(NCCLBackend=NCCLBackend))
    group = parallel.Group(MPI)
    gradient = strict_xp.asarray(np.arange(4, dtype=np.float32))
    assert group.sum(gradient) is gradient and gradient.get().tolist() == [0, 2, 4, 6]
    assert group.mean(gradient).get().tolist() == [0, 2, 4, 6] and group.nccl is group.nccl


def test_each_process_needs_a_gpu_and_nccl():
    group, used = parallel.Group(MPI), []
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 2)
    device = lambda number: types.SimpleNamespace(use=lambda: used.append(number))
    cuda, nccl = types.SimpleNamespace(runtime=runtime, Device=device), types.SimpleNamespace(available=True)
    together.take_gpu(group, cuda, nccl)
    assert used == [1]  # the second process of the machine, the second GPU
    nccl.available = False
    with pytest.raises(UserError, match="scratchgan doctor"):
        together.take_gpu(group, cuda, nccl)
    runtime.getDeviceCount = lambda: 1
    with pytest.raises(UserError, match="2 processes cannot share 1 GPU: each needs one"):
        together.take_gpu(group, cuda, nccl)


def test_the_installed_cupy_has_what_is_called():
    """CI installs CuPy after the suite, without a GPU, and asks again."""
    pytest.importorskip("cupy")
    distributed = importlib.import_module("cupyx.distributed")
    for name in ("__init__", "all_reduce"):
        theirs, ours = (inspect.signature(getattr(kind, name)) for kind in (distributed.NCCLBackend, NCCLBackend))
        assert [*theirs.parameters] == [*ours.parameters]
    assert isinstance(importlib.import_module("cupy.cuda.nccl").available, bool)
