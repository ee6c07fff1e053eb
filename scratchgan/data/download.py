"""Download one file from the first of several mirrors that gives it whole.

Every process writes to a part file of its own, `NAME.<random>.part`, and only a complete file with the right
hash is renamed to `NAME`. Two processes that download at once therefore cannot harm each other, and there is
no lock that a killed process could leave behind. A process begins with a copy of the longest part that it
finds, whosever it is: parts are only appended to, so a copy is a beginning of the file. The hash tells if it
was not.
"""

import contextlib
import hashlib
import http.client
import os
import re
import secrets
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from scratchgan.support.errors import DataError
from scratchgan.support.files import reading

TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16  # bytes
LARGEST = 10**8  # bytes: the largest file that is downloaded has a third of it


class MirrorError(Exception):
    """One mirror did not give the file; the next one may."""


def download(urls, path, sha256):
    """Download `path` from the first of `urls` that gives a file with this SHA-256; return the path.

    A broken download stays as `path.part`, and the next one goes on from there (HTTP Range). Nothing
    incomplete or wrong is ever found at `path`. Raises DataError with what each mirror said and what to do.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    failures = []
    try:
        with create(part) as file:
            copy_longest_part(path, file)
            for url in urls:
                try:
                    fetch_verified(url, file, path, sha256)
                    break
                except MirrorError as error:
                    failures.append(f"{url}: {error}")
            else:
                raise DataError(
                    f"Could not download {path.name}. {'; '.join(failures)}. Check the network and run again "
                    f"(it goes on where it stopped), or put the file into {path.parent} by hand, or into a "
                    "folder of yours and give that with --data-dir."
                )
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a renamed file with its end missing
        publish(part, path)
    finally:
        keep(part, path)
    return path


# ------------------------------------------------------------------------------------------- the part files


def create(part):
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return open(part, "x+b")
    except OSError as error:
        raise DataError(
            f"Cannot write to {part.parent} ({describe(error)}); change its permissions, or put the data "
            "into a folder of yours and give that with --data-dir."
        ) from None


def copy_longest_part(path, file):
    """Fill `file` with the longest part of `path` that is there, if any."""
    sizes = {}
    for other in parts_of(path):
        with contextlib.suppress(OSError):  # its process has finished meanwhile
            sizes[other] = other.stat().st_size
    if sizes:
        longest = max(sizes, key=sizes.get)
        with contextlib.suppress(OSError), reading(longest, limit=LARGEST, error=OSError) as source:
            shutil.copyfileobj(source, file)  # if that fails, the download begins earlier


def publish(part, path):
    """Rename a verified part to `path` and remove the other parts: they are of no more use to anyone."""
    try:
        os.replace(part, path)
    except OSError as error:
        # Another process was faster and has removed this part, or is reading `path` (on Windows).
        if not path.exists():
            raise DataError(f"Cannot write {path} ({describe(error)}); run again.") from None
    for other in parts_of(path):
        with contextlib.suppress(OSError):  # its process has it open (on Windows) and removes it
            other.unlink()


def keep(part, path):
    """Leave what came of a broken download as `path.part`; after `publish` there is nothing left to do."""
    with contextlib.suppress(OSError):  # it is gone, or stays under its own name, which serves as well
        if path.exists() or part.stat().st_size == 0:
            part.unlink(missing_ok=True)
        else:
            os.replace(part, path.with_name(path.name + ".part"))


def parts_of(path):
    """Return the part files of `path`: `NAME.part` and `NAME.<random>.part`."""
    pattern = re.compile(re.escape(path.name) + r"(\.[0-9a-f]{8})?\.part")
    return [file for file in path.parent.iterdir() if pattern.fullmatch(file.name)]


# ---------------------------------------------------------------------------------------------- one mirror


def fetch_verified(url, file, path, sha256):
    """Complete `file` from one mirror; raise MirrorError if that fails or the result has another hash."""
    if sha256_of(file) == sha256:
        return  # every byte had come the last time
    resumed = fetch(url, file, path.name)
    received = sha256_of(file)
    if received != sha256 and resumed:  # the old beginning may be the wrong one, not this mirror
        path.with_name(path.name + ".part").unlink(missing_ok=True)
        clear(file)
        fetch(url, file, path.name)
        received = sha256_of(file)
    if received != sha256:
        clear(file)
        raise MirrorError(f"sent another file: SHA-256 expected {sha256}, found {received}")


def fetch(url, file, name):
    """Append to `file` what it lacks, or all of it anew; return True if the old beginning was kept."""
    start = file.seek(0, os.SEEK_END)
    headers = {"User-Agent": "scratchgan", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if start and response.status != 206:  # the server ignores ranges and sends the whole file
                start = clear(file)
            if response.headers.get("Content-Range", f"bytes {start}-").startswith(f"bytes {start}-"):
                copy_body(response, file, start, name)
                return start > 0
        refused = None
    except (OSError, http.client.HTTPException, ValueError) as error:
        refused = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is also the open connection
    # A range that does not begin where it should, or none at all (416): this part is of no use here.
    if start and (refused is None or getattr(refused, "code", None) == 416):
        clear(file)
        return fetch(url, file, name)
    raise MirrorError(describe(refused) if refused else "sent a part of the file that was not asked for")


def copy_body(response, file, start, name):
    """Write an answer's body at the end of `file`; raise MirrorError if it ends before its length."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    bar = tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None)
    received = start
    with bar:
        while chunk := response.read(CHUNK):
            write(file, chunk)
            received += len(chunk)
            bar.update(len(chunk))
            if received > LARGEST:  # without an end, it would fill the disk
                clear(file)
                raise MirrorError(f"sent more than {LARGEST:,} bytes, which no such file has")
    if total is not None and received < total:
        raise MirrorError(f"the connection ended after {received:,} of {total:,} bytes")


def write(file, chunk):
    try:
        file.write(chunk)
    except OSError as error:
        raise DataError(f"Cannot write {file.name} ({describe(error)}); make room and run again.") from None


def clear(file):
    """Empty a part file; return its length, 0."""
    file.seek(0)
    file.truncate()
    return 0


def sha256_of(file):
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def describe(error):
    """Return what went wrong in a few words: an HTTP status, or the operating system's own words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT} seconds"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.split())  # a server's own words may hold line breaks
