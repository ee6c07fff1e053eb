"""Weights in files, .npz and .safetensors: there and back, and files that are damaged, hostile or missing."""

import io
import json
import os
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from test_pytorch import same

from scratchgan.support.errors import DataError, UserError
from scratchgan.tools import pytorch

try:
    import safetensors
except ImportError:
    safetensors = None

needs_safetensors = pytest.mark.skipif(safetensors is None, reason="the package safetensors is not installed")
STATE = {"0.weight": np.arange(6.0).reshape(2, 3).T, "0.count": np.array(3), "0.bias": np.ones(2, "float32")}
FILES = ["state.npz", pytest.param("state.safetensors", marks=needs_safetensors)]


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    pytorch.save(tmp_path / name, STATE)
    assert same(pytorch.load(tmp_path / name), STATE) and os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused(tmp_path, name):
    path = tmp_path / name
    pytorch.save(path, STATE)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=f"{name} is damaged"):
            pytorch.load(path)


def test_hostile_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(DataError, match="There is no file .*state.npz"):
        pytorch.load(path)
    np.savez_compressed(path, a=np.zeros(10**6))
    with pytest.raises(DataError, match="it is compressed"):
        pytorch.load(path)
    write_object(path)
    with pytest.raises(DataError, match="array of object"):
        pytorch.load(path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="Cannot read"):
        pytorch.load(tmp_path / "folder.npz")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3"])
def test_a_type_that_numpy_does_not_know_is_named(tmp_path, kind, monkeypatch):
    path = tmp_path / "state.safetensors"
    header = json.dumps({"a": {"dtype": kind, "shape": [2], "data_offsets": [0, 4 if kind == "BF16" else 2]}})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4 if kind == "BF16" else 2))
    if safetensors is None:  # it raises KeyError(kind)
        monkeypatch.setattr(pytorch, "safetensors", lambda path: types.SimpleNamespace(load=lambda content: {}[kind]))
    with pytest.raises(DataError, match=f"holds numbers of the type {kind}.*convert it first") as error:
        pytorch.load(path)
    assert "\n" not in str(error.value) and path.name in str(error.value)


def write_object(path):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([{}], object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", file.getvalue())


def test_what_cannot_be_saved(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="name the file .npz or .safetensors"):
        pytorch.save(tmp_path / "state.pth", STATE)
    with pytest.raises(ValueError, match="thing is an array of object"):
        pytorch.save(tmp_path / "state.npz", {"thing": np.array([None])})
    with pytest.raises(UserError, match="Cannot write"):
        pytorch.save(tmp_path / "none" / "state.npz", STATE)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(DataError, match="pip install safetensors"):
        pytorch.save(tmp_path / "state.safetensors", STATE)
    with pytest.raises(DataError, match="pip install safetensors"):
        pytorch.load(tmp_path / "state.safetensors")
    assert os.listdir(tmp_path) == []
