"""Bring code to be checked into one form, whatever its own: start(*args) -> y, tape; finish(dy, tape) -> gradients.

One trial, on copies, finds out how the code is called, which of its arrays have a gradient, and where that is.
"""

import copy
import dis
import inspect
from collections.abc import Iterator, ValuesView
from contextlib import contextmanager, suppress

import numpy

from scratchgan.gradcheck.arrays import is_array, refuse, same, shape, to_host, to_kind_of
from scratchgan.gradcheck.calls import called, kept, outputs, parameters, parts, ways
from scratchgan.gradcheck.gradients import TARGETS, fitting, locate, slots_of, strays, twice
from scratchgan.gradcheck.objects import follow, is_numbers, joined, members, name_of, parted, uncopied, walk, write
from scratchgan.gradcheck.plain import Subject
from scratchgan.gradcheck.protocol import of_layer, remarked

NUDGE = 2.0**-20  # by which parameters are moved, to see whether they last
CLEARING = ("zero_grad", "zero_grads", "zero_gradients", "clear_grads", "cleargrads", "reset_grads")


def subject_of(forward, backward, args, names):
    """Return the Subject that `check` was given; see there. Raises TypeError with advice."""
    if backward is not None and not callable(backward) and args is None:
        backward, args = None, backward  # check(layer, x)
    if args is None:
        raise TypeError("check(forward, backward, args) or check(layer, x): there are no arguments to check at")
    if isinstance(forward, type):
        raise TypeError(f"{forward.__name__} is a class: give an object of it, as in {forward.__name__}(...)")
    args = tuple(args) if isinstance(args, list | tuple) else (args,)
    args = tuple(numpy.array(a) if is_numbers(a) else a for a in args)
    is_layer = hasattr(forward, "named_params") and hasattr(forward, "backward")
    owner, forward, backward = (None, forward, backward) if is_layer else methods(forward, backward)
    function = None if is_layer else getattr(owner, forward) if owner else forward
    names = tuple(names or argument_names(function, len(args), owned=owner is not None))
    if len(names) != len(args):
        raise TypeError(f"{len(names)} names, {names}, for {len(args)} arguments")
    for path, leaf in walk(dict(zip(names, args, strict=True))):
        refuse(leaf, name_of(path))
    if is_layer:
        return remarked(of_layer(forward, args, names), forward)
    code = Code(owner, forward, backward, dict(zip(names, args, strict=True)))
    code.learn()
    return code.subject()


def argument_names(function, count, owned=False):
    """Return the names of a function's first arguments, x, x2, x3 where they are not known; an object's first is x."""
    names = parameters(function)[1][:count]
    if len(names) < count:
        return ("x", *[f"x{i}" for i in range(2, count + 1)])
    return ("x", *names[1:]) if owned else tuple(names)


def methods(forward, backward):
    """Return (owner, forward, backward): an object and the names of its methods, or None and two functions."""
    if hasattr(forward, "backward") and backward is None:
        for name in ("forward", "__call__"):
            if callable(getattr(forward, name, None)):
                return forward, name, "backward"
    if inspect.ismethod(forward) and (backward is None or getattr(backward, "__self__", None) is forward.__self__):
        return forward.__self__, forward.__name__, backward and backward.__name__
    if not callable(forward) or not (backward is None or callable(backward)):
        text = f"cannot check a {type(forward).__name__}: it has no forward and backward"
        raise TypeError(f"{text}. Give two functions or methods of yours, check(net.loss, net.gradient, x)")
    return None, forward, backward


def outside(forward):
    """Return {name: value} of what a function reads besides its arguments; of a method, its object."""
    found = dict(getattr(forward, "keywords", None) or {})  # of functools.partial
    function = getattr(forward, "func", forward)
    holder = getattr(function, "__self__", function)
    if members(holder) is not None:
        found[type(holder).__name__] = holder
    with suppress(TypeError, ValueError):
        every, steps = inspect.getclosurevars(function), dis.get_instructions(function)
        read = [step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_DEREF")]
        found |= {n: value for n, value in {**every.globals, **every.nonlocals}.items() if n in read}
    return found


class Code:
    """Two functions, or an object and the names of its methods, and what a trial has taught about them.

    slots: the arrays that the code is started with, in order; where: {name: paths of the gradient}; way: how backward
    is called; dys: with how many upstream gradients; base: the object, with what it builds at its first call; shared:
    names of arrays that could not be copied; plain: names of the slots, where each is just an argument of a function;
    findings: what is wrong with what the trial's backward returned.
    """

    def __init__(self, owner, forward, backward, args):
        self.owner, self.forward, self.backward, self.args = owner, forward, backward, args
        self.slots, self.where, self.way, self.dys = [], {}, (), 1
        self.notes, self.shared, self.findings, self.plain = [], [], [], []
        self.adopt(owner)
        read = {} if owner is not None else outside(forward)
        self.remembers = any(members(value) is not None for value in read.values())  # it may keep things there
        self.note(slots_of({"self": read}), "forward reads it, and does not take it")

    def adopt(self, base):
        """Take an object for the one that is copied."""
        self.base, self.memo = base, uncopied(base, self.args)

    def note(self, slots, reason):
        """Say what is not checked, if there is anything."""
        self.notes += [f"not checked: {', '.join(slot.name for slot in slots)} ({reason})"] if slots else []

    # ---- running ----

    def subject(self):
        """Return the Subject."""
        if self.owner is None and all(s.paths == (("args", s.name),) and is_array(s.value) for s in self.slots):
            self.plain = [slot.name for slot in self.slots]
        outlives = "rest" in self.way or self.backward is None or (self.owner is None and not self.remembers)
        return Subject(
            self.take, self.start, self.finish,
            args=tuple(slot.value for slot in self.slots), names=tuple(slot.name for slot in self.slots),
            upstream="dy" in self.way, interleaves=outlives, inputs=sum(not slot.owned for slot in self.slots),
            manners=lambda tape, dy: self.findings, notes=tuple(self.notes),
        )  # fmt: skip

    def take(self):
        """Return a copy of the object; the object itself if it cannot be copied."""
        return copy.deepcopy(self.base, dict(self.memo))

    def method(self, own, which):
        return getattr(own, which) if isinstance(which, str) else which

    def start(self, own, values=()):
        """Return y and a tape: all that there was, and all that forward returned."""
        copied = copy.deepcopy({n: a for n, a in self.args.items() if n not in self.plain}, dict(self.memo))
        root = {"args": {**self.args, **copied, **dict(zip(self.plain, values, strict=False))}, "self": own}
        with self.holding(root, self.slots, values):
            result = parts(called(self.method(own, self.forward), tuple(root["args"].values())), own)
        ys = result[: self.dys]
        return joined(ys, ys) if self.dys > 1 else ys[0], (root, values, result)

    def finish(self, dy, tape):
        """Return the gradients in the order of the slots; None where there is none."""
        found = {"self": tape[0]["self"], "returned": self.pull(dy, tape, self.way)}
        gradients = [[follow(found, path) for path in self.where.get(slot.name, ())] for slot in self.slots]
        return tuple(sum(g[1:], g[0]) if g else None for g in gradients)

    def pull(self, dy, tape, way):
        """Return what a backward, or what forward returned in its place, returns."""
        (root, values, result), own = tape, tape[0]["self"]
        ys, rest, given = result[: self.dys], result[self.dys :], tuple(root["args"].values())
        backward = self.method(own, self.backward or result[-1])
        if not callable(backward):
            return rest if len(rest) > 1 else rest[0]
        groups = dict(enumerate((value,) for value in given))
        groups |= {"dy": parted(dy, ys) if self.dys > 1 else (dy,), "rest": rest, "args": given, "y": ys}
        groups["kept"] = [y for y in kept(own) if shape(y) == shape(given[0])][:1] if "kept" in way else ()
        with self.holding(root, self.slots, values):
            for name in CLEARING:
                getattr(own, name, lambda: None)()
            returned = backward(*[value for group in way for value in groups[group]])
            returned = returned._asdict() if hasattr(returned, "_asdict") else returned  # a namedtuple
            return list(returned) if isinstance(returned, Iterator | ValuesView) else returned

    @contextmanager
    def holding(self, root, slots, values):
        """Write values into the slots; an object that could not be copied gets its own back."""
        before = []
        for slot, value in () if self.plain else zip(slots, values, strict=True):
            if slot.name in self.shared:
                if value.dtype != slot.value.dtype:
                    raise TypeError(f"{slot.name} is {slot.value.dtype}, and takes no {value.dtype}")
                before.append((slot.paths, numpy.array(slot.value)))
            write(root, slot.paths, value, share=slot.owned)
        try:
            yield
        finally:
            for paths, value in before:
                write(root, paths, value)

    # ---- learning ----

    def learn(self):
        """Find out how the code is called, and what has a gradient, by calling it; decide what it is started with."""
        original, own = {"self": self.owner}, self.take()
        first, result = {path for path, _ in walk(original)}, self.start(own)[1][2]
        if self.backward is None and len(result) == 1:
            raise TypeError("there is no backward, and forward does not return (value, gradients...) or (y, closure)")
        self.adopt(own)
        slots = slots_of({"args": self.args, "self": own})
        given, owned = [s for s in slots if not s.owned], [s for s in slots if s.owned]
        self.shared = [s.name for s in owned if is_array(s.value) and s.value is follow(original, s.paths[0])]
        lasting = self.lasting(owned) if owned else []
        if all(first & set(slot.paths) for slot in lasting):
            self.adopt(self.owner)  # no parts were built at this first call
        root = self.attempt(result, given + lasting)
        lacking = [s for s in slots if s.name not in self.where]
        seen = [a for a in (*self.args.values(), result[0]) if is_array(a)]
        others = [s for s in lacking if first & set(s.paths) and not any(same(s.value, a) for a in seen)]
        self.note(others, "arrays of the object without a gradient")
        numbers = [s for s in lacking if isinstance(s.value, float) and not s.owned]
        self.note(numbers, "a Python float, of which backward returns no gradient")
        self.slots = [s for s in given + lasting if s not in lacking or (is_array(s.value) and not s.owned)]
        if any(slot.name in self.shared for slot in self.slots):
            self.notes.append("the object could not be copied: it was called itself, and has its parameters back")
        floats = [s for s in lacking if is_array(s.value, "f") and s in given]
        others = twice(self.slots, self.where, root)
        self.findings = [f"backward returns another gradient of {name} than it keeps" for name in others]
        if self.owner is None and type(root["returned"]) is tuple:
            count = f"{len(self.where)} gradients for {len(self.args)} arguments {', '.join(self.args)}"
            forgotten = any(slot.name in self.args and slot.name not in TARGETS for slot in floats)
            self.findings += [f"backward returns {count}"] if forgotten else []
        elif floats and not self.where:
            raise TypeError("there is nothing to check: backward returned no gradient of an array of floats")

    def lasting(self, slots):
        """Return the Slots of an object that a forward leaves as they are: not what it keeps for the backward."""
        own, marks = self.take(), [slot.value * (1 + NUDGE) + NUDGE for slot in slots]
        with self.holding({"self": own}, slots, marks):
            with suppress(Exception):  # a forward may refuse to be called twice
                self.start(own)
            pairs = zip(slots, marks, strict=True)
            return [slot for slot, mark in pairs if same(follow({"self": own}, slot.paths[0]), mark)]

    def attempt(self, result, slots):
        """Call backward in one way after the other until its gradients fit; return the object, and what it returned."""
        backward, tried, failures = self.method(self.base, self.backward or result[-1]), [], []
        taken = parameters(backward) if callable(backward) else None
        self.dys = outputs(result, taken[0]) if taken else 1
        names = parameters(self.method(self.base, self.forward))[1][: len(self.args)]
        about = list(self.args.values()), names, self.owner or not self.backward
        for way in ways(taken, result, self.dys, *about) if taken else [()]:
            own = self.take()
            y, tape = self.start(own)
            before = {path: numpy.array(to_host(leaf)) for path, leaf in walk({"self": own}) if is_array(leaf)}
            dy = numpy.random.default_rng(1).standard_normal(shape(y)) if "dy" in way else numpy.ones(shape(y))
            try:
                returned = self.pull(to_kind_of(y)(dy.astype(getattr(y, "dtype", float))), tape, way)
            except Exception as error:  # the code under test may raise anything
                failures.append(error)
                continue
            root = {"self": own, "returned": returned}
            where = locate(slots, root, before)
            tried.append((way, where, root))
            if where and fitting((s.value, follow(root, where[s.name][0])) for s in slots if s.name in where):
                tried = tried[-1:]
                break
        if not tried:
            raise failures[0]
        self.way, self.where, root = tried[0]
        if odd := strays(root, [slot for slot in slots if slot.name in self.where]):
            self.notes.append(f"not checked: {', '.join(odd)} (a number, integers, or of the class: make it an array)")
        if self.way == () and taken and taken[1]:
            self.notes.append("dy is 1: what backward does with another one is not checked")
        return root
