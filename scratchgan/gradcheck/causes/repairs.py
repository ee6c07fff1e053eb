"""The cause in your own code: a line of backward, and what has to stand there for the gradients to be right.

In one place after the other something else is computed, as `edits` says, and backward is run. What makes a gradient
right, here, near by and elsewhere, for other upstream gradients, is no guess. First it is found out which places
matter: those whose value moves every wrong entry, and no gradient that is right.
"""

import ast
import contextlib
import functools
import itertools
import warnings

import numpy

from scratchgan.gradcheck.causes import edits
from scratchgan.gradcheck.causes.apart import apart
from scratchgan.gradcheck.causes.code import functions_of, places
from scratchgan.gradcheck.causes.constants import ALIKE, POOL, SHOWN, SUPPORT
from scratchgan.gradcheck.causes.evidence import Clock, largest
from scratchgan.gradcheck.plain import AGREE

HOOK = "__changed__"
NESTED = ast.FunctionDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Seen(Exception):
    """This place has had this value before."""


class Hook:
    """What stands around an expression that is changed: it computes another value from it and from the variables."""

    def __init__(self):
        self.change, self.calls, self.seen, self.scope = None, 0, None, {}

    def __call__(self, value, variables):
        self.calls += 1
        new = self.change(value, variables) if callable(self.change) else self.evaluated(value, variables)
        if self.seen is not None and self.calls == 1 and isinstance(new, numpy.ndarray | float):
            key = (numpy.shape(new), numpy.asarray(new).tobytes())
            if key in self.seen:
                raise Seen
            self.seen.add(key)
        return new

    def evaluated(self, value, variables):
        return eval(self.change, self.scope, {**variables, "_": value, "numpy": numpy})


def moved(value, _):
    """Return a value moved by random amounts; raise Seen where it is no array of floats."""
    if not (isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"):
        raise Seen
    away = numpy.random.default_rng(3).uniform(0.1, 0.3, numpy.shape(value))
    size = numpy.sqrt(numpy.mean(numpy.square(value))) if numpy.any(value) else 1.0
    return value * (1 + away) + 0.1 * away * size


@functools.lru_cache(4096)
def compiled(text):
    """Return the code of an expression."""
    return compile(text, "<edit>", "eval")


class Repairs:
    """The search for one edit; evidence: {name: Evidence} of the wrong arguments."""

    def __init__(self, context, evidence, clock):
        self.context, self.evidence, self.clock = context, evidence, clock
        self.known, self.right = {}, {n: c for n, c in context.comparisons.items() if c.verdict == AGREE}
        self.tried, self.left, self.hook = 0, set(evidence), Hook()

    def gradients(self, look=None):
        """Return {name: gradient} of backward, at the arguments or at another look."""
        context = look.context if look else self.context
        dy = numpy.asarray(context.dy, self.context.dy.dtype)
        found = context.backward(dy, *[numpy.array(a) for a in context.args])
        return dict(zip(context.names, found, strict=False))

    def search(self, say):
        """Say (names, text) of edits, each confirmed, until every wrong argument has one."""
        functions, self.before = functions_of(self.gradients), self.gradients()
        forward = functions_of(lambda: self.context.forward(*self.context.args))
        functions.sort(key=lambda f: f.original in [g.original for g in forward])  # what forward runs is likely right
        with warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            self.sites = [site for function in functions for site in self.sites_of(function)]
            for site, change in self.changes(functions, forward):
                if self.clock.over() or not self.left:
                    return
                self.attempt(site, change, say)

    def attempt(self, site, change, say):
        """Try one change; say it where it makes a gradient right."""
        self.tried += 1
        fixed = set()
        with contextlib.suppress(Exception), site.changed(change):  # a changed program may do anything
            fixed = self.fixed()
        if fixed:
            say((fixed, site.described(change)))
            self.left -= fixed

    def fixed(self):
        """Return the wrong arguments that are right now, at every look, with right ones and the output as they were."""
        gradients = self.gradients()
        fixed = {name for name in self.left if self.agrees(gradients[name], self.evidence[name])}
        if not fixed or not all(same(gradients[name], self.before[name]) for name in self.right):
            return set()
        self.hook.seen = None
        if not same(self.context.forward(*self.context.args), self.context.y):
            return set()
        looks = {name: self.looks(name) for name in fixed}
        return {n for n in fixed if looks[n] and all(self.agrees(self.gradients(one)[n], one) for one in looks[n])}

    def agrees(self, gradient, e):
        """Whether a gradient is the right one of an Evidence."""
        if "limit" not in e.known:
            e.known["limit"] = numpy.where(e.checked, e.tolerance(), numpy.inf)
        away = abs(numpy.asarray(gradient, float) - e.right)
        return away.shape == numpy.shape(gradient) == e.right.shape and bool((away <= e.known["limit"]).all())

    def looks(self, name):
        """Return the Evidence of other arguments and another dy; made once."""
        if name not in self.known:
            self.known[name] = [look for look in map(self.evidence[name].again, (False, True)) if look.checked.any()]
        return self.known[name]

    # ---- where, and what ----

    def sites_of(self, function):
        """Return the Sites of a function at which a change may matter."""
        sites, fates, alive = [], {}, False
        for place in places(function.tree):
            site = Site(function, place, self.hook)
            fate = next((fates[id(parent)] for parent in reversed(place.parents) if id(parent) in fates), True)
            if site.computes and not any(isinstance(parent, ast.Compare) for parent in place.parents):
                with contextlib.suppress(Exception), site.changed(moved):
                    fate = self.moves(self.gradients())
                    alive |= fate
                    site.once = self.hook.calls == 1
                fates[id(place.node)] = fate
            if fate:
                sites.append(site)
        return sites if alive else []  # else it computes nothing that matters

    def moves(self, gradients):
        """Whether gradients moved at all wrong entries of some argument, and at none of a right one."""
        if not all(same(gradients[name], self.before[name], SUPPORT) for name in self.right):
            return False
        for name, e in self.evidence.items():
            own, before = numpy.asarray(gradients[name], float), numpy.asarray(self.before[name], float)
            if not e.same_shape or own.shape != before.shape:
                return True
            if numpy.all((abs(own - before) > SUPPORT * largest(before))[e.wrong]):
                return True
        return False

    def changes(self, functions, forward):
        """Yield (Site, change) for all that is tried, the likeliest first."""
        computing = [site for site in self.sites if site.computes]
        for site in self.sites:
            yield from ((site, new) for new in site.own_changes())
        for site, text in itertools.product(computing, edits.WRAPPED):
            yield site, text
        for site in computing:
            yield from ((site, text) for text in self.terms(site))
        sizes = sorted({n for a in (*self.context.args, self.context.y) for n in numpy.shape(a) if n > 1})
        sizes = dict.fromkeys(map(str, [*sizes, *[m * n for m, n in itertools.combinations(sizes, 2)]]))
        for site, text, size in itertools.product(computing, edits.FACTORS, sizes):
            yield site, text.replace("{}", size)
        numbers = list(dict.fromkeys(number for function in forward for number in function.numbers()))
        names = {function: [*function.variables(), *numbers] for function in functions}
        pools = {f: expressions([f.tree, *[one.tree for one in forward]], names[f]) for f in functions}
        pools = {f: [f"({other})" for other in pool] for f, pool in pools.items()}
        for texts, words in itertools.product((edits.INSERTED[:5], edits.INSERTED[5:]), (names, pools)):
            for text, site in itertools.product(texts, computing):
                yield from ((site, text.replace("{}", word)) for word in words[site.function])

    def terms(self, site):
        """Yield changes of a returned gradient: it lacks a product of two variables, or has to be multiplied by one."""
        if not isinstance(site.place.parents[-1 - isinstance(site.place.parents[-1], ast.Tuple)], ast.Return):
            return
        held = {}
        with contextlib.suppress(Exception), site.changed(lambda value, variables: held.update(variables, _=value)):
            self.gradients()
        own, arrays = held.pop("_", None), [n for n, v in held.items() if isinstance(v, numpy.ndarray | float)]
        for e in self.evidence.values():
            if not (e.same_shape and isinstance(own, numpy.ndarray | float) and same(own, e.raw)):
                continue
            for how, wanted in (("_ + ", e.right - e.yours), ("_ * ", e.right / e.yours)):
                for (a, b), text in itertools.product(itertools.product(arrays, arrays), edits.TERMS):
                    with contextlib.suppress(Exception):
                        term = text.replace("A", a).replace("B", b)
                        value = eval(compiled(term), {}, held)
                        times = float(numpy.sum(value * wanted) / numpy.sum(value * value))
                        simple = any(abs(abs(times) - one) < ALIKE for one in (0.5, 1, 2))  # others may be chance
                        if simple and value.shape == wanted.shape and same(times * value, wanted):
                            number = "" if abs(times - 1) < ALIKE else f"{times:.12g} * "
                            yield how + number + term


class Site:
    """A place in a function, and how to run the function with a change there.

    A change is a text of an expression, in which _ is the value so far, a node, a list of statements, or a function.
    """

    def __init__(self, function, place, hook):
        self.function, self.place, self.hook = function, place, hook
        self.computes = isinstance(place.node, ast.expr) and not isinstance(place.node, ast.Slice | ast.Starred)
        self.once, self.seen, self.code = False, set(), None

    @contextlib.contextmanager
    def changed(self, change):
        """Run the function with a change."""
        if not self.computes:
            with self.place.replaced(change):
                code = self.function.compiled()
        else:
            self.code = code = self.code or self.hooked()
            if isinstance(change, ast.AST):
                change = compile(ast.fix_missing_locations(ast.Expression(change)), "<edit>", "eval")
            self.hook.change = compiled(change) if isinstance(change, str) else change
        self.hook.calls, self.hook.seen = 0, self.seen if self.once else None
        self.hook.scope = scope = self.function.functions[0].__globals__
        scope[HOOK] = self.hook
        try:
            with self.function.running(code):
                yield
        finally:
            del scope[HOOK]

    def hooked(self):
        """Return the code with the hook around the place."""
        scope = "locals()"
        if any(isinstance(parent, NESTED) for parent in self.place.parents[1:]):  # which has its own
            names = ", ".join(f"'{name}': {name}" for name in self.function.known_at(self.place.node))
            scope = f"{{{names}, **locals()}}" if names else scope
        call = ast.parse(f"{HOOK}(None, {scope})", mode="eval").body
        call.args[0] = self.place.node
        with self.place.replaced(call):
            return self.function.compiled()

    def own_changes(self):
        """Yield the changes of what stands here by its own kind."""
        node = self.place.node
        yield from edits.of_statement(node) if isinstance(node, ast.stmt) else edits.changes(node)
        if isinstance(node, ast.Subscript):
            pool = [other.slice for other in ast.walk(self.function.tree) if isinstance(other, ast.Subscript)]
            yield from (ast.Subscript(node.value, other, ast.Load()) for other in pool)

    def described(self, change):
        """Return what a change says: the line, what stands there, and what should."""
        place, line, shown = self.place, f"line {self.place.node.lineno} of {self.function.name}", around(self.place)
        before = ast.unparse(shown)
        with place.replaced(edits.filled(change, place.node) if isinstance(change, str) else change):
            after = ast.unparse(place.get() if shown is place.node else shown)
        if after == "pass":
            return f"right once {line} is without {quoted(before)}"
        return f"right once {line} has {quoted(after)} for {quoted(before)}"


def same(a, b, error=ALIKE):
    """Whether two arrays are equal but for a relative error; None is none."""
    if a is None or b is None:
        return a is b
    a, b = numpy.asarray(a), numpy.asarray(b)
    return a.shape == b.shape and bool(numpy.all((abs(a - b) <= error * largest(b)) | (a == b) | ((a != a) & (b != b))))


def expressions(trees, names):
    """Return the shorter expressions of functions, as texts, of names that one of them knows."""
    kinds, found = ast.BinOp | ast.Call | ast.Subscript | ast.Attribute | ast.Compare | ast.UnaryOp, {}
    for tree in trees:
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in ast.walk(tree):
            known = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & own <= set(names)
            if isinstance(node, kinds) and known and not isinstance(getattr(node, "ctx", None), ast.Store):
                found[ast.unparse(node)] = None
    return sorted(found, key=len)[:POOL]


def quoted(code):
    """Return code as a quotation of one line."""
    return f"`{' '.join(code.split())}`"


def around(place):
    """Return the node around a place that is shown: the largest expression that is short."""
    node = place.node
    for parent in reversed(place.parents):
        if isinstance(node, ast.stmt) or isinstance(parent, ast.stmt | ast.Lambda) or len(ast.unparse(parent)) > SHOWN:
            break
        node = parent
    return node


def edits_of(context, evidence, seconds, clock):
    """Return [(names of arguments, text)], each an edit of the code that makes their gradients right.

    Changed code may do anything, and the changed indices of a C function write anywhere: it runs apart.
    """
    work = lambda say: Repairs(context, evidence, Clock(seconds, clock)).search(say)
    found = []
    with contextlib.suppress(Exception):  # this system, or this process, makes no copies of itself
        found = apart(work, Clock(seconds, clock).wall)
    return [([name for name in evidence if name in names], text) for names, text in found]
