"""Tools beside the library: doctor, look into a network, pytorch for weights to and fro, strict for tests of a GPU."""
