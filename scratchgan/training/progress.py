"""What a person sees of a running training: a progress bar, or in a file a line now and then; and how it is stopped."""

import signal
import sys
import threading
import time

from tqdm import tqdm

from scratchgan import parallel
from scratchgan.plots import NO_LOSSES
from scratchgan.support.errors import UserError
from scratchgan.support.text import hush, printable


class Progress:
    """A progress bar with losses and samples per second; where stderr is no terminal, a line every 30 seconds."""

    def __init__(self, step, steps, batch_size):
        on_terminal = sys.stderr is not None and sys.stderr.isatty()  # a program without any has no stderr
        on_terminal = on_terminal and parallel.group().rank == 0
        self.bar = tqdm(total=steps, initial=step, unit=" steps", disable=not on_terminal, dynamic_ncols=True)
        self.steps, self.batch_size = steps, batch_size
        self.said = self.time = time.perf_counter()
        self.step = step

    def advance(self):
        """Count one step."""
        self.bar.update()

    def show(self, step, losses):
        """Show the losses of a step, and the speed since the losses that were shown before."""
        now = time.perf_counter()
        rate = (step - self.step) * self.batch_size / max(now - self.time, 1e-9)
        self.step, self.time = step, now
        text = ", ".join([f"{name} {loss:.4g}" for name, loss in losses.items()] + [f"{rate:,.0f} samples/s"])
        self.bar.set_postfix_str(printable(text))
        if self.bar.disable and (now - self.said >= 30 or step == self.steps):
            self.said = now
            self.say(f"step {step:,} of {self.steps:,}: {text}")

    def say(self, text):
        """Print a line above the bar; where nobody can read it any more, training goes on without a word."""
        self.bar.clear()
        try:
            say(text)
        except OSError:  # a terminal that was closed, a full disk, a `head` that has read enough
            hush(sys.stdout)
        self.bar.refresh()

    def close(self):
        self.bar.close()


def say(text):
    """Print a line at once; names of files and of losses are in it, and no terminal obeys them."""
    print(printable(text), flush=True)


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal, after its step was finished and a checkpoint written."""

    def __init__(self, number, run, step):
        super().__init__(f"stopped at step {step:,}")
        self.number, self.run, self.step = number, run, step


HANGUP = getattr(signal, "SIGHUP", None)  # a terminal was closed; Windows has no such signal


class Stop:
    """Within a `with` block, SIGINT (Ctrl-C), SIGTERM and SIGHUP are only noted, in `number`; a second stops at once.

    But for SIGHUP: of one closed window, both the shell and the system may tell.
    """

    def __init__(self):
        self.number = None
        self.handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
            for number in filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)):
                if signal.getsignal(number) != signal.SIG_IGN:  # as with nohup, or in the background of a script
                    self.handlers[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *error):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def note(self, number, frame):
        if self.number is not None and HANGUP not in (number, self.number):
            raise KeyboardInterrupt
        self.number = number


# ---- numbers ---------------------------------------------------------------------------------------------


def demand_losses(losses):
    """Raise UserError unless a step returned {name: number}, by names that a line of the log has free."""
    demand_numbers(losses, "what a step returns")
    taken = sorted(losses.keys() & set(NO_LOSSES))
    if taken:
        raise UserError(f"The loss {taken[0]!r} needs another name: a line of the log has its own {taken[0]!r}.")


def demand_numbers(numbers, what):
    """Raise UserError unless this is a dictionary of single numbers, each by a name."""
    if not isinstance(numbers, dict):
        raise UserError(f"{what} must be a dictionary, {{name: number}}, not a {type(numbers).__name__}.")
    for name, value in numbers.items():
        shape, kind = getattr(value, "shape", ()), getattr(getattr(value, "dtype", None), "kind", "f")
        if not isinstance(name, str) or shape != () or kind not in "biuf" or not hasattr(value, "__float__"):
            got = f"{value.dtype} {shape}" if hasattr(value, "dtype") else type(value).__name__
            raise UserError(f"{name!r} of {what} must be a single number by a name, not {got}.")


def as_line(report):
    """Return the numbers of a report as one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in report.items())


def to_number(value):
    """Return a number of a report, which may be NumPy's or a 0-d array, as Python's."""
    return value.item() if hasattr(value, "item") else value
