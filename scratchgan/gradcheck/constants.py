"""Every threshold of the checker, with its reason."""

# ---- steps, in units of how far the numbers of an argument lie apart ---------------------------------------

STEP = 848317 / 2**20 / 8  # few bits, so that x + step is exact; no power of 2, after which f may repeat itself
ROWS, CLOSER_ROWS = 20, 14  # steps that halve so often, the most that rounding lets be of use
NEAR = 0.75 * 2.0**-7  # where two differences confirm a complex step
CLOSER = 0.75 * 2.0**-14  # where the first steps reach over a kink, or out of the domain
OTHER, TINY = 0.3731, 2.0**-24  # a second opinion: no power of 2 away from the first, and as close as may be
OTHER_ROWS, TINY_ROWS = 24, 8  # from there down to where rounding is all that is left
MOVES = 1.0, 2.0**-4, 2.0**-8  # of all arguments at once, to see what the output does: the first may leave the domain
COLUMNS = 6  # of the extrapolation: more only amplify rounding
NEARBY, THERE = 1e-3, 1e-5  # how far away from a point without a gradient one is tried; how good it has to be there

# ---- estimates of the numeric derivative -------------------------------------------------------------------

EPSILON = 2.0**-52  # of float64
GOOD, CLOSE = 1e-8, 1e-7  # relative errors: steps stop, no closer look is needed
STANDS = 6  # times the rounding noise: an error that smaller steps cannot lessen
NOISE = 30  # times the rounding noise: a difference of slopes that is no noise
STEADY, GROWS = 0.3, 1.6  # a kink's bend stays within 30 % as steps halve; a jump's doubles
BEND = 1e-9  # relative to the slope: a kink that is smaller is none
SAFE = 10  # errors are estimates: differences within so many of them are no differences
CLOSE_BY = 1e-5  # the relative error of two differences that may confirm a complex step
CONFIRMS = 0.05  # of others that may, if all do: abs and real make a complex step 1, 2 or -1 times as large
COMPLEX = 4  # roundings of the terms, in a complex step
TERMS = 1e-12  # relative to the terms: two estimates may always differ by so much
HALF = 2.0**-9  # the noise of float16 relative to y, at most: code that jumps makes more
SPACINGS = (2.0**-48, 0), (2.0**-20, 0), (2.0**-8, HALF)  # where float64, float32, float16 inside show rounding
INSIDE = 2.0**-6  # roundings of a dtype, relative to y: noise above is the dtype's own, not that of a finer one
EQUAL, SMALL_ENTRY = 1e-9, 1e-3  # of their size: numbers so close are equal; by this a 0 is moved, to measure noise

# ---- verdicts ----------------------------------------------------------------------------------------------

KNOWN = 1e-3  # the relative error of a numeric slope that may call a gradient wrong
SHARP = 0.009  # the tolerance relative to the gradient: above it, agreement says nothing; an error of 1 % shows
SLIGHT = 0.05  # of the typical gradient: a smaller entry need not be known more sharply than this one
VITAL = 0.5  # of the typical gradient: a larger entry that is unresolved leaves the argument unresolved
NOUGHT = 1e-12  # of the output's spread over the scale of x: two gradients that are smaller are both as good as zero
AS_ZERO = 1e-9  # of the output's terms: a slope below is as good as zero
SHAKE, TRIALS = 2, 6  # roundings, by which arguments are shaken; they may move a gradient WOBBLE times as far
WOBBLE, TYPICAL_WOBBLE = 16, 4  # six shakes are few, where two numbers cancel in a batch norm of two samples
DROWNED, SUM = 8, 12  # times the slope that drowns in the output's rounding; roundings of the terms, in a gradient
OFFSET = 1e4  # an output so many times as large as what the argument moves of it is said to drown its gradient
HIDDEN = 2.0**-20  # of the output: so much float32 inside may hide, in code that answers in float64
FAR = 2.0**20  # typical scales: an argument that moves so far and changes nothing is not read
AT_A_TIME = 4  # entries that are looked at again before a gradient is called wrong
LEAST = 1e-300  # in place of 0, to divide by
