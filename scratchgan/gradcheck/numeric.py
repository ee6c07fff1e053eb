"""Derivatives without calculus: by a complex step, exact to rounding, and by differences with an error estimate."""

import numpy


def complex_step(f, x, v):
    """Return the derivative of f at x along v, Im f(x + i h v) / h with h = 1e-20: exact to rounding.

    f must be analytic where it is used: built of arithmetic, exp, tanh, comparisons of the real part and the like,
    but not of abs or conj, which hide a wrong result (Squire & Trapp 1998; Martins et al. 2003, section 2.2).
    """
    return f(x + 1e-20j * v).imag / 1e-20


def ridders(f, x, v, *, step=0.1, shrink=1.4, rows=12):
    """Return the derivative of f at x along v, and an estimate of its error, both of f's shape.

    Central differences at steps that shrink, extrapolated to step 0 by Neville's scheme; for each element the entry
    of the table that agrees best with its neighbours is taken (Ridders 1982).
    """

    def difference(h):
        return (numpy.asarray(f(x + h * v)) - numpy.asarray(f(x - h * v))) / (2 * h)

    table = [difference(step)]
    best, error = table[0], numpy.full(numpy.shape(table[0]), numpy.inf)
    for row in range(1, rows):
        new = [difference(step / shrink**row)]
        for column in range(1, row + 1):
            factor = shrink ** (2 * column)
            new.append((new[-1] * factor - table[column - 1]) / (factor - 1))
            doubt = numpy.maximum(abs(new[column] - new[column - 1]), abs(new[column] - table[column - 1]))
            best, error = numpy.where(doubt < error, new[column], best), numpy.fmin(error, doubt)  # NaN is never better
        table = new
    return best, error
