"""Fixtures of several files of tests."""

import kernel_cpu
import pytest


@pytest.fixture
def on_cpu(monkeypatch):
    """The stand-in takes kernels."""
    if kernel_cpu.missing():
        pytest.skip(kernel_cpu.missing())
    kernel_cpu.install(monkeypatch)
