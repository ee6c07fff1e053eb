"""Write a backward with a switch for bugs as a person would have written the bug: without the switch.

A bank's backward(dy, x, bug="") holds the right code and several wrong versions. What looks for causes in code must see
one of them, and no trace of the others.
"""

import ast
import copy
import difflib
import functools
import inspect
import linecache
from pathlib import Path


class Fold(ast.NodeTransformer):
    """Put constants for names, and take the branches that they decide."""

    def __init__(self, constants):
        self.constants = constants

    def visit_Name(self, node):
        known = node.id in self.constants and isinstance(node.ctx, ast.Load)
        return ast.copy_location(ast.Constant(self.constants[node.id]), node) if known else node

    def visit_Compare(self, node):
        return self.evaluated(self.generic_visit(node))

    def visit_UnaryOp(self, node):
        node = self.generic_visit(node)
        return self.evaluated(node) if isinstance(node.op, ast.Not) else node

    def visit_BoolOp(self, node):
        node = self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        known = [value for value in node.values if isinstance(value, ast.Constant)]
        if any(bool(value.value) == decides for value in known):
            return ast.Constant(decides)
        node.values = [value for value in node.values if value not in known]
        return node if len(node.values) > 1 else node.values[0] if node.values else ast.Constant(not decides)

    def visit_BinOp(self, node):
        """Leave out a 0 that is added, a 1 that multiplies: a person would not have written them."""
        node = self.generic_visit(node)
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
            return node
        neutral = 0 if isinstance(node.op, ast.Add | ast.Sub) else 1
        if is_constant(node.right, neutral):
            return node.left
        return node.right if is_constant(node.left, neutral) and isinstance(node.op, ast.Add | ast.Mult) else node

    def visit_Call(self, node):  # bug.startswith("..."), {...}.get(bug, ...)
        return self.evaluated(self.generic_visit(node))

    def visit_Subscript(self, node):
        return self.evaluated(self.generic_visit(node))

    def evaluated(self, node):
        """Return an expression of constants alone as a constant, a dictionary's entry as that."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Dict) and node.func.attr == "get":
                return entry(node.func.value, node.args[0], *node.args[1:]) or node
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            return entry(node.value, node.slice) or node
        constant = not any(isinstance(part, ast.Name) for part in ast.walk(node))
        if isinstance(node, ast.Subscript) or not constant:
            return node
        return ast.copy_location(ast.Constant(eval(ast.unparse(node))), node)

    def visit_IfExp(self, node):
        node = self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node):
        node = self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return (node.body if node.test.value else node.orelse) or None
        return node


def entry(table, key, default=None):
    """Return the expression under a key that is known, of a dictionary that is written out; None where it is not."""
    if not isinstance(key, ast.Constant) or not all(isinstance(one, ast.Constant) for one in table.keys):
        return None
    found = [value for one, value in zip(table.keys, table.values, strict=True) if one.value == key.value]
    return found[0] if found else default or ast.Constant(None)


def is_constant(node, value):
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == value


def tidy(body, used):
    """Return statements without those after a return, and without values that are not used."""
    kept = []
    for statement in body:
        for field in ("body", "orelse"):
            if getattr(statement, field, None):
                setattr(statement, field, tidy(getattr(statement, field), used) or [ast.Pass()])
        kept.append(statement)
        if isinstance(statement, ast.Return):
            break
    names = lambda node: {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    result = []
    for i, statement in enumerate(kept):
        if isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets):
            target = statement.targets[0].id
            if target not in used:
                continue
            dead = False
            for later in kept[i + 1 :]:
                if target in names(later) or not isinstance(later, ast.Assign):
                    break
                if [ast.unparse(t) for t in later.targets] == [target]:
                    dead = True
                    break
            if dead:
                continue
        result.append(statement)
    return result


def folded(tree, constants):
    """Return a function's tree with constants for some of its parameters."""
    tree = copy.deepcopy(tree)
    tree = Fold(constants).visit(tree)
    arguments = tree.args
    arguments.args = [a for a in arguments.args if a.arg not in constants]
    arguments.defaults, arguments.kwonlyargs, arguments.kw_defaults = [], [], []
    before = ""
    while before != (text := ast.unparse(ast.fix_missing_locations(tree))):
        before = text
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        tree.body = tidy(tree.body, used)
    return tree


def without_switch(function, constants, rights=None):
    """Return (function, lines of it that are not in the right version).

    constants: {parameter: value} of the wrong version; rights: of the right one, if it is known.
    """
    tree = next(definition(node) for node in source_of(function) if defines(node, constants))
    defaults = dict(zip([a.arg for a in tree.args.args][::-1], (function.__defaults__ or ())[::-1], strict=False))
    defaults |= function.__kwdefaults__ or {}
    plain = {n: v for n, v in defaults.items() if isinstance(v, str | int | float | bool | tuple | None)}
    versions = [ast.unparse(folded(tree, plain | given)) for given in (constants, rights or {})]
    lines = planted_lines(*versions) if rights is not None else None
    name = f"<{function.__name__} with {', '.join(f'{k}={v!r}' for k, v in constants.items())}>"
    linecache.cache[name] = (len(versions[0]), None, versions[0].splitlines(keepends=True), name)
    outer = inspect.getclosurevars(function).nonlocals
    scope, made = {**function.__globals__, **outer} if outer else function.__globals__, {}
    exec(compile(versions[0], name, "exec"), scope, made)
    return made[tree.name], lines


@functools.cache
def parsed(path):
    return ast.parse(Path(path).read_text())


def source_of(function):
    """Return the nodes, in a module's tree, that begin where a function does."""
    nodes = ast.walk(parsed(inspect.getsourcefile(function)))
    kinds, line = ast.FunctionDef | ast.Lambda, function.__code__.co_firstlineno
    return [node for node in nodes if isinstance(node, kinds) and node.lineno == line]


def defines(node, constants):
    """Whether a function has these parameters."""
    return {*constants} <= {a.arg for a in node.args.args + node.args.kwonlyargs}


def definition(node):
    """Return a definition with def, also of a lambda."""
    if isinstance(node, ast.FunctionDef):
        return node
    return ast.FunctionDef("backward", node.args, [ast.Return(node.body)], [], None, lineno=1)


def plainly(backward):
    """Return a backward that calls a function with constants, as in lambda dy, x: f(dy, x, flip=True), without them."""
    if isinstance(backward, functools.partial):
        return written(backward.func, backward.keywords) or backward
    if getattr(backward, "__name__", "") != "<lambda>":
        return backward
    body = next((node.body for node in source_of(backward) if alike(node, backward)), None)
    if not (isinstance(body, ast.Call) and isinstance(body.func, ast.Name) and body.keywords):
        return backward
    keywords = {k.arg: k.value.value for k in body.keywords if isinstance(k.value, ast.Constant)}
    passed = [arg.value if isinstance(arg, ast.Starred) else arg for arg in body.args]
    own = backward.__code__.co_varnames
    if len(keywords) < len(body.keywords) or not all(isinstance(a, ast.Name) and a.id in own for a in passed):
        return backward
    return written(backward.__globals__.get(body.func.id), keywords)


def alike(node, function):
    """Whether a lambda compiles to a function's code."""
    code = compile(ast.fix_missing_locations(ast.Expression(node)), "", "eval").co_consts[0]
    return code.co_code == function.__code__.co_code and code.co_names == function.__code__.co_names


def written(function, constants):
    made, lines = without_switch(function, constants, {})
    made.planted_lines = lines
    return made


def planted_lines(wrong, right):
    """Return the numbers of a wrong version's lines that are not the right one's, or stand beside one that is lost."""
    matcher, lines = difflib.SequenceMatcher(None, right.splitlines(), wrong.splitlines(), False), set()
    for tag, _, _, start, stop in matcher.get_opcodes():
        if tag != "equal":
            lines |= set(range(start + 1, stop + 1)) or {start, start + 1}
    return lines
