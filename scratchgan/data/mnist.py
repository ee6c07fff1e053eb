"""MNIST, Fashion-MNIST and KMNIST: the IDX file format, where the files are looked for, the download."""

import gzip
import itertools
import math
import os
import sys
import zlib
from pathlib import Path

import numpy as np

from scratchgan.data.checks import check_split
from scratchgan.data.download import download
from scratchgan.data.images import Images
from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError
from scratchgan.support.files import reading

# ------------------------------------------------------------------------------------------------ IDX files

# LeCun, Cortes and Burges, "The MNIST database": two zero bytes, the type, the number of axes, each axis'
# length in four bytes, then the values; all big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CHUNK = 1 << 20  # bytes
EXPANSION = 1032  # bytes that a byte of a gzip file can stand for, at most: 258 of them cost two bits


def read_idx(path):
    """Read an IDX file, plain or gzip (told apart by its first bytes, not by its name), as a native array.

    What its header announces is compared with the size of the file, and with the memory that is free, before any is
    taken. Raises DataError, naming the file, for anything that is not one complete IDX file: missing, empty, text,
    truncated, damaged, with bytes left over, or of more than there is memory for.
    """
    with reading(path, error=DataError) as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            return read_idx_stream(file, path, size)
        try:
            with gzip.open(file) as stream:
                return read_idx_stream(stream, path, EXPANSION * size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is a damaged or truncated gzip file ({error}); download it again.") from None


def read_idx_stream(stream, path, most):
    """Return the array of an IDX file; `most`: the bytes that the file can hold, unpacked."""
    shape, dtype = read_header(stream, path)
    announced = math.prod(shape) * dtype.itemsize
    wrong = f"{path}: the header announces {in_digits(announced)} bytes of data and the file holds"
    if announced > most:
        raise DataError(f"{wrong} {most:,} at most; copy or download it again.")
    afford(announced, str(path), "use fewer pictures", DataError)
    data = np.empty(announced, np.uint8)  # which takes memory only where it is written to
    view, held = memoryview(data), 0
    while read := stream.readinto(view[held : held + CHUNK]):
        held += read
    if held < announced or stream.read(1):  # that byte, which is not there, makes gzip compare its checksum
        raise DataError(f"{wrong} {f'{held:,}' if held < announced else 'more'}; copy or download it again.")
    try:
        array = data.view(dtype).reshape(shape)
    except ValueError:  # hundreds of axes, or enormous ones beside an empty one
        raise DataError(f"{path} announces the shape {shape}, which no array has; replace it.") from None
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def read_header(stream, path):
    """Return the shape and the dtype that the header of an IDX file announces; raise DataError where there is none."""
    magic = stream.read(4)
    if len(magic) < 4:
        what = "is empty" if not magic else f"ends after {len(magic)} bytes"
        raise DataError(f"{path} {what}; an IDX file begins with a header. Copy or download it again.")
    if magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        what = "a text file" if magic.isascii() and magic.decode().isprintable() else "no IDX file"
        raise DataError(f"{path} is {what}: it begins with {magic!r}, not with 0, 0 and an IDX type.")
    axes = stream.read(4 * magic[3])
    if len(axes) < 4 * magic[3]:
        raise DataError(f"{path} ends within its header of {magic[3]} axes; copy or download it again.")
    return tuple(int(n) for n in np.frombuffer(axes, ">u4")), np.dtype(IDX_TYPES[magic[2]])


def in_digits(number):
    """Return a whole number as people write it, or its power of ten where no one would count the digits."""
    return f"{number:,}" if number < 10**21 else f"10^{len(str(number)) - 1}"


# ---------------------------------------------------------------------------------------------- the data sets

DIGITS = tuple("0123456789")
FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CLASSES = {"mnist": DIGITS, "fashion_mnist": FASHION, "kmnist": KUZUSHIJI}
PUBLISHED = {"train": 60_000, "test": 10_000}  # pictures of each set
TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}  # its folders, with raw in each
DEPTH, MOST = 3, 1000  # how far down files are looked for that are not where they should be, and in how many folders

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "kmnist": ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
}

# The hashes that TensorFlow Datasets keeps in url_checksums/{mnist,fashion_mnist,kmnist}.txt.
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "kmnist": {
        "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
}


def load(split="train", *, name="mnist", data_dir=None):
    """Load the split `train` or `test` of `mnist`, `fashion_mnist` or `kmnist`: images (N, 28, 28, 1).

    The two files are looked for in `data_dir/<name>` and `data_dir`; without a `data_dir`, in
    `$SCRATCHGAN_DATA/<name>`, then in the cache (`cache_folder`), to which they are downloaded if they are
    nowhere. A `data_dir` is an explicit choice: if it lacks the files, nothing is downloaded. Files that were
    put there by hand are not compared with the published hashes. Each may be gzip or plain.

    LeCun et al., "Gradient-based learning applied to document recognition" (1998); Xiao et al.,
    "Fashion-MNIST" (2017); Clanuwat et al., "Deep Learning for Classical Japanese Literature" (2018). Raises
    DataError, naming the files, where they are missing, damaged, or do not belong together.
    """
    check_name(name, split)
    return read_pair(name, *find_files(split, name, data_dir))


def check_name(name, split):
    if name not in CLASSES:
        raise DataError(f"There is no data set {name!r}; choose {', '.join(CLASSES)}.")
    check_split(split)


def read_pair(name, image_path, label_path):
    """Return the `Images` of two files; raise DataError where they are no pictures and labels that belong together."""
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise DataError(f"{image_path} holds {images.dtype} {images.shape}, not uint8 pictures (N, H, W).")
    if images.size == 0:
        what = f"pictures of {images.shape[1]} x {images.shape[2]} pixels" if len(images) else "no pictures"
        raise DataError(f"{image_path} holds {what}; replace it.")
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise DataError(f"{label_path} holds {labels.dtype} {labels.shape}, not uint8 labels (N,).")
    if len(images) != len(labels):
        raise DataError(
            f"{image_path} holds {len(images):,} pictures and {label_path} {len(labels):,} labels; "
            "use two files of one set."
        )
    if labels.max() > 9:
        raise DataError(f"{label_path} holds the label {labels.max()}; labels are 0 to 9.")
    return Images(images[..., None], labels.astype(np.int64), None, CLASSES[name])


# ------------------------------------------------------------------------------------------------- the places


def find_files(split, name, data_dir):
    """Return the paths of a split's images and labels, found as `load` says, downloaded if need be."""
    found, stems = find_pair(split, name, data_dir), file_stems(split)
    if found is None and data_dir is not None:
        raise not_there(stems, name, data_dir)
    folder = cache_folder() / name
    return found or [find_file(folder, stem) or fetch_file(folder, stem + ".gz", name) for stem in stems]


def find_pair(split, name, data_dir):
    """Return the paths of a split's images and labels in the first place that has both, or None."""
    for folder in places(name, data_dir):
        paths = [find_file(folder, stem) for stem in file_stems(split)]
        if all(paths):
            return paths
    return None


def file_stems(split):
    """Return the names of a split's files, images and labels, without `.gz`."""
    prefix = "train" if split == "train" else "t10k"
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def places(name, data_dir=None):
    """Return the folders in which the files of a set are looked for, in this order, before they are downloaded."""
    if data_dir is not None:
        folder = Path(os.path.expanduser(data_dir))
        return [folder / name, folder, folder / TORCHVISION[name] / "raw"]
    given = os.environ.get("SCRATCHGAN_DATA")
    above = Path(os.path.expanduser(given)) if given else None
    return [*([above / name, above / TORCHVISION[name] / "raw"] if given else []), cache_folder() / name]


def find_file(folder, stem):
    """Return the path of an IDX file in a folder, under any name it goes by, or None.

    Some archives unpack each file into a folder of the file's name.
    """
    names = [spelling + ending for spelling in (stem, stem.replace("-idx", ".idx")) for ending in (".gz", "")]
    candidates = [folder / name for name in names]
    candidates += [path / name for path in candidates for name in names if os.path.isdir(path)]
    return next((path for path in candidates if os.path.exists(path) and not os.path.isdir(path)), None)


def not_there(stems, name, data_dir):
    """Return the DataError for a `data_dir` without the files; it says where below they are, if they are."""
    folder, there = Path(os.path.expanduser(data_dir)), []
    others = {other.lower() for pair in TORCHVISION.items() for other in pair if name not in pair}  # of the same names
    for depth in range(1, DEPTH + 1):
        for path in sorted(itertools.islice(folder.glob("/".join("*" * depth)), MOST)):
            own = others.isdisjoint(part.lower() for part in path.relative_to(folder).parts)
            there += [path] if own and all(find_file(path, stem) for stem in stems) else []
    if there:
        return DataError(f"{data_dir} does not hold {stems[0]}: it is further down, --data-dir {there[0]}.")
    if not os.path.isdir(folder):
        return DataError(f"There is no folder {data_dir}; leave out --data-dir to have the files downloaded.")
    return DataError(
        f"{data_dir} does not hold {stems[0]} and {stems[1]} (plain or .gz), nor does its sub-folder "
        f"{name}; put them there, or leave out the folder to have them downloaded."
    )


def fetch_file(folder, filename, name):
    return download([base + filename for base in MIRRORS[name]], folder / filename, SHA256[name][filename])


def cache_folder():
    """Return the folder for downloads: `scratchgan` in the user's cache, by the customs of each system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "scratchgan")
