"""How the tests run: the whole suite in a process for each processor, chosen files and tests in a single one."""

import os
import signal
from pathlib import Path

import pytest
from draws import ALL
from hypothesis import settings

BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

settings.register_profile("some", max_examples=25, deadline=None)  # where a law does not say how many it wants
if not ALL:
    settings.load_profile("some")


# In the background of a shell, or under nohup, a process is told to ignore these; the trainings under test are not.
USUAL = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
for name, handler in USUAL.items():
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, name), handler)


def is_whole(config):
    """Return whether folders are tested, and not files of somebody's choice or with a debugger.

    A process that shares the work is told the same folders, and is not to share it out again.
    """
    option = config.option
    alone = option.collectonly or option.usepdb or option.capture == "no" or "PYTEST_XDIST_WORKER" in os.environ
    return not alone and all(Path(argument).is_dir() for argument in config.args)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Share the whole suite out, where pytest-xdist is installed and nobody said by -n how."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    if config.option.numprocesses is None and is_whole(config):
        config.option.numprocesses, config.option.dist = "auto", "worksteal"
    if config.option.numprocesses:
        for variable in BLAS:  # a thread each: more of them would wait for each other
            os.environ.setdefault(variable, "1")


def pytest_report_header(config):
    if not config.pluginmanager.hasplugin("xdist") and is_whole(config):
        return "one process, as pytest-xdist is not installed: `pip install -r requirements.txt` brings it"


def pytest_make_parametrize_id(val, argname):
    """Name bytes by how many they are: compressed, they hold the time, and every process is to have the same tests."""
    return f"{len(val)} bytes of {argname}" if isinstance(val, bytes) else None


@pytest.fixture
def on_cpu(monkeypatch):
    """The stand-in takes kernels."""
    import kernel_cpu  # here, as NumPy takes the number of its threads when it is imported

    if kernel_cpu.missing():
        pytest.skip(kernel_cpu.missing())
    kernel_cpu.install(monkeypatch)
