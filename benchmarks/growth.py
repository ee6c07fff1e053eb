"""Time against work: does a DCGAN's iteration cost more than its multiply-adds when batch, side or width grow?

`python benchmarks/speed.py growth` calls it, and writes its record, its table and docs/images/growth.png.
"""

import math
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from scratchgan import xp
from scratchgan.examples import dcgan
from scratchgan.fast import threads
from scratchgan.optim import Adam
from scratchgan.support.files import write_json
from scratchgan.tools import look

ROOT = Path(__file__).resolve().parents[1]
RECORD, PICTURE = ROOT / "docs" / "results" / "speed" / "growth.json", ROOT / "docs" / "images" / "growth.png"
GROWN = {  # axis: (batch, side, width) of each point
    "batch": [(batch, 32, 64) for batch in (16, 32, 64, 128, 256, 512)],
    "side": [(64, side, 16) for side in (16, 32, 64, 128)],
    "width": [(64, 32, width) for width in (16, 32, 64, 128, 256)],
}


class Grown(dcgan.DCGAN):
    """The game of `examples/dcgan.py` with networks of any side, which is 4 times a power of 2."""

    def __init__(self, batch, side, width):
        rng = np.random.default_rng(0)
        super().__init__(dcgan.Settings(batch_size=batch, hidden=0, average=0), (28, 28, 1), rng)
        stages = round(math.log2(side / 4))
        widths = [1] + [width * 2 ** min(stage, 3) for stage in range(stages)]
        self.G = dcgan.generator(self.settings.latent, 4, widths[::-1], "transposed", rng)
        self.D = dcgan.discriminator(4, widths, rng)
        self.opt_G, self.opt_D = Adam(self.G.params()), Adam(self.D.params())
        self.real = rng.uniform(-1, 1, (batch, side, side, 1)).astype(np.float32)

    def iterate(self):
        self.discriminator_step(self.real)
        self.generator_step(len(self.real))


def work_of(model):
    """Return the multiply-adds of an iteration, of products and convolutions in their plain form.

    G and D run forward twice and three times, weights get a gradient once and twice, inputs once and three times; the
    gradients of z and, in D's own step, of pictures are not wanted.
    """
    G, D = products(model.G, (1, model.settings.latent)), products(model.D, (1, *model.real.shape[1:]))
    return len(model.real) * (4 * sum(G) - G[0] + 8 * sum(D) - 2 * D[0])


def products(net, shape):
    """Return the multiply-adds of a sample forward, of each layer that has any."""
    return [row.multiply_adds for row in look.count(net, shape) if row.multiply_adds]


def measure(turns, count):
    """Time all points in turn; write the record and the plot."""
    threads.use(count, blas=xp.on_gpu())
    points = {(axis, *point): None for axis, own in GROWN.items() for point in own}
    for axis, *point in points:
        model = Grown(*point)
        work, seconds = work_of(model), []
        for _ in range(max(3, turns // 4)):
            start = time.perf_counter()
            model.iterate()
            seconds.append(time.perf_counter() - start)
        points[(axis, *point)] = {"GMAC": work / 1e9, "ms": 1e3 * statistics.median(seconds)}
        print(axis, point, points[(axis, *point)], file=sys.stderr, flush=True)
    found = [{"axis": a, "batch": b, "side": s, "width": w, **own} for (a, b, s, w), own in points.items()]
    write_json(RECORD, found)


def draw(found):
    """Plot time against work, one line for each axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, plot = pyplot.subplots(figsize=(5.5, 4), layout="constrained")
    for axis in GROWN:
        own = [point for point in found if point["axis"] == axis]
        line = plot.loglog([point["GMAC"] for point in own], [point["ms"] for point in own], "o-", label=axis)[0]
        for point in own:
            plot.annotate(point[axis], (point["GMAC"], point["ms"]), (4, -10), textcoords="offset points",
                          color=line.get_color(), fontsize=8)  # fmt: skip
    ends = [min(point["GMAC"] for point in found), max(point["GMAC"] for point in found)]
    rate = min(point["ms"] / point["GMAC"] for point in found)
    plot.loglog(ends, [rate * end for end in ends], "k:", label=f"{2e3 / rate:.0f} GFLOP/s")
    plot.set(xlabel="multiply-adds of an iteration, 10⁹", ylabel="ms")
    plot.legend()
    figure.savefig(PICTURE, dpi=120)


def table_of(found):
    """Return the record as a table in Markdown."""
    lines = ["| grown | batch | side | width | 10⁹ multiply-adds | ms | ms for 10⁹ |", f"|{'---|' * 7}"]
    for point in found:
        cells = [point["axis"], point["batch"], point["side"], point["width"]]
        cells += [f"{point['GMAC']:.3g}", f"{point['ms']:.4g}", f"{point['ms'] / point['GMAC']:.3g}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
