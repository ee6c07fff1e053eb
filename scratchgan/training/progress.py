"""What a person sees of a running training: a progress bar, or in a file a line now and then; and how it is stopped."""

import signal
import sys
import threading
import time

from tqdm import tqdm


class Progress:
    """A progress bar with losses and samples per second; where stderr is no terminal, a line every 30 seconds."""

    def __init__(self, step, steps, batch_size):
        self.bar = tqdm(total=steps, initial=step, unit=" steps", disable=not sys.stderr.isatty(), dynamic_ncols=True)
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
        self.bar.set_postfix_str(text)
        if self.bar.disable and (now - self.said >= 30 or step == self.steps):
            self.said = now
            self.say(f"step {step:,} of {self.steps:,}: {text}")

    def say(self, text):
        """Print a line above the bar."""
        self.bar.clear()
        print(text, flush=True)
        self.bar.refresh()

    def close(self):
        self.bar.close()


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal, after its step was finished and a checkpoint written."""

    def __init__(self, number, run, step):
        super().__init__(f"stopped at step {step:,}")
        self.number, self.run, self.step = number, run, step


class Stop:
    """Within a `with` block, SIGINT (Ctrl-C) and SIGTERM are only noted, in `number`; a second one stops at once."""

    def __init__(self):
        self.number = None
        self.handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:  # as for a job in the background of a shell script
                    self.handlers[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *error):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def note(self, number, frame):
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
