"""`benchmarks/speed.py`: docs/performance.md shows what its records hold; an operation's product is counted right."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import floor  # noqa: E402
import growth  # noqa: E402
import speed  # noqa: E402

from scratchgan.layers import Conv2d, Dense, Sequential  # noqa: E402

TABLES = [(speed.RECORD, speed.table_of), (growth.RECORD, growth.table_of), (floor.RECORD, floor.table_of)]


@pytest.mark.parametrize(("path", "table"), TABLES, ids=lambda value: getattr(value, "stem", ""))
def test_the_page_shows_the_records(path, table):
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert table(json.loads(path.read_text(encoding="utf-8"))) in page, "python benchmarks/speed.py write"


def test_a_record_has_the_quartiles_of_all_turns():
    found = speed.record({"DCGAN 28": {"scratchgan": [0.004, 0.001, 0.003, 0.002, 0.005]}}, 5, 2)
    assert found["ms"] == {"DCGAN 28": {"scratchgan": [1.5, 3.0, 4.5]}}
    row = speed.table_of(found).splitlines()[-1]
    assert row.startswith("| DCGAN 28 | 3 ± 1.5 |")


def test_work_is_what_the_networks_multiply():
    """At 8 x 8 with 2 channels: G is 100 x 32 and 16 taps to each of 16 places, D the same backwards."""
    model = growth.Grown(3, 8, 2)
    G, D = (100 * 4 * 4 * 2, 16 * 4 * 4 * 2), (16 * 4 * 4 * 2, 4 * 4 * 2)
    assert growth.work_of(model) == 3 * (4 * sum(G) - G[0] + 8 * sum(D) - 2 * D[0])


def test_each_operation_is_the_product_of_its_layer():
    rng = np.random.default_rng(0)
    net = Sequential(Conv2d(3, 5, 4, stride=2, padding=1, rng=rng), Conv2d(5, 2, 1, rng=rng), Dense(2, 7, rng=rng))
    x = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)

    def iteration():
        y, tape = net.forward(x)
        net.backward(tape, y)

    found = {}
    for operation, function, args, result in floor.calls_of(iteration):
        found.setdefault(operation, []).append(floor.product_of(operation, function, args, result))
    places = 2 * 4 * 4
    assert found["convolution: y"] == [(places, 48, 5), (places, 5, 2)]
    assert sorted(found["convolution: dx"]) == sorted([(places, 5, 48), (places, 2, 5)])
    assert sorted(found["convolution: dW"]) == sorted([(48, places, 5), (5, places, 2)])
    assert sorted(found["dense: y, dx, dW"]) == sorted([(places, 2, 7), (places, 7, 2), (2, places, 7)])
    assert all(math.prod(shape) for shapes in found.values() for shape in shapes)
