"""Test vectors: what a layer must compute, as numbers, for code in any language; and layers of others against ours.

    from scratchgan.vectors import files
    from scratchgan.vectors.make import make
    from scratchgan.vectors.verify import verify

    files.write("conv2d.npz", "npz", make("conv2d"))
    print(verify(files.read("results.json"), files.read("conv2d.npz")))
"""
