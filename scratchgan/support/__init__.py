"""What the rest stands on and no reader of GANs need look at: errors, files, generators as arrays, finding a GPU."""
