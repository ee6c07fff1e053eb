"""For tests on a CPU: `strict_xp`, a stand-in for CuPy. docs/gpu.md shows how a layer of your own is run on it."""

from scratchgan.tools.strict.stand_in import strict_xp

__all__ = ["strict_xp"]
