"""Downloads against a server on this machine that misbehaves in every way a mirror has been seen to."""

import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import scratchgan
from scratchgan.data import download as downloads
from scratchgan.data import mnist
from scratchgan.data.download import download
from scratchgan.support.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """The first part of a URL's path says how the mirror behaves."""

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        self.server.requests.append((behaviour, self.headers.get("Range")))
        getattr(self, behaviour)()

    def log_message(self, *arguments):
        pass

    def first_byte(self):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def head(self, status, length=None, **fields):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def head_of_range(self, content=CONTENT):
        """Send the right head for the range that was asked for; return the bytes that belong to it."""
        start = self.first_byte()
        if start >= len(content):
            self.head(416, 0, Content_Range=f"bytes */{len(content)}")
            return b""
        if "Range" in self.headers:
            last = len(content) - 1
            self.head(206, len(content) - start, Content_Range=f"bytes {start}-{last}/{len(content)}")
        else:
            self.head(200, len(content))
        return content[start:]

    def good(self):
        self.wfile.write(self.head_of_range())

    def no_range(self):
        self.head(200, len(CONTENT))
        self.wfile.write(CONTENT)

    def no_length(self):
        self.head(200)
        self.wfile.write(CONTENT)

    def endless(self):
        self.head(200)
        for _ in range(9):
            self.wfile.write(CONTENT)

    def other_range(self):
        if "Range" in self.headers:
            self.head(206, len(CONTENT) - 7, Content_Range=f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.wfile.write(CONTENT[7:])
        else:
            self.good()

    def always_416(self):
        self.head(416, 0)

    def other_file(self):
        self.head(200, 5)
        self.wfile.write(b"hello")

    def missing(self):
        self.send_error(404)

    def truncated(self):
        self.head(200, len(CONTENT))
        self.wfile.write(CONTENT[:HALF])

    def cut(self):
        rest = self.head_of_range()
        self.wfile.write(rest[: len(rest) // 2])
        self.wfile.flush()
        # Closing with this option resets the connection instead of ending it in good order.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def broken_chunks(self):
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"10\r\nonly eight")

    def slow(self):
        rest = self.head_of_range()
        for start in range(0, len(rest), 20_000):
            self.wfile.write(rest[start : start + 20_000])
            time.sleep(0.05)

    def silent(self):
        self.server.closing.wait(20)

    def nonsense(self):
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments):
        pass  # a client that has gone away


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.closing = [], threading.Event()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.url = lambda behaviour: f"http://127.0.0.1:{server.server_port}/{behaviour}/data.gz"
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "data.gz"


def is_complete(path):
    return path.read_bytes() == CONTENT and [file.name for file in path.parent.iterdir()] == ["data.gz"]


def begin(path, data, name="data.gz.part"):
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / name).write_bytes(data)


def refused(urls, path, words):
    """Check that a download fails with these words and leaves nothing at `path`; return the message."""
    with pytest.raises(DataError, match=words) as caught:
        download(urls, path, SHA256)
    assert not path.exists()
    return str(caught.value)


@pytest.mark.parametrize("behaviour", ["good", "no_range", "no_length", "slow"])
def test_a_good_download(server, path, behaviour):
    assert download([server.url(behaviour)], path, SHA256) == path
    assert is_complete(path)
    assert server.requests == [(behaviour, None)]


def test_a_broken_download_goes_on_where_it_stopped(server, path):
    begin(path, CONTENT[:1234])
    download([server.url("good")], path, SHA256)
    assert is_complete(path)
    assert server.requests == [("good", "bytes=1234-")]


def test_every_byte_is_there_but_the_name(server, path):
    begin(path, CONTENT)
    download([server.url("missing")], path, SHA256)
    assert is_complete(path)
    assert server.requests == []


@pytest.mark.parametrize("behaviour", ["no_range", "no_length", "other_range"])
def test_a_mirror_without_ranges_sends_all_of_it(server, path, behaviour):
    begin(path, CONTENT[:1234])
    download([server.url(behaviour)], path, SHA256)
    assert is_complete(path)


@pytest.mark.parametrize("beginning", [b"x" * 1234, CONTENT + b"x", b"x" * len(CONTENT)])
def test_a_wrong_beginning_is_thrown_away(server, path, beginning):
    begin(path, beginning)
    download([server.url("good")], path, SHA256)
    assert is_complete(path)
    assert server.requests[-1] == ("good", None)


def test_a_mirror_that_refuses_everything_does_not_hold_us(server, path):
    begin(path, CONTENT[:1234])
    refused([server.url("always_416")], path, "HTTP 416")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("missing", "HTTP 404 Not Found"),
        ("truncated", "the connection ended after 150,000 of 300,000 bytes"),
        ("cut", "reset"),
        ("broken_chunks", "IncompleteRead"),
        ("nonsense", "SSH-2.0"),
        ("other_file", f"sent another file: SHA-256 expected {SHA256}, found 2cf24dba5fb0a30e26e83b2a"),
    ],
)
def test_a_mirror_that_fails_and_a_second_one(server, path, behaviour, words):
    message = refused([server.url(behaviour)], path, re.escape(words))
    assert server.url(behaviour) in message
    assert str(path.parent) in message and "--data-dir" in message and "\n" not in message
    download([server.url(behaviour), server.url("good")], path, SHA256)
    assert is_complete(path)


def test_a_mirror_without_an_end_does_not_fill_the_disk(server, path, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST", 2 * len(CONTENT))
    refused([server.url("endless")], path, "sent more than 600,000 bytes")
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="a pipe as POSIX has it")
def test_a_part_that_is_a_pipe_does_not_hold_us(server, path):
    path.parent.mkdir()
    os.mkfifo(path.with_name("data.gz.part"))
    assert is_complete(download([server.url("good")], path, SHA256))


def test_every_mirror_is_heard(server, path):
    message = refused([server.url("missing"), server.url("truncated")], path, "Could not download data.gz")
    assert f"{server.url('missing')}: HTTP 404" in message
    assert f"{server.url('truncated')}: the connection ended" in message


def test_what_came_is_kept_and_used(server, path):
    refused([server.url("truncated")], path, "150,000 of 300,000")
    assert [file.name for file in path.parent.iterdir()] == ["data.gz.part"]
    refused([server.url("missing")], path, "404")
    assert (path.parent / "data.gz.part").read_bytes() == CONTENT[:HALF]
    download([server.url("good")], path, SHA256)
    assert server.requests[-1] == ("good", f"bytes={HALF}-")
    assert is_complete(path)


def test_nothing_wrong_is_kept(server, path):
    refused([server.url("other_file")], path, "another file")
    assert list(path.parent.iterdir()) == []


def test_a_page_instead_of_the_file_does_not_cost_what_came(server, path):
    begin(path, CONTENT[:HALF])
    refused([server.url("other_file")], path, "another file")
    download([server.url("good")], path, SHA256)
    assert server.requests[-1] == ("good", f"bytes={HALF}-")


def test_a_mirror_that_says_nothing(server, path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    refused([server.url("silent")], path, "no answer for 0.2 seconds")


def test_no_network(path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("no_proxy", "*")
    refused([f"http://127.0.0.1:{port}/data.gz"], path, "refused")

    def no_such_name(*arguments, **options):
        raise urllib.error.URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    monkeypatch.setattr(downloads.urllib.request, "urlopen", no_such_name)
    refused(["https://example.org/data.gz"], path, "example.org/data.gz: Name or service not known")


def test_an_address_that_is_none(path):
    refused(["no address"], path, "unknown url type")


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="Cannot write to .*cache"):
        download([server.url("good")], tmp_path / "cache" / "data.gz", SHA256)


def test_a_full_disk_is_not_blamed_on_the_mirror(server, path, monkeypatch):
    class FullDisk:
        name = str(path)

        def write(self, chunk):
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="Cannot write .*data.gz .No space left on device.; make room"):
        downloads.write(FullDisk(), b"x")


def test_an_interrupted_download_keeps_what_came(server, path, monkeypatch):
    write = downloads.write

    def interrupted(file, chunk):
        write(file, chunk)
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download([server.url("good")], path, SHA256)
    [part] = path.parent.iterdir()
    assert part.name == "data.gz.part" and 0 < part.stat().st_size < len(CONTENT)
    assert CONTENT.startswith(part.read_bytes())


# ------------------------------------------------------------------------------------------ several processes


def start_process(url, path):
    code = "import sys; from scratchgan.data.download import download; download([sys.argv[1]], *sys.argv[2:])"
    environment = os.environ | {"PYTHONPATH": str(Path(scratchgan.__file__).parents[1]), "no_proxy": "*"}
    return subprocess.Popen([sys.executable, "-c", code, url, str(path), SHA256], env=environment)


def test_processes_that_download_at_once(server, path):
    processes = [start_process(server.url(behaviour), path) for behaviour in ("slow", "good", "slow")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert is_complete(path)


def test_threads_that_download_at_once(server, path):
    errors = []

    def run(behaviour):
        try:
            download([server.url(behaviour)], path, SHA256)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(b,)) for b in ("slow", "slow", "no_range", "good") * 2]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert is_complete(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_download_goes_on_where_it_stopped(server, path):
    process = start_process(server.url("slow"), path)
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in path.parent.glob("*.part")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert not path.exists()
    download([server.url("good")], path, SHA256)
    assert is_complete(path)
    start = int(re.fullmatch(r"bytes=(\d+)-", server.requests[-1][1])[1])
    assert 0 < start < len(CONTENT)


def test_the_whole_way_from_a_mirror_to_pictures(server, tmp_path, monkeypatch):
    """mnist.load downloads both files, once."""
    files = {
        "t10k-images-idx3-ubyte.gz": b"\0\0\x08\3" + struct.pack(">3I", 2, 28, 28) + bytes(2 * 784),
        "t10k-labels-idx1-ubyte.gz": b"\0\0\x08\1" + struct.pack(">I", 2) + bytes([4, 2]),
    }

    def one_of_the_files(handler):
        content = files[handler.path.rsplit("/", 1)[1]]
        handler.head(200, len(content))
        handler.wfile.write(content)

    monkeypatch.setattr(Handler, "of_ours", one_of_the_files, raising=False)
    base = server.url("of_ours").removesuffix("data.gz")
    monkeypatch.delenv("SCRATCHGAN_DATA", raising=False)
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path)
    monkeypatch.setitem(mnist.MIRRORS, "mnist", (server.url("missing").removesuffix("data.gz"), base))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(mnist.SHA256, "mnist", hashes)
    for _ in range(2):
        np.testing.assert_array_equal(mnist.load("test").labels, [4, 2])
    assert len(server.requests) == 4  # two files, each from the second mirror, and none the second time
    assert sorted(file.name for file in (tmp_path / "mnist").iterdir()) == sorted(files)
