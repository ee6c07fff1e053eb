"""Anomalies by residuals: an autoencoder, PCA and the nearest training picture, which f-AnoGAN has to beat.

    python benchmarks/anomaly.py                       # phantoms of heads
    python benchmarks/anomaly.py --data retina
    python benchmarks/anomaly.py --data mnist          # one class each: ten tables' mean
    python benchmarks/anomaly.py --data mnist --classes 8 2 --run      # train f-AnoGAN on each class, too

The autoencoder has E and G of examples/uses/anogan.py, with 16 numbers between them. It learns E and G together, to
make mean (x - G(E(x)))^2 small. All are measured by `metrics.anomaly`, on the pictures that `evaluate` of the example
takes. An AUC of a class is that of the whole test set, this class against the other nine.
"""

import argparse

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.data import Batches, anomalies
from scratchgan.examples.uses import anogan
from scratchgan.fast import threads
from scratchgan.metrics import anomaly
from scratchgan.support.files import write_json


def main(argv=None):
    """Print a table for each class, and the mean of them; write them as JSON."""
    options = parse(argv)
    threads.use(options.threads)
    classes = [0] if options.data in anomalies.MEDICAL else options.classes
    tables = {normal: compare(normal, options) for normal in classes}
    if len(tables) > 1:
        print(f"mean of {len(tables)} classes\n{anomaly.text(mean(tables.values()))}")
    if options.out:
        write_json(options.out, tables)


def parse(argv):
    parser = argparse.ArgumentParser("anomaly.py", description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=(*anomalies.MEDICAL, *data.NAMES), default="phantom", help="data set")
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)), help="normal classes, one by one")
    parser.add_argument("--components", type=int, nargs="+", default=[16, 32, 64], help="of the PCAs")
    parser.add_argument("--steps", type=int, default=2000, help="of the autoencoder; 0: none")
    parser.add_argument("--latent", type=int, default=16, help="numbers that it keeps of a picture")
    parser.add_argument("--run", action="store_true", help="train f-AnoGAN as well, in runs/anomaly-DATA-CLASS")
    parser.add_argument("--gan-steps", type=int, nargs=2, default=[4000, 2500], help="of the game, and of its encoder")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--out", default="", help="file for the numbers, as JSON")
    return parser.parse_args(argv)


def compare(normal, options):
    """Return {who: AUCs} for one normal class, and print it."""
    given = {"data": options.data, "normal": normal, "seed": options.seed, "threads": options.threads}
    settings = anogan.Settings(**given)
    known = anomalies.asked_for(settings, "train").images
    test = anomalies.asked_for(settings, "test")
    found = {f"PCA {k}": anomaly.principal(known, test.images, k) for k in options.components}
    found["nearest"] = anomaly.nearest(known, test.images)
    if options.steps:
        found["autoencoder"] = autoencoder(known, test.images, given, options)
    table = {who: anomaly.measured(test.images, y, *test[1:]) for who, y in found.items()}
    if options.run:
        game, encoder = options.gan_steps
        out = f"runs/anomaly-{options.data}-{normal}-{options.seed}"
        model = training.train(anogan.AnoGAN, anogan.Settings(steps=game + encoder, game=game, out=out, **given))
        y, A = model.reconstruct(test.images)
        table["f-AnoGAN"] = anomaly.measured(test.images, y, *test[1:], A)
    print(f"{options.data}, normal: {normal}\n{anomaly.text(table)}", flush=True)
    return table


def autoencoder(known, images, given, options):
    """Train E and G together to give known images back; return what they make of others."""
    settings = anogan.Settings(steps=options.steps, game=0, latent=options.latent, batch_size=64, **given)
    model = anogan.AnoGAN(settings, known.shape[1:], np.random.default_rng(options.seed))
    model.opt_G.lr = model.opt_E.lr  # half a cosine for both
    batches = Batches(known, batch_size=settings.batch_size, rng=np.random.default_rng(options.seed + 1))
    for _ in range(options.steps):
        x = xp.to_device(data.to_signed(batches.next()))
        z, E_tape = model.E.forward(x)
        y, G_tape = model.G.forward(z)
        _, dy = losses.l2(y, x)
        model.E.accumulate(E_tape, model.G.backward(G_tape, dy))
        model.opt_E.step()
        model.opt_G.step()
    return data.to_bytes(model.infer(lambda x: model.G(model.E(x)), images))


def mean(tables):
    """Return the mean of several tables of the same rows and columns."""
    tables = list(tables)
    return {who: {name: float(np.mean([table[who][name] for table in tables])) for name in numbers}
            for who, numbers in tables[0].items()}  # fmt: skip


if __name__ == "__main__":
    main()
