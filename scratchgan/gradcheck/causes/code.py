"""The source of the functions that a call runs, and how to run them with one place in it changed.

A function's code is compiled anew from its changed syntax tree and put in its place for one call: whatever holds the
function, a layer, a closure or a list of layers, then runs the changed one.
"""

import ast
import contextlib
import copy
import functools
import gc
import linecache
import sys
import sysconfig
import types

import numpy

LIBRARIES = tuple({*(sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib")), "<frozen"})
OURS = __file__.rpartition("causes")[0]  # the checker's own files
RISKY = {"open", "os", "shutil", "subprocess", "Path", "eval", "exec", "save", "savez", "dump", "write"}  # left alone
NEVER = ("annotation", "returns", "decorator_list", "defaults", "kw_defaults", "ctx")  # fields that are no arithmetic


class Function:
    """One function of the code under test: its tree, which may be changed, and the function objects that run it."""

    def __init__(self, code, tree, functions):
        self.original, self.tree, self.functions = code, tree, functions
        self.name = "lambda" if isinstance(tree, ast.Lambda) else code.co_name

    @contextlib.contextmanager
    def running(self, code):
        """Run this code in place of the function's own."""
        try:
            for function in self.functions:
                function.__code__ = code
            yield
        finally:
            for function in self.functions:
                function.__code__ = self.original

    def compiled(self, keep=True):
        """Return the code of the tree as it is; keep: with all variables of outer functions, used or not."""
        tree, free = self.tree, self.original.co_freevars
        outer = ast.parse(f"def outer({', '.join(free)}): pass")
        if isinstance(tree, ast.Lambda):
            outer.body[0].body = [ast.Expr(tree)]
        else:
            used = [ast.Expr(ast.parse(f"({', '.join(free)},)").body[0].value)] if free and keep else []
            outer.body[0].body = [ast.FunctionDef(tree.name, tree.args, [*tree.body, *used], [], None)]
        ast.fix_missing_locations(outer)
        code = compile(outer, self.original.co_filename, "exec")
        for _ in range(2):
            code = next(inner for inner in code.co_consts if isinstance(inner, types.CodeType))
        return code

    def variables(self):
        """Return the names of the variables of a function, and of the arrays that it reads from outside."""
        names = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        scope = self.functions[0].__globals__ if self.functions else {}
        values = [name for name in names if isinstance(scope.get(name), numpy.ndarray | float)]
        own = {*self.original.co_varnames, *self.original.co_freevars, *self.original.co_cellvars, *values}
        return [name for name in dict.fromkeys([*self.original.co_varnames, *names]) if name in own]

    def known_at(self, node):
        """Return the names of the variables of a function that have a value above a node."""
        above = [one.id for one in ast.walk(self.tree) if isinstance(one, ast.Name) and one.lineno < node.lineno]
        own = [*self.original.co_varnames, *self.original.co_cellvars]
        given = [arg.arg for arg in self.tree.args.args]
        return [name for name in dict.fromkeys(own) if name in given or name in above]

    def numbers(self):
        """Return the texts of the numbers in a function, but for 0, 1 and 2."""
        values = [node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant)]
        return [repr(value) for value in values if isinstance(value, int | float) and value not in (0, 1, 2)]


def functions_of(call):
    """Return the Functions whose source is known, of those written in Python that a call runs."""
    codes = {}
    if sys.getprofile():  # somebody measures
        return []
    sys.setprofile(lambda frame, event, _: codes.setdefault(frame.f_code) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    codes = [code for code in codes if not code.co_filename.startswith((OURS, *LIBRARIES))]
    inner = {one for code in codes for one in code.co_consts if isinstance(one, types.CodeType)}
    holders, found = [f for f in gc.get_referrers(*codes) if isinstance(f, types.FunctionType)] if codes else [], []
    for code in codes:
        if code not in inner and RISKY.isdisjoint(code.co_names) and (tree := tree_of(code)):
            found.append(Function(code, tree, [f for f in holders if f.__code__ is code]))
    return found


@functools.lru_cache(8)
def parsed(text):
    """Return the syntax tree of a file's text."""
    return ast.parse(text)


def tree_of(code):
    """Return a copy of the syntax tree of a function's code; None where the source is not there, or another."""
    try:
        tree = parsed("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        is_function = isinstance(node, ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef)
        if is_function and code.co_firstlineno == first_line(node):
            own = copied(node)
            with contextlib.suppress(SyntaxError, StopIteration):
                if mark(Function(code, own, []).compiled(keep=False)) == mark(code):
                    return own
    return None


def mark(code):
    """Return what the code of one function has in common, whether it was compiled alone or with its module."""
    constants = [repr(one) for one in code.co_consts if not isinstance(one, types.CodeType)]
    return code.co_varnames, code.co_names, code.co_freevars, constants


def first_line(node):
    return min(part.lineno for part in [node, *getattr(node, "decorator_list", ())])


def copied(node):
    """Return a copy of a function's tree, without what is no part of its code."""
    own = copy.deepcopy(node)
    own.args.defaults, own.args.kw_defaults = [], [None] * len(own.args.kwonlyargs)
    return own


class Place:
    """Where an expression, or a statement, stands in a tree: holder[key] or holder.key."""

    def __init__(self, holder, key, parents):
        self.holder, self.key, self.parents, self.node = holder, key, parents, None
        self.node = self.get()

    def get(self):
        return self.holder[self.key] if isinstance(self.holder, list) else getattr(self.holder, self.key)

    @contextlib.contextmanager
    def replaced(self, new):
        """Put another node, or for a statement a list of them, here for a while."""
        many = isinstance(new, list)
        try:
            if many:
                self.holder[self.key : self.key + 1] = new
            else:
                self.put(new)
            yield
        finally:
            if many:
                self.holder[self.key : self.key + len(new)] = [self.node]
            else:
                self.put(self.node)

    def put(self, node):
        if isinstance(self.holder, list):
            self.holder[self.key] = node
        else:
            setattr(self.holder, self.key, node)


def places(node, parents=()):
    """Yield a Place for every statement and every expression that is computed, the larger ones first."""
    for field, value in ast.iter_fields(node):
        endless = field == "iter" and "range" not in ast.unparse(value)  # over a list that grows, say
        if field in NEVER or isinstance(node, ast.While) or endless:
            continue
        many = isinstance(value, list)
        for holder, key, child in [(value, i, one) for i, one in enumerate(value)] if many else [(node, field, value)]:
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if not isinstance(child, ast.AST) or isinstance(child, ast.arguments) or docstring:
                continue
            stored = isinstance(getattr(child, "ctx", None), ast.Store)
            unused = isinstance(node, ast.Expr) or (isinstance(node, ast.Call) and field == "func")
            if isinstance(child, ast.stmt | ast.expr) and not stored and not unused:
                yield Place(holder, key, (*parents, node))
            if stored and isinstance(child, ast.Subscript):
                yield Place(child, "slice", (*parents, node, child))
                yield from places(child.slice, (*parents, node, child))
            elif not stored or isinstance(child, ast.Tuple | ast.List):
                yield from places(child, (*parents, node))
