"""GANs from scratch: layers, losses, optimizers and training, with every derivative written by hand and tested."""
