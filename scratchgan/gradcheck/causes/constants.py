"""Every threshold of the search for causes, with its reason."""

# ---- the search ------------------------------------------------------------------------------------------

SECONDS = 3.0  # for all rules and all arguments together
EDITS = 0.75  # of that for changes of the code
CAUSES = 6  # causes that are returned

# ---- what is looked at, and when a guess explains it -----------------------------------------------------

LOOKED_AT = 128  # entries, and outputs, that are looked at one by one: of more, a sample is
FULL = 1000  # entries of which a second look takes all
ROUNDING = {2: 4e-3, 4: 1e-5}  # of an exact guess, by the bytes of a number, relative to the largest
SHARP = 1e-10  # the same for float64
NEAR = 0.02  # of what is wrong: a guess that leaves more of it explains nothing
RESIDUE = 1e-6  # of what is wrong: a guess that leaves less of it is exact
ALIKE = 1e-6  # relative: numbers from two numeric Jacobians that differ by less are equal
STEP = 6e-4  # of the largest entry: central differences at this step and half of it are good to about 1e-9
STEP_LEAST = 1e-3  # entries that are all smaller are moved as if the largest were this
LEAST = 1e-300  # in place of 0, to divide by
MOVE = 0.05  # of each entry: how far the arguments are moved for a second look

# ---- the gradient itself ---------------------------------------------------------------------------------

AXES = 6  # of arrays whose orders of axes are tried: there are 720 of 6
ROUNDED = 1e-5  # a factor this close to 2, or to a product of dimensions, is that number

# ---- output by output ------------------------------------------------------------------------------------

SUPPORT = 1e-11  # of the largest entry: less is no dependence, but rounding
CHANCE = 1.5  # so many entries per value, at least, before a pattern in them says anything
DISTINCT = 4  # values, at most, that a text lists
DIGITS = 5  # to which factors are rounded, to find those that are equal

# ---- what is left over -----------------------------------------------------------------------------------

CLOSE = 1e-4  # of what is left over: a fit that leaves less of it explains it
GROUP = 3  # entries of a group, at least, to which one multiple is fitted
CALLS = 200  # entries, at most, by which a gradient is differentiated
ASYMMETRIC = 1e-3  # relative: more is no error of differences

# ---- changes of the code ---------------------------------------------------------------------------------

SHOWN = 60  # letters of an expression that is shown, at most
POOL = 40  # expressions that are tried in other places
