"""Several processes that train together, emulated by threads of one: what MPI adds up is added up here, in order."""

import contextlib
import threading

from scratchgan import parallel


class Emulated(parallel.Group):
    """The group as one of the threads sees it."""

    def __init__(self, rank, size, barrier, table):
        super().__init__()
        self.rank, self.size, self.barrier, self.table = rank, size, barrier, table
        self.place, self.neighbours = rank, size
        self.sums = []  # the bytes of each array that was summed

    def gather(self, value):
        self.table[self.rank] = value
        self.barrier.wait(60)
        every = [self.table[rank] for rank in range(self.size)]
        self.barrier.wait(60)
        return every

    def sum(self, array):
        self.sums.append(array.nbytes)
        every = self.gather(array.copy())
        total = every[0]
        for other in every[1:]:
            total = total + other
        array[...] = total
        return array

    def broadcast(self, value):
        return self.gather(value)[0]


class Own(threading.local):
    group = parallel.ALONE


def together(size, work, monkeypatch):
    """Return [work(rank) for each of `size` threads], which run at once, each a rank of one group."""
    own, barrier, table, results, errors = Own(), threading.Barrier(size), {}, {}, []

    @contextlib.contextmanager
    def alone():
        before, own.group = own.group, parallel.ALONE
        try:
            yield
        finally:
            own.group = before

    def run(rank):
        own.group = Emulated(rank, size, barrier, table)
        try:
            results[rank] = work(rank)
        except threading.BrokenBarrierError:
            pass  # another one has failed
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    monkeypatch.setattr(parallel, "group", lambda: own.group)
    monkeypatch.setattr(parallel, "alone", alone)
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    if errors:
        raise errors[0]
    return [results[rank] for rank in range(size)]
