"""Pictures that may come from anywhere: of a few formats, whose decoders Pillow has itself, and of a sane size.

Without a list of formats, Pillow would try all that it knows. One of them, PostScript, starts another program.
"""

import contextlib
import warnings

from PIL import Image

from scratchgan.support.errors import UserError
from scratchgan.support.files import reading

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")


@contextlib.contextmanager
def open_picture(path, error=UserError):
    """Open a picture of one of `FORMATS` with Pillow; raise `error`, naming the file, where it cannot be used.

    Whatever Pillow raises in the `with` block, in which it reads the pixels, becomes such an error as well.
    """
    with reading(path, error=error) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd EXIF entry is no news
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file, formats=FORMATS) as picture:
                    yield picture
        except error:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise error(
                f"{path} announces more than {Image.MAX_IMAGE_PIXELS:,} pixels, as a file made to fill the "
                "memory does; make it smaller or remove it."
            ) from None
        except Image.UnidentifiedImageError:
            raise error(f"{path} is no picture of a kind that is read ({', '.join(FORMATS)}); convert it.") from None
        except Exception as problem:  # a decoder can raise nearly anything on damaged bytes
            raise error(f"{path} is damaged or truncated ({problem}); replace or remove it.") from None
