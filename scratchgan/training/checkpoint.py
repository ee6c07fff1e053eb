"""Checkpoints: arrays and a few facts in one .npz file, written in full or not at all, and read without trust."""

import json
import zipfile

import numpy as np

from scratchgan.support import npz
from scratchgan.support.errors import CheckpointError
from scratchgan.support.files import parse_json, reading, replacing

FORMAT = 1
LONGEST_META = 10**7  # bytes


def save(path, arrays, meta):
    """Write {name: array} and `meta`, a dictionary for JSON, to the .npz file `path`, without pickle.

    `path` holds either its former content or all of the new, whatever happens during the write.
    Raises TypeError for an array of objects, and UserError where the file cannot be written.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in npz.NUMBERS_AND_TEXT:
            raise TypeError(f"{name} is an array of {array.dtype}: a checkpoint holds numbers and text")
    facts = {"format": FORMAT, "names": sorted(arrays), "meta": meta}
    with replacing(path) as file:
        np.savez(file, **{f"arrays/{name}": array for name, array in arrays.items()}, meta=np.array(json.dumps(facts)))


def load_meta(path):
    """Return the `meta` of a file that `save` wrote, and read no array of it; raise CheckpointError as `load` does."""
    with reading(path, error=CheckpointError) as file:
        try:
            with npz.opened(file) as archive:
                member = archive.getinfo("meta.npy")
                if member.file_size > LONGEST_META or member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("its facts are too long")
                meta = parse_json(str(npz.read_member(archive, member)))["meta"]
            if not isinstance(meta, dict):
                raise ValueError("its facts are missing")
        except Exception as error:  # damaged bytes can raise nearly anything in zipfile, json and NumPy
            raise CheckpointError(f"{path} is damaged or is no checkpoint of scratchgan ({error}).") from None
    return meta


def load(path):
    """Return (arrays, meta) of a file that `save` wrote.

    Raises CheckpointError, naming the file, if it is missing, damaged, or not of this kind. The file is not
    trusted: nothing in it is run, and it cannot ask for more memory than its own size.
    """
    try:
        members = npz.read(path, CheckpointError)
        facts = json.loads(str(members.pop("meta")))
        if facts["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {facts['format']}, this version of scratchgan reads format {FORMAT}: "
                "use the version that wrote it"
            )
        arrays = {name.removeprefix("arrays/"): array for name, array in members.items()}
        if sorted(arrays) != facts["names"] or not isinstance(facts["meta"], dict):
            raise ValueError("arrays are missing")
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes can raise nearly anything in zipfile, json and NumPy
        raise CheckpointError(
            f"{path} is damaged or is no checkpoint of scratchgan ({error}): use a copy of it or another run."
        ) from None
    return arrays, facts["meta"]
