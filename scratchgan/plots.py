"""Pictures of a training run: a grid of samples, the losses, an animation. Matplotlib is loaded when first needed."""

import array
import contextlib
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scratchgan.support.errors import UserError
from scratchgan.support.files import parse_json, reading, replacing
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable

LARGEST_LOG = 2**32  # bytes: 40 million lines
LONGEST_LINE = 10**6  # bytes of a line of a log; what is longer was written by nobody who trains
MOST_CURVES = 20  # in a picture: more could not be told apart
MOST_POINTS = 50_000  # of a curve
LARGEST = 1e30  # of what is drawn: Matplotlib's own arithmetic overflows not far above
NO_LOSSES = ("step", "seconds", "report", "equilibrium")  # what a line of a log holds beside the losses

# ---- pictures of samples ---------------------------------------------------------------------------------


def grid(images, columns=None, pad=2):
    """Lay images out, row by row, in one picture: uint8 (N, H, W, C) to (rows (H + pad) + pad, ..., C).

    As near to a square as it gets, unless the number of columns is given; `pad` white pixels around each image.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise ValueError(f"grid takes uint8 images (N, H, W, C), not {images.dtype} {images.shape}")
    N, H, W_, C = images.shape
    columns = min(N, columns or math.ceil(math.sqrt(N)))
    rows = math.ceil(N / columns)
    picture = np.full((pad + rows * (H + pad), pad + columns * (W_ + pad), C), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = pad + i // columns * (H + pad), pad + i % columns * (W_ + pad)
        picture[top : top + H, left : left + W_] = image
    return picture


def text(lines, columns=100):
    """Return lines of text as one uint8 picture (H, W_, 1), white on black; a longer line is cut at so many letters.

    A letter beyond Latin-1, of which Pillow's own font has no picture, is a question mark; a line break is a space.
    """
    font = ImageFont.load_default_imagefont()  # letters of one width
    width, height = font.getbbox("M")[2], font.getbbox("Mg")[3] + 2
    shown = ["".join(letter if letter.isprintable() else " " for letter in line[:columns]) for line in lines]
    size = (width * max(map(len, shown), default=1) + 8, height * len(shown) + 8)
    picture = Image.new("L", size)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(shown):
        draw.text((4, 4 + height * number), line.encode("latin-1", "replace").decode("latin-1"), 255, font)
    return np.asarray(picture)[..., None]


def save(picture, path):
    """Write a uint8 picture (H, W_, 1), (H, W_, 3) or (H, W_) to an image file, whose ending tells the format.

    Raises UserError for an ending that is unknown, and where the file cannot be written.
    """
    kind = file_format(path)
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    with replacing(path) as file:
        Image.fromarray(picture).save(file, format=kind)


def file_format(path, others=()):
    """Return Pillow's name of the format of an image file to be written; raise UserError if there is none.

    others: endings that the error names beside .png.
    """
    ending = Path(path).suffix.lower()
    Image.init()
    kind = Image.registered_extensions().get(ending)
    if kind not in Image.SAVE:
        what = "nothing that this run has" if others else "no picture format"
        wanted = " or ".join([".png", *others])
        raise UserError(f"Cannot write {path}: {ending or 'no ending'} is {what}; use {wanted}.")
    return kind


@contextlib.contextmanager
def own_style():
    """Draw in Matplotlib's own style, whatever a user's matplotlibrc says; afterwards, theirs is as it was."""
    import matplotlib  # when first needed, as it is slow to load

    apart = ("backend", "backend_fallback", "interactive")
    with matplotlib.rc_context({name: matplotlib.rcParamsDefault[name] for name in matplotlib.rcParamsDefault
                                if name not in apart}):  # fmt: skip
        yield


def label(name):
    """Return a name from a file as Matplotlib shows it: not as a formula, nor hidden, as one that begins with _ is."""
    text = printable(name, 60).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


# ---- the log ---------------------------------------------------------------------------------------------


def read_log(log_path, last=LARGEST_LOG):
    """Yield the records in the last so many bytes of a log, one dictionary a line; what no training writes is left out.

    That is a line that is half-written or damaged, a step below 0, a number that is not finite.
    """
    with reading(log_path, limit=LARGEST_LOG) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - last))
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)
                continue
            try:
                record = parse_json(line.decode(errors="replace"))
            except (ValueError, RecursionError):
                continue
            if is_record(record):
                yield record


def is_record(record):
    """Whether a value is what a training writes as a line of its log."""
    if not isinstance(record, dict) or not isinstance(record.get("report", {}), dict):
        return False
    return type(record.get("step")) is int and 0 <= record["step"] < 2**63


@own_style()
def losses(log_path, path):
    """Draw the losses of a log against the step, and each number of its reports below them, as a PNG file.

    A dotted line shows where a loss is at the game's equilibrium, if the log tells. Also while the log grows.
    Raises UserError if there is no log, or nothing in it yet.
    """
    demand_png(path)
    curves, reports, equilibrium, others = read_curves(log_path)
    charts = ([curves] if curves else []) + [{name: curve} for name, curve in reports.items()]
    if not charts:
        raise UserError(f"{log_path} holds no losses yet: wait for the first ones.")
    figure, rows = stack(len(charts))
    for axes, chart in zip(rows, charts, strict=True):
        for name, (steps, values) in chart.items():
            color = draw_curve(axes, label(name), steps, values)
            if chart is curves and name in equilibrium:
                level = equilibrium[name]
                axes.axhline(level, color=color, linestyle=":", label=f"{label(name)} at equilibrium: {level:.4g}")
        axes.set_ylabel("loss" if chart is curves else "")
        axes.legend()
    if others:
        figure.suptitle(f"{len(others):,} more are not shown")
    save_figure(figure, path)


@own_style()
def compare(log_paths, path):
    """Draw each loss of several logs, {name: path}, in a chart of its own, with one colour per log, as a PNG file.

    Raises UserError if one of them is missing, or holds nothing yet.
    """
    demand_png(path)
    logs = {name: read_curves(log_path)[0] for name, log_path in log_paths.items()}
    for name, curves in logs.items():
        if not curves:
            raise UserError(f"{log_paths[name]} holds no losses yet: wait for the first ones.")
    names = list(dict.fromkeys(loss for curves in logs.values() for loss in curves))[:MOST_CURVES]
    figure, rows = stack(len(names))
    for axes, loss in zip(rows, names, strict=True):
        for number, (name, curves) in enumerate(logs.items()):
            if loss in curves:
                steps, values = curves[loss]
                draw_curve(axes, label(name), steps, values, f"C{number}")
        axes.set_ylabel(label(loss))
        axes.legend()
    save_figure(figure, path)


def load():
    """Load Matplotlib, which takes longer than to draw with it."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401


def demand_png(path):
    """Raise UserError, before anything is read or drawn, unless a file's name ends with .png."""
    if Path(path).suffix.lower() != ".png":
        raise UserError(f"{path}: losses are drawn as PNG, so that its name must end with .png.")


def stack(n):
    """Return a new figure, and n axes in it, one below the other, whose x is the step."""
    from matplotlib.figure import Figure  # slow to load; and a Figure of one's own leaves pyplot's state alone

    figure = Figure(figsize=(8, 1 + 3 * n), layout="constrained")
    rows = figure.subplots(n, squeeze=False)[:, 0]
    for axes in rows:
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    return figure, rows


def save_figure(figure, path):
    """Write a figure as a PNG file."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)


def read_curves(log_path):
    """Return ({loss: (steps, values)}, {number of a report: (steps, values)}, {loss: equilibrium}, others) of a log.

    others: the names of those that are left out, as there are more than `MOST_CURVES`.
    """
    curves, reports, equilibrium, others = {}, {}, {}, set()
    for record in read_log(log_path):
        equilibrium = numbers_in(record["equilibrium"]) if "equilibrium" in record else equilibrium
        for target, numbers in ((curves, losses_in(record)), (reports, numbers_in(record.get("report")))):
            for name, value in numbers.items():
                if name in target or len(target) < MOST_CURVES:
                    steps, values = target.setdefault(name, (array.array("d"), array.array("d")))
                    steps.append(record["step"])
                    values.append(value)
                elif len(others) < MOST_POINTS:
                    others.add(name)
    return curves, reports, equilibrium, others


def losses_in(record):
    """Return the losses of a record of a log."""
    return {name: value for name, value in numbers_in(record).items() if name not in NO_LOSSES}


def numbers_in(record):
    """Return those items of a dictionary that are numbers; none if it is no dictionary, as in a damaged log."""
    items = record.items() if isinstance(record, dict) else ()
    return {name: min(max(value, -LARGEST), LARGEST) for name, value in items if isinstance(value, int | float)}


def draw_curve(axes, name, steps, values, color=None):
    """Draw one curve; a long one pale, with its running mean over 2 % of the points. Return its colour."""
    steps, values = (np.array(numbers)[:: len(numbers) // MOST_POINTS + 1] for numbers in (steps, values))
    width = len(values) // 50
    if width < 2:
        (line,) = axes.plot(steps, values, ".-" if len(values) < 50 else "-", color=color, label=name)
        return line.get_color()
    (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8, color=color)
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    axes.plot(steps[width - 1 :], mean, color=line.get_color(), label=name)
    return line.get_color()


# ---- inside a network ------------------------------------------------------------------------------------


@own_style()
def trace(records, path):
    """Draw the spread of activations and gradients layer by layer, from `look.trace`, as a PNG file.

    The input is at the top: activations are computed downwards, gradients upwards. An upright line is what one wants;
    one that leans to the left in its own direction vanishes, one that leans to the right explodes.
    Raises UserError if there are no records, and where the file cannot be written.
    """
    from matplotlib.figure import Figure

    if not records:
        raise UserError(f"Cannot draw {path}: the network has no layers.")
    names = [f"{record.path} {record.layer}".strip() for record in records]
    places = range(len(records))
    figure = Figure(figsize=(9, 1.5 + 0.25 * len(records)), layout="constrained")
    axes = figure.subplots()
    axes.plot([record.spread for record in records], places, "v-", label="activation y (downwards)")
    axes.plot([record.gradient_spread for record in records], places, "^-", label="gradient dx (upwards)")
    axes.set_xscale("log")
    axes.set_xlabel("standard deviation over all elements")
    axes.set_yticks(places, [name if len(name) <= 40 else f"{name[:39]}…" for name in names])
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


# ---- animation -------------------------------------------------------------------------------------------


def animation(frame_paths, path, *, frames=60, seconds=0.1, hold=2.0):
    """Write a GIF of at most `frames` of the pictures, picked evenly, the first and the last among them.

    Each is shown for `seconds`, the last for `hold` seconds. One picture at a time is read.
    Raises UserError if there are none, or where one cannot be read.
    """
    frame_paths = list(frame_paths)
    if not frame_paths:
        raise UserError(f"Cannot write {path}: there are no pictures to make an animation of.")
    count = min(frames, len(frame_paths))
    picks = np.linspace(0, len(frame_paths) - 1, count).round().astype(int)
    size = read_frame(frame_paths[-1]).size
    pictures = (read_frame(frame_paths[i], size) for i in picks)
    milliseconds = [round(1000 * seconds)] * (count - 1) + [round(1000 * hold)]
    with replacing(path) as file:
        first = next(pictures)
        first.save(file, "GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0)


def read_frame(path, size=None):
    """Read a picture with 256 colours at most, resized if need be; raise UserError if that fails."""
    with open_picture(path) as picture:
        picture = picture.convert("RGB") if picture.mode not in ("L", "RGB") else picture.copy()
    if size is not None and picture.size != size:
        picture = picture.resize(size)
    return picture if picture.mode == "L" else picture.quantize(256)


# ---- the plane -------------------------------------------------------------------------------------------


@own_style()
def plane(real, fake, *, surface, bounds, arrows=None, levels=None, title=""):
    """Return a picture, uint8 (H, W_, 3), of a GAN in the plane.

    real, fake: points (n, 2); surface: a function from points (n, 2), float32, to D's probability of "real", (n, 1),
    or, with `levels`, to a critic's score, of which so many level sets are drawn; bounds: half-width; arrows: which way
    each fake point is pushed, (n, 2), drawn at one scale for all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.8), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axis = np.linspace(-bounds, bounds, 81, dtype=np.float32)
    mesh = np.stack(np.meshgrid(axis, axis), axis=-1)  # (81, 81, 2)
    opinion = surface(mesh.reshape(-1, 2)).reshape(81, 81)
    if levels is None:
        axes.contourf(axis, axis, opinion, levels=np.linspace(0, 1, 21), cmap="PuOr_r", alpha=0.5)
    else:
        axes.contour(axis, axis, opinion, levels=levels, cmap="PuOr_r", linewidths=0.8)
    axes.scatter(*real.T, s=16, color="tab:orange", label="real")
    axes.scatter(*fake.T, s=6, color="tab:blue", label="generated")
    if arrows is not None:
        some = slice(0, None, max(len(fake) // 200, 1))  # arrows of all points would hide the picture
        longest = np.linalg.norm(arrows, axis=1).max()
        unit = arrows[some] / max(longest, 1e-12)
        scale = {"angles": "xy", "scale_units": "xy", "scale": 4 / bounds, "width": 0.003}
        axes.quiver(*fake[some].T, *unit.T, color="0.25", **scale)
        axes.plot([], [], color="0.25", marker=r"$\rightarrow$", linestyle="", label="how each is pushed")
    axes.set(xlim=(-bounds, bounds), ylim=(-bounds, bounds), aspect="equal")
    axes.set_title(title, fontsize=9)
    legend = figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    for handle in legend.legend_handles[:2]:
        handle.set_sizes([60])  # whoever looks for the colours looks here
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
