"""The door to the examples of this clone: `from scratchgan.examples import dcgan`.

The examples stand in the folder `examples/` beside the package, where people read and run them. This package has that
folder as its own, so that an example can build on another, wherever it is run from.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples"
if not FOLDER.is_dir():
    raise ImportError("scratchgan.examples needs the folder examples/ of a clone: git clone, then pip install -e .")
__path__ = [str(FOLDER)]
