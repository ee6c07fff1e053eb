"""Who uses a CPU's processors: BLAS's threads within products, or ours, with blocks side by side.

A convolution copies windows, multiplies, copies, multiplies. BLAS's threads help with products,
ours with both. Together they get in each other's way, as BLAS's keep a processor busy for a while
after each product. So one of them has a single thread, once `use` is called.

For the same reason, two programs with a thread per processor each are far slower than with one:
threads wait for each other, and each takes a processor to wait.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scratchgan import xp

LEAST = 2**21  # numbers of an array that two caches hold no better than one
_pool = None
count = 1  # threads of ours


def use(threads=0, *, blas=True):
    """Give the processors to BLAS, or with blas=False to our blocks: best for convolutions.

    threads: how many; 0: as many processors as are `idle`. Raises ValueError below 0.
    """
    global _pool, count
    if threads < 0:
        raise ValueError(f"threads is {threads}, wanted at least 1, or 0 for all that are idle")
    from threadpoolctl import threadpool_limits  # here, since importing it takes long

    threads = threads or idle()
    count = 1 if blas else threads
    _pool = ThreadPoolExecutor(count - 1) if count > 1 else None
    threadpool_limits(threads if blas else 1, user_api="blas")


def processors():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def idle():
    """Return how many processors of this process nobody else keeps busy, at least 1."""
    return max(1, processors() - round(others() * processors() / (os.cpu_count() or 1)))


def others(looks=10, pause=0.002, file=Path("/proc/loadavg")):
    """Return how many threads of others are running or want to, as Linux tells; 0.0 elsewhere.

    That is at this moment: the load of the last minute would be that of a program that has ended.
    """
    try:
        running = []
        for _ in range(looks):
            running.append(int(file.read_text().split()[3].split("/")[0]) - 1)  # 1: this thread
            time.sleep(pause)
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(sum(running) / looks, 0.0)


def each(work, items):
    """Return [work(item) for item in items], on our threads; each item writes to its own place.

    This thread takes its turns, too: it need not be woken, and none waits for a thread that waits.
    """
    if _pool is None or len(items) < 2:
        return [work(item) for item in items]
    todo, results = enumerate(items), [None] * len(items)

    def take_turns():
        for index, item in todo:
            results[index] = work(item)

    helpers = [_pool.submit(take_turns) for _ in range(min(count, len(items)) - 1)]
    try:
        take_turns()
    finally:
        for helper in [helper for helper in helpers if not helper.cancel()]:
            helper.result()
    return results


def parts(x):
    """Return slices of x's first axis for `each`: a share for each useful thread, or `...`."""
    n = useful(x)
    edges = [len(x) * i // n for i in range(n + 1)] if n > 1 else []
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b] or [...]


def useful(x):
    """Return how many threads pay where each number of x is touched once or twice: many, or one."""
    return count if x.size >= LEAST and not xp.on_gpu() else 1
