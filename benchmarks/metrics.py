"""Time every metric on 10,000 MNIST images, all together, with the peak of memory.

    python examples/uses/classifier.py --data mnist      # once
    python benchmarks/metrics.py                    # the goal: 60 s and 2 GB on two cores

Training images stand for samples of a generator. CPU seconds are those of all threads together: on a busy machine the
time on the clock says more about the others.
"""

import argparse
import resource
import sys
import time

import numpy as np

from scratchgan import data, xp
from scratchgan.fast import threads
from scratchgan.metrics import classifier, modes
from scratchgan.metrics.frechet import frechet
from scratchgan.metrics.kernel import kernel_distance
from scratchgan.metrics.neighbours import density_coverage, memorization, precision_recall
from scratchgan.metrics.parzen import log_likelihood
from scratchgan.metrics.path import path_length
from scratchgan.metrics.score import score
from scratchgan.metrics.similarity import similarity_of_pairs
from scratchgan.metrics.wasserstein import sliced, transport
from scratchgan.support.errors import UserError


def timed(name, f):
    """Print how long f() takes, and return what it returns."""
    clock, cpu = time.perf_counter(), time.process_time()
    value = f()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GB, on Linux
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:34} {seconds:7.2f} s {cpu:7.2f} s of CPU, peak {peak:5.2f} GB", flush=True)
    return value


def main():
    """Time every metric in turn, once the classifier is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="images of each kind (default: 10,000)")
    parser.add_argument("--classifier", default=None, help="weights (default: runs/classifiers/mnist.npz)")
    options = parser.parse_args()
    try:
        measure(classifier.load("mnist", options.classifier), options)
    except UserError as error:
        sys.exit(f"metrics.py: error: {error}")


def measure(lenet, options):
    """Time the features, and then each metric of them."""
    train = data.load_images("mnist").images
    test = data.load_images("mnist", split="test").images[: options.n]
    fake, n = train[: options.n], len(test)
    rng = np.random.default_rng(0)
    clock, cpu = time.perf_counter(), time.process_time()
    threads.use(0, blas=False)
    known = timed("features of the training images", lambda: lenet.features(train))
    real = timed("features of the test images", lambda: lenet.features(test))
    x = timed("features of the samples", lambda: lenet.features(fake))
    threads.use(0, blas=True)
    logits = xp.to_host(lenet.head(xp.to_device(x)))
    labels = logits.argmax(axis=1)
    timed("FID-LeNet", lambda: frechet(x, real))
    timed("KID-LeNet", lambda: kernel_distance(x, real))
    timed("LeNet score", lambda: score(logits))
    timed("precision, recall", lambda: precision_recall(real, x))
    timed("density, coverage", lambda: density_coverage(real, x))
    timed("memorisation", lambda: memorization(known, real, x))
    timed("sliced Wasserstein", lambda: sliced(x, real, rng=rng))
    timed("transport of 500", lambda: transport(x[:500], real[:500]))
    timed("classes: reverse KL, JS", lambda: modes.divergences(modes.class_counts(labels, 10)))
    timed("MS-SSIM of 2,000 pairs", lambda: similarity_of_pairs(fake, rng=rng, pairs=2000))
    pixels, other = (images.reshape(n, -1) / 255 for images in (fake, test))
    timed("Parzen log-likelihood", lambda: log_likelihood(pixels, other[: n // 10], other[n // 10 :]))
    W = rng.standard_normal((100, 784), dtype=np.float32) / 10  # in place of a generator: tanh(W z)
    generate = lambda z: xp.tanh(z @ W).reshape(-1, 28, 28, 1)
    latent = lambda n, rng: rng.standard_normal((n, 100), dtype=np.float32)
    timed("path length of 2,000", lambda: path_length(lambda z: lenet.body(generate(z)), latent, rng=rng))
    print(f"all: {time.perf_counter() - clock:.1f} s, {time.process_time() - cpu:.1f} s of CPU")


if __name__ == "__main__":
    main()
