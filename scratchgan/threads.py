"""Who uses a CPU's processors: BLAS's threads within each product, or ours, with whole blocks of work side by side.

A convolution copies windows, multiplies, copies, multiplies. BLAS's threads help only with products, ours with both.
Both at once get in each other's way: BLAS's threads keep a processor busy for a while after each product, waiting for
the next. So one of them has a single thread. Importing this changes nothing; calling `use` does.
"""

import os
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

_pool = None
count = 1  # threads of ours


def use(threads=0, *, blas=True):
    """Give the processors to BLAS, or with blas=False to blocks of our own: best for networks of convolutions.

    threads: how many; 0: as many as there are processors for this process. Raises ValueError below 0.
    """
    global _pool, count
    if threads < 0:
        raise ValueError(f"threads is {threads}, wanted at least 1, or 0 for all processors")
    threads = threads or processors()
    count = 1 if blas else threads
    _pool = ThreadPoolExecutor(count) if count > 1 else None
    threadpool_limits(threads if blas else 1, user_api="blas")


def processors():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(work, items):
    """Return [work(item) for item in items], computed on our threads; each item must write to a place of its own."""
    if _pool is None or len(items) < 2:
        return [work(item) for item in items]
    return list(_pool.map(work, items))
