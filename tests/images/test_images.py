"""Decoding: every kind of file gives the same grey image, and every bad file a reason."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cxrlib.errors import DataError
from cxrlib.images.decoding import QuarantineError, decode, min_max, preprocess, resize, thumbnails, to_uint8

RAMP = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def reason_of(content: bytes) -> str:
    with pytest.raises(QuarantineError) as caught:
        preprocess(decode(content), 16)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK"])
def test_one_grey_image_in_every_mode(mode: str) -> None:
    grey = Image.fromarray(RAMP)
    if mode == "P":
        image = grey.copy()
        image.putpalette([value for level in range(256) for value in (level,) * 3])
        assert image.mode == "P"
    else:
        image = (grey.convert("RGB") if mode == "CMYK" else grey).convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    np.testing.assert_array_equal(decode(content), RAMP)


def test_sixteen_bits_are_kept() -> None:
    deep = (RAMP.astype(np.uint16) << 4) + 3
    for format in ("PNG", "TIFF"):
        image = decode(encoded(Image.fromarray(deep), format))
        np.testing.assert_array_equal(image, deep)
        assert len(np.unique(image)) > 200


def test_sixteen_bit_and_eight_bit_files_give_the_same_pixels() -> None:
    deep = RAMP.astype(np.uint16) * 257
    eight, sixteen = (preprocess(decode(encoded(Image.fromarray(a))), 8) for a in (RAMP, deep))
    np.testing.assert_array_equal(eight, sixteen)


def test_floating_point_tiff() -> None:
    image = RAMP.astype(np.float32) / 7 - 3
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(image), "TIFF")), image)


def test_bilevel_image_spans_the_range() -> None:
    content = encoded(Image.fromarray(RAMP > 100))
    assert set(np.unique(decode(content))) == {0, 255}


def test_colour_is_reduced_by_luma() -> None:
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8))
    assert decode(encoded(image)).tolist() == [[76, 150, 29]]


def test_palette_colours_count_and_not_their_numbers() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    image.putpalette([200, 200, 200, 10, 10, 10, 90, 90, 90])
    assert decode(encoded(image)).tolist() == [[200, 10, 90]]


def test_alpha_is_composited_on_black() -> None:
    grey = np.full((1, 3), 200, dtype=np.uint8)
    alpha = np.array([[255, 0, 51]], dtype=np.uint8)
    image = Image.fromarray(np.dstack([grey, grey, grey, alpha]))
    assert decode(encoded(image)).tolist() == [[200, 0, 40]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    inverse = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(inverse[orientation](RAMP)))
    np.testing.assert_array_equal(decode(encoded(stored, exif=exif)), RAMP)


def test_reasons_of_bad_files() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    png, jpeg = encoded(noise), encoded(noise, "JPEG")
    assert reason_of(b"") == "empty file"
    assert reason_of(b"Consult the metadata file") == "not an image format that can be read"
    assert reason_of(png[: len(png) // 2]) == "truncated file"
    assert reason_of(jpeg[: len(jpeg) // 2]) == "truncated file"
    assert reason_of(png[:400] + b"\0" * 400 + png[800:]) in {"damaged file", "truncated file"}
    assert reason_of(encoded(Image.new("L", (9, 9), 7))) == "constant image"
    frames = [Image.fromarray(np.roll(RAMP, k)) for k in range(3)]
    assert (
        reason_of(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])) == "several frames in one file"
    )
    hollow = RAMP.astype(np.float32)
    hollow[3, 3] = np.nan
    assert reason_of(encoded(Image.fromarray(hollow), "TIFF")) == "pixels that are not finite"


def test_files_without_a_picture_in_them() -> None:
    strip, dot = np.tile(RAMP[:1], (1, 50)), np.zeros((64, 64), np.uint8)
    dot[20, 20] = 255
    assert reason_of(encoded(Image.fromarray(strip))) == "a strip, not a picture"
    assert reason_of(encoded(Image.fromarray(dot))) == "nearly constant image"


def test_an_image_bomb_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(RAMP))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert reason_of(content) == "more pixels than Pillow accepts"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_damage_escapes_the_quarantine(data: st.DataObject) -> None:
    """Any bytes changed in a file: it decodes to an image or is a QuarantineError, nothing else."""
    format = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP"]))
    content = bytearray(encoded(Image.fromarray(RAMP), format))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    shape: tuple[int, ...] = (8, 8)
    with contextlib.suppress(QuarantineError):
        shape = preprocess(decode(bytes(content)), 8).shape
    assert shape == (8, 8)


@settings(deadline=None, max_examples=60)
@given(arrays(np.uint16, st.tuples(st.integers(2, 40), st.integers(2, 40))), st.floats(0.5, 9), st.integers(-50, 50))
def test_preprocessing_ignores_gain_and_offset(image: np.ndarray, gain: float, offset: int) -> None:
    """Min-max first makes the result independent of any linear change of the file's units."""
    if image.min() == image.max():
        return
    one, other = (to_uint8(resize(min_max(units), 16)) for units in (image, image * gain + offset))
    assert np.abs(one.astype(int) - other).max() <= 1


def test_min_max_comes_before_resize() -> None:
    """A bright dot sets the scale and then fades: the stored image need not reach 255."""
    image = np.full((64, 64), 10, dtype=np.uint8)
    image[:, 32:] = 110
    image[5, 5] = 210
    small = preprocess(image, 16)
    assert small.min() == 0
    assert small[-1, -1] == round(255 * 100 / 200)
    assert small.max() < 255


def test_resize_is_antialiased_and_squashes_the_aspect() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (30, 40))  # 30 x 80, period 2: far above what 20 px can hold
    small = resize(stripes, 20)
    assert small.shape == (20, 20)
    np.testing.assert_allclose(small[:, 2:-2], 0.5, atol=0.05)
    ramp = np.repeat(np.linspace(0, 1, 90, dtype=np.float32)[:, None], 30, axis=1)
    assert np.all(np.diff(resize(ramp, 30)[:, 0]) > 0)


def test_thumbnails_are_means_of_areas() -> None:
    pixels = np.arange(2 * 12 * 12, dtype=np.uint8).reshape(2, 12, 12)
    blocks = pixels.reshape(2, 4, 3, 4, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(thumbnails(pixels, 4), blocks, atol=1e-6)
    uneven = thumbnails(pixels, 5)
    assert uneven.shape == (2, 5, 5) and uneven.dtype == np.float32
    np.testing.assert_allclose(uneven.mean(), pixels.mean() / 255, atol=1e-6)


@given(st.integers(0, 255))
def test_uint8_rounds_to_the_nearest_level(level: int) -> None:
    assert to_uint8(np.array([[level / 255 + 0.4 / 255]]))[0, 0] == level
    assert to_uint8(np.array([[min_max(np.array([0, level + 1]))[1]]]))[0, 0] == 255


class TestDicom:
    """DICOM files written with pydicom itself."""

    def content(self, pixels: np.ndarray, **elements: Any) -> bytes:
        pydicom = pytest.importorskip("pydicom")
        from pydicom.uid import ExplicitVRLittleEndian

        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        file.Rows, file.Columns = pixels.shape[-2:]
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.PixelRepresentation, file.SamplesPerPixel = int(pixels.dtype.kind == "i"), 1
        file.PhotometricInterpretation = "MONOCHROME2"
        for name, value in elements.items():
            setattr(file, name, value)
        file.PixelData = pixels.tobytes()
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, file, enforce_file_format=True)
        return buffer.getvalue()

    def test_rescale(self) -> None:
        pixels = RAMP.astype(np.uint16) * 5
        image = decode(self.content(pixels, RescaleSlope="2", RescaleIntercept="-100"))
        np.testing.assert_array_equal(image, pixels * 2.0 - 100)
        assert image.dtype == np.float32

    def test_signed_values(self) -> None:
        pixels = RAMP.astype(np.int16) - 120
        np.testing.assert_array_equal(decode(self.content(pixels)), pixels)

    def test_monochrome1_is_inverted(self) -> None:
        pixels = RAMP.astype(np.uint16)
        white_is_zero = decode(self.content(pixels, PhotometricInterpretation="MONOCHROME1"))
        np.testing.assert_allclose(min_max(white_is_zero), 1 - min_max(pixels), atol=1e-6)

    def test_padding_does_not_set_the_scale(self) -> None:
        pixels = RAMP.astype(np.uint16) + 1000
        pixels[:, :2] = 0
        image = decode(self.content(pixels, PixelPaddingValue=0))
        assert image.min() == 1002  # the darkest pixel inside the field of view
        assert (image[:, :2] == 1002).all()

    def test_several_frames_are_rejected(self) -> None:
        frames = np.stack([RAMP.astype(np.uint16)] * 3)
        assert reason_of(self.content(frames, NumberOfFrames=3)) == "several frames in one file"

    def test_damaged_file_is_a_reason(self) -> None:
        content = self.content(RAMP.astype(np.uint16))
        assert reason_of(content[:300]) == "DICOM file that cannot be decoded"

    def test_without_pydicom_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = self.content(RAMP.astype(np.uint16))
        monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
        with pytest.raises(DataError, match="pip install") as caught:
            decode(content)
        assert not isinstance(caught.value, QuarantineError)
