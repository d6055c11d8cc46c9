"""From a file's bytes to the paper's input: decode, one grey channel, min-max to [0, 1], resize, uint8.

The order is the released code's: each image is scaled by its own minimum and maximum first, then resized with
antialiasing to a square (section VI.A). A CT slice is known by its table: no rule on pixels tells the two apart safely.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cxrlib.errors import DataError
from cxrlib.images.phantom import render

PREPROCESSING_VERSION = 1
"""Raise it whenever the same file would give other pixels: every image store is then built anew."""

PHANTOM = "phantom:"
"""Prefix of the path of a generated image."""

MOST_ASPECT = 10  # longer side over shorter
MOST_EQUAL = 0.98  # share of preprocessed pixels of one grey level

_ALPHA_MODES = {"P", "PA", "L", "LA", "La", "RGB", "RGBA", "RGBa"}  # modes Pillow can convert to RGBA
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's conversion to grey


class QuarantineError(DataError):
    """An image that cannot serve; `reason` is a short noun phrase for the table of exclusions."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the image cannot be used: {reason}.")
        self.reason = reason


def read_raw(path: str, phantom_size: int = 256) -> np.ndarray:
    """The grey image [H, W] behind a path of the image table, before any preprocessing; see `decode`.

    A generated image is rendered at `phantom_size` pixels a side. Raises QuarantineError for a file that cannot serve.
    """
    return render([path], phantom_size)[0] if path.startswith(PHANTOM) else decode(read_bytes(path))


def read_bytes(path: str) -> bytes:
    """A file's bytes; QuarantineError if it is missing or may not be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise QuarantineError("missing file") from None
    except OSError as error:
        raise QuarantineError(f"file that cannot be read ({error.strerror})") from None


def decode(content: bytes) -> np.ndarray:
    """Grey image [H, W] in the file's own units, from a file's bytes.

    Integer dtypes are kept; DICOM and floating-point TIFF give float32. Colour is reduced by BT.601 luma, alpha is
    composited on black, the EXIF orientation is applied. Raises QuarantineError for a file that cannot serve.
    """
    if not content:
        raise QuarantineError("empty file")
    if content[128:132] == b"DICM":
        return _decode_dicom(content)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise QuarantineError("several frames in one file")
            image.load()
            return _grey(ImageOps.exif_transpose(image))
    except (QuarantineError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise QuarantineError("not an image format that can be read") from None
    except Image.DecompressionBombError:
        raise QuarantineError("more pixels than Pillow accepts") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise QuarantineError("truncated file" if truncated else "damaged file") from error


def min_max(image: np.ndarray) -> np.ndarray:
    """`image` scaled by its own minimum and maximum to [0, 1], float32 of the same shape.

    Raises QuarantineError if all its pixels are equal or if one is not finite.
    """
    image = image.astype(np.float32)
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise QuarantineError("pixels that are not finite")
    if low == high:
        raise QuarantineError("constant image")
    image -= low
    image /= np.float32(high - low)
    return image


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """`image` (float32 [H, W]) as [size, size]: bilinear with antialiasing, the aspect squashed as in the paper."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as the nearest of the 256 grey levels, uint8."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def thumbnails(pixels: np.ndarray, size: int) -> np.ndarray:
    """Mean grey of size x size equal areas, float32 [N, size, size] in [0, 1], of images uint8 [N, S, S]."""
    ends = np.linspace(0, pixels.shape[-1], size + 1)
    pixel = np.arange(pixels.shape[-1])
    overlap = np.minimum(ends[1:, None], pixel + 1) - np.maximum(ends[:-1, None], pixel)
    share = (np.maximum(overlap, 0) * size / pixels.shape[-1]).astype(np.float32)
    return share @ (pixels.astype(np.float32) / 255) @ share.T


def preprocess(image: np.ndarray, size: int) -> np.ndarray:
    """Grey [H, W] in any units -> uint8 [size, size]: min-max, resize, round (section VI.A).

    Raises QuarantineError for an image without a picture in it: constant, nearly so, or a strip.
    """
    if max(image.shape) > MOST_ASPECT * min(image.shape):
        raise QuarantineError("a strip, not a picture")
    pixels = to_uint8(resize(min_max(image), size))
    if np.bincount(pixels.ravel()).max() > MOST_EQUAL * pixels.size:
        raise QuarantineError("nearly constant image")
    return pixels


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode in _ALPHA_MODES and image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode not in ("1", "RGB"):
        image = image.convert("RGB")  # palette, RGBA, CMYK, YCbCr, ...
    return np.asarray(image.convert("L"))


def _decode_dicom(content: bytes) -> np.ndarray:
    """Modality values of a DICOM image, float32 [H, W]: rescaled, MONOCHROME1 inverted, padding set to the darkest.

    Padding outside the field of view is what PixelPaddingValue (to PixelPaddingRangeLimit) names.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut
    except ModuleNotFoundError:
        raise DataError("a DICOM image needs pydicom: install it with `pip install 'cxrlib[dicom]'`.") from None
    try:
        header = pydicom.dcmread(io.BytesIO(content))
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise QuarantineError("several frames in one file")
        stored = header.pixel_array
        value = header.get("PixelPaddingValue")
        ends = None if value is None else sorted((int(value), int(header.get("PixelPaddingRangeLimit", value))))
        image = np.array(apply_modality_lut(stored, header), dtype=np.float32)
    except (QuarantineError, MemoryError):
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds
        raise QuarantineError("DICOM file that cannot be decoded") from error
    if header.PhotometricInterpretation == "MONOCHROME1":
        image = image.max() + image.min() - image
    if image.ndim == 3:
        return image @ _LUMA
    padding = np.zeros(stored.shape, bool) if ends is None else (stored >= ends[0]) & (stored <= ends[1])
    if padding.any() and not padding.all():
        image[padding] = image[~padding].min()
    return image
