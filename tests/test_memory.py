"""Keeping freed memory changes no number, and never fails, whatever the system."""

import ctypes
import platform
import sys

import numpy as np
import pytest

from scratchgan.fast import memory


def test_keep_changes_no_number():
    before = np.linspace(0, 1, 1_000_000) ** 2
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    assert memory.keep() is glibc
    np.testing.assert_array_equal(np.linspace(0, 1, 1_000_000) ** 2, before)


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_system(error, monkeypatch):
    def library(name):
        raise error("no such library")

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert memory.keep() is False
