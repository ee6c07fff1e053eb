"""GANs from scratch: layers, losses, optimizers, training, with every derivative written by hand.

What is read stands in `layers/`, `losses.py`, `penalties.py` and `optim.py`. `fast/` computes the
same faster, and is on unless `fast.off()` is called.
"""

from scratchgan import fast

fast.on()
