"""What people get wrong in one place of a formula, undone: every change of an expression or a statement to be tried."""

import ast
import itertools

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS = (ast.Gt, ast.Lt, ast.GtE, ast.LtE, ast.Eq, ast.NotEq)
ALIKE_CALLS = (
    ("sum", "mean", "max"), ("exp", "log", "log1p"), ("tanh", "sinh", "cosh"), ("sin", "cos"), ("maximum", "minimum"),
    ("zeros_like", "ones_like"), ("tril", "triu"), ("sqrt", "square"), ("argmax", "argmin"), ("var", "std"),
)  # fmt: skip
AXES = ("0", "1", "2", "-1", "None", "(0, 1)", "(1, 2)", "(0, 2)", "(0, 1, 2)")
WRAPPED = (
    "-_", "_.T", "1", "2", "_ ** 2", "1 - _", "1 - _ ** 2", "_ * (1 - _)", "2 * _", "_ / 2", "1 / _", "_ * abs(_)",
    "_ - 1", "_ + 1", "_ ** 0.5", "_[::-1]", "_[:, ::-1]", "_[::-1, ::-1]", "_.swapaxes(-1, -2)", "3 * _", "0 * _",
    "1 / _ ** 2", "_ ** 3", "_ > 0", "numpy.exp(_)", "numpy.log(_)", "numpy.tanh(_)", "numpy.sign(_)", "abs(_)",
    "1 / (1 + numpy.exp(-_))",
    *[f"_.{way}({at})" for way in ("sum", "mean") for at in ("0", "1", "0, keepdims=True", "-1, keepdims=True", "")],
    *[f"_ - _.mean({axis}, keepdims=True)" for axis in ("0", "1", "-1", "None")],
)  # fmt: skip
TERMS = ("A * B", "A / B", "A @ B", "A.T @ B", "A @ B.T", "(A * B).sum(0)", "(A * B).sum(-1)", "(A * B).sum()")
FACTORS = ("_ / {}", "_ * {}")
INSERTED = (
    "{}", "_ * {}", "_ / {}", "_ + {}", "_ - {}", "_ * ({} > 0)", "_ * (1 - {})", "_ * (1 - {} ** 2)",
    "_ * {} * (1 - {})", "_ @ {}", "_ @ {}.T", "{} @ _", "{}.T @ _", "_ * {} ** 2", "_ / {} ** 2", "{} - _",
    "_ * numpy.exp({})", "_ / (1 - {})", "_ / (1 - {} ** 2)",
    *[
        text.replace("A", axis)
        for axis in ("0", "1", "-1", "None")
        for text in ("_ - {} * (_ * {}).sum(A, keepdims=True)", "_ - (_ * {}).sum(A, keepdims=True)",
                     "_ - {} * (_ * {}).mean(A, keepdims=True)")
    ],
)  # fmt: skip


def filled(template, node):
    """Return the expression of a template, in which _ stands for a node."""
    return Fill(node).visit(ast.parse(template, mode="eval").body)


class Fill(ast.NodeTransformer):
    """Put a node where a template has a _."""

    def __init__(self, node):
        self.node = node

    def visit_Name(self, name):
        return self.node if name.id == "_" else name


def changes(node):
    """Return what may stand in place of an expression, by its own kind."""
    return CHANGES.get(type(node), lambda node: ())(node)


def of_operation(node):
    left, op, right = node.left, node.op, node.right
    yield from (left, right)
    if type(op) in OPERATORS:
        yield ast.BinOp(left, OPERATORS[type(op)](), right)
    if isinstance(op, ast.Sub | ast.MatMult | ast.Div | ast.Pow):
        yield ast.BinOp(right, op, left)
    if isinstance(op, ast.MatMult):
        yield from (filled("(_).T", ast.BinOp(left, op, right)), ast.BinOp(left, ast.Mult(), right))
    if isinstance(op, ast.Mult):
        yield from (ast.BinOp(left, ast.MatMult(), right), ast.BinOp(left, ast.Sub(), right))


def of_comparison(node):
    for kind in COMPARISONS:
        yield ast.Compare(node.left, [kind()], node.comparators)
    yield filled("_ * 0 + 1", node)


def of_call(node):
    """Yield a call without itself, with its arguments exchanged, of a related function, along other axes."""
    yield from node.args
    function, keywords = node.func, node.keywords
    for i, j in itertools.combinations(range(len(node.args)), 2):
        order = list(node.args)
        order[i], order[j] = order[j], order[i]
        yield ast.Call(function, order, keywords)
    if node.args:
        turned = [filled("_[::-1]", node.args[0]), *node.args[1:]]
        yield filled("_[::-1]", ast.Call(function, turned, keywords))
    for i in range(len(keywords)):
        yield ast.Call(function, node.args, keywords[:i] + keywords[i + 1 :])
    if not isinstance(function, ast.Attribute):
        return
    yield function.value
    for group in ALIKE_CALLS:
        for name in group if function.attr in group else ():
            yield ast.Call(ast.Attribute(function.value, name, ast.Load()), node.args, keywords)
    if function.attr in ("sum", "mean", "max", "cumsum", "var", "prod"):
        first = node.args[: isinstance(function.value, ast.Name) and function.value.id in ("np", "numpy", "xp", "cp")]
        others = [keyword for keyword in keywords if keyword.arg != "axis"]
        kept = [ast.keyword("keepdims", ast.Constant(True))]
        for axis, more in itertools.product(AXES, ([], kept)):
            if not more or all(keyword.arg != "keepdims" for keyword in others):
                axes = [] if axis == "None" else [ast.keyword("axis", ast.parse(axis, mode="eval").body)]
                yield ast.Call(function, first, [*axes, *others, *more])


def of_constant(node):
    """Yield other constants: near ones, simple multiples; of a text, as of einsum, with other letters."""
    value = node.value
    if isinstance(value, str):
        at = [i for i, letter in enumerate(value) if letter.isalpha()]
        for i, j in itertools.combinations(at, 2):
            if value[i] != value[j]:
                letters = list(value)
                letters[i], letters[j] = letters[j], letters[i]
                yield ast.Constant("".join(letters))
        for i, letter in itertools.product(at, sorted(set(filter(str.isalpha, value)))):
            yield ast.Constant(value[:i] + letter + value[i + 1 :])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        near = [value + 1, value - 1, 2, 1, 0, 3, -1] if isinstance(value, int) else [1.0, 0.0]
        others = dict.fromkeys([*near, 2 * value, value / 2, -value, 1 - value])
        yield from (ast.Constant(other) for other in others if other != value)
    elif value is None:
        yield from map(ast.Constant, (0, 1, -1))


def of_tuple(node):
    for i, j in itertools.combinations(range(len(node.elts)), 2):
        order = list(node.elts)
        order[i], order[j] = order[j], order[i]
        yield ast.Tuple(order, ast.Load())
    for i in range(len(node.elts)):
        yield ast.Tuple(node.elts[:i] + node.elts[i + 1 :], ast.Load())


def of_slice(node):
    """Yield a slice moved, cut, grown and turned."""
    one, minus = ast.Constant(1), ast.Constant(-1)
    lower, upper, step = node.lower, node.upper, node.step
    for low, high in ((one, None), (None, minus), (None, None), (one, minus), (minus, None), (None, one)):
        yield ast.Slice(low, high, step)
    if lower is not None and upper is not None:
        for move in ("_ + 1", "_ - 1"):
            yield ast.Slice(filled(move, lower), filled(move, upper), step)
    yield ast.Slice(lower, upper, None if step else minus)


CHANGES = {
    ast.BinOp: of_operation, ast.Compare: of_comparison, ast.Call: of_call, ast.Constant: of_constant,
    ast.Tuple: of_tuple, ast.Slice: of_slice, ast.IfExp: lambda node: (node.body, node.orelse),
    ast.UnaryOp: lambda node: (node.operand,), ast.Attribute: lambda node: (node.value,),
    ast.Subscript: lambda node: (node.value,),
}  # fmt: skip


def of_statement(node):
    """Yield lists of statements in place of one: none, one that adds, one that overwrites."""
    if isinstance(node, ast.Return | ast.FunctionDef | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.If):
        yield [ast.Pass()]
    if isinstance(node, ast.AugAssign):
        yield [ast.Assign([node.target], node.value)]
        if type(node.op) in OPERATORS:
            yield [ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)]
        if isinstance(node.target, ast.Subscript) and isinstance(node.op, ast.Add):
            yield added_at(node.target, node.value)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
            own = ast.parse(ast.unparse(target), mode="eval").body
            yield [ast.Assign([target], ast.BinOp(own, ast.Add(), node.value))]
        if isinstance(target, ast.Subscript):
            yield added_at(target, node.value)
    elif isinstance(node, ast.If):
        yield from (node.body, node.orelse or [ast.Pass()])


def added_at(target, value):
    """Return the statement numpy.add.at(array, index, value), as a list."""
    array, index = (ast.unparse(part) for part in (target.value, target.slice))
    index = f"({index})" if "," in index else index
    call = f"__import__('numpy').add.at({array}, {index}, _)" if ":" not in index else "None"
    return [ast.Expr(filled(call, value))]
