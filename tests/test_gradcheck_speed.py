"""What a check costs, in measures that another process on the same machine does not change."""

import subprocess
import sys
import time

import numpy as np

from scratchgan.gradcheck import check
from scratchgan.layers import Conv2d


def test_a_convolution_is_checked_in_every_entry_at_six_forward_passes_each():
    """About a second on a quiet core. Counted in passes, which no other process makes slower."""
    passes = []

    class Counted(Conv2d):
        def forward(self, x, train=True):
            passes.append(x.shape)
            return super().forward(x, train)

    layer, x = Counted(4, 4, 3, padding=1, rng=np.random.default_rng(0)).astype("float64"), np.ones((3, 8, 8, 4))
    start = time.process_time()
    report = check(layer, np.random.default_rng(0).standard_normal(x.shape))
    spent = time.process_time() - start
    assert report.ok, str(report)
    assert sum(c.checked.size for c in report.comparisons.values()) == 768 + 144 + 4
    count, start = len(passes), time.process_time()
    assert count <= 6 * (768 + 144 + 4)
    for _ in range(count):
        layer.forward(x)
    assert spent < 8 * (time.process_time() - start)  # the check's own arithmetic; about 3


def test_import_is_fast_and_needs_numpy_only():
    """About 0.15 s on a quiet core; held to what NumPy takes on the same core, at the same moment."""
    code = """
import sys, time
start = time.process_time()
import numpy
between = time.process_time()
import scratchgan.gradcheck
assert time.process_time() - between < 8 * (between - start), (time.process_time() - between, between - start)
for name in ("matplotlib", "PIL", "tqdm", "threadpoolctl", "cupy", "pytest", "scratchgan.training", "scratchgan.data"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True)
