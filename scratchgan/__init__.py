"""GANs from scratch: layers, losses, optimizers, training, with every derivative written by hand.

What is read stands in `layers/`, `losses.py`, `penalties.py` and `optim.py`. `fast/` computes the
same faster, and is on unless `fast.off()` is called.
"""

import sys

if sys.argv[:1] == ["-m"] and "scratchgan" in sys.orig_argv and not getattr(sys.flags, "safe_path", False):
    sys.path.append(sys.path.pop(0))  # python -m scratchgan: a numpy.py where one stands is not NumPy

from scratchgan import fast  # noqa: E402

fast.on()
