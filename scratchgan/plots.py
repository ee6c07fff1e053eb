"""Pictures of a training run: a grid of samples, the losses, an animation. Matplotlib is loaded when first needed."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from scratchgan.support.errors import UserError
from scratchgan.support.files import replacing

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


def save(picture, path):
    """Write a uint8 picture (H, W_, 1), (H, W_, 3) or (H, W_) to an image file, whose ending tells the format.

    Raises UserError for an ending that is unknown, and where the file cannot be written.
    """
    kind = file_format(path)
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    with replacing(path) as file:
        Image.fromarray(picture).save(file, format=kind)


def file_format(path):
    """Return Pillow's name of the format of an image file to be written; raise UserError if there is none."""
    ending = Path(path).suffix.lower()
    Image.init()
    kind = Image.registered_extensions().get(ending)
    if kind not in Image.SAVE:
        raise UserError(f"Cannot write {path}: {ending or 'no ending'} is no picture format; use .png.")
    return kind


# ---- the log ---------------------------------------------------------------------------------------------


def read_log(log_path):
    """Yield the records of a log, one dictionary a line; a line that is half-written or damaged is passed over."""
    with open(log_path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                yield record


def losses(log_path, path):
    """Draw the losses of a log against the step, and each number of its reports below them, as a PNG file.

    Also while the log grows. Raises UserError if there is no log, or nothing in it yet.
    """
    from matplotlib.figure import Figure  # slow to load; and a Figure of one's own leaves pyplot's state alone

    curves, reports = read_curves(log_path)
    charts = ([curves] if curves else []) + [{name: curve} for name, curve in reports.items()]
    if not charts:
        raise UserError(f"{log_path} holds no losses yet: wait for the first ones.")
    figure = Figure(figsize=(8, 1 + 3 * len(charts)), layout="constrained")
    for axes, chart in zip(figure.subplots(len(charts), squeeze=False)[:, 0], charts, strict=True):
        for name, (steps, values) in chart.items():
            draw_curve(axes, name, np.array(steps), np.array(values, float))
        axes.set_xlabel("step")
        axes.set_ylabel("loss" if chart is curves else "")
        axes.legend()
        axes.grid(alpha=0.3)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)


def read_curves(log_path):
    """Return ({loss: (steps, values)}, {number of a report: (steps, values)}) of a log."""
    curves, reports = {}, {}
    try:
        for record in read_log(log_path):
            report = record.pop("report", None)
            step = record.pop("step")
            record.pop("seconds", None)
            for target, numbers in ((curves, record), (reports, report or {})):
                for name, value in numbers.items():
                    if isinstance(value, int | float):
                        steps, values = target.setdefault(name, ([], []))
                        steps.append(step)
                        values.append(value)
    except OSError as error:
        raise UserError(f"Cannot read {log_path}: {error.strerror}.") from None
    return curves, reports


def draw_curve(axes, name, steps, values):
    """Draw one curve; a long one pale, with its running mean over 2 % of the points."""
    width = len(values) // 50
    if width < 2:
        axes.plot(steps, values, ".-" if len(values) < 50 else "-", label=name)
        return
    (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8)
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    axes.plot(steps[width - 1 :], mean, color=line.get_color(), label=name)


# ---- inside a network ------------------------------------------------------------------------------------


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
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)


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
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB") if picture.mode not in ("L", "RGB") else picture.copy()
    except OSError as error:
        raise UserError(f"{path} is not a picture that can be read ({error}): remove it.") from None
    if size is not None and picture.size != size:
        picture = picture.resize(size)
    return picture if picture.mode == "L" else picture.quantize(256)


# ---- the plane -------------------------------------------------------------------------------------------


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
    axes.scatter(*real.T, s=4, color="tab:orange", label="real")
    axes.scatter(*fake.T, s=4, color="tab:blue", label="generated")
    if arrows is not None:
        some = slice(0, None, max(len(fake) // 200, 1))  # arrows of all points would hide the picture
        longest = np.linalg.norm(arrows, axis=1).max()
        unit = arrows[some] / max(longest, 1e-12)
        axes.quiver(*fake[some].T, *unit.T, angles="xy", scale_units="xy", scale=4 / bounds, width=0.003)
    axes.set(xlim=(-bounds, bounds), ylim=(-bounds, bounds), aspect="equal")
    axes.set_title(title, fontsize=9)
    axes.legend(loc="upper right", fontsize=8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
