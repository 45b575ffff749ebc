"""Images as cameras, microscopes and paint programs write them, and what items are known by."""

import numpy as np
import pytest
from PIL import Image

from fairpo._checks import FairPOFileError
from fairpo.data.items import EncodedImages, ImageArrays, ImageFiles, Texts


def load(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return ImageFiles(tmp_path, (name,)).load(0)


def test_images_are_turned_upright_as_the_camera_says(tmp_path):
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    loaded = load(tmp_path, Image.fromarray(pixels), "turned.png", exif=exif)
    assert loaded.size == (20, 30)
    assert np.array_equal(np.asarray(loaded), np.rot90(pixels, -1))


def test_sixteen_bits_of_grey_are_scaled_and_not_cut(tmp_path):
    grey = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16)
    loaded = np.asarray(load(tmp_path, Image.fromarray(grey), "grey.png"))
    assert np.array_equal(loaded, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_grey_of_unknown_range_is_refused(tmp_path):
    floats = Image.fromarray(np.ones((4, 4), dtype=np.float32))
    with pytest.raises(FairPOFileError, match="32-bit grey, whose range is not known"):
        load(tmp_path, floats, "f.tiff")


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGBA", "LA", "YCbCr"])
def test_every_other_mode_becomes_rgb(tmp_path, mode):
    name = "x.jpg" if mode in ("CMYK", "YCbCr") else "x.png"
    loaded = load(tmp_path, Image.new("RGB", (5, 4), (200, 30, 10)).convert(mode), name)
    assert (loaded.mode, loaded.size) == ("RGB", (5, 4))


def test_a_machine_without_file_handles_is_no_unreadable_image(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def exhausted(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(OSError, match="Too many open files") as caught:
        ImageFiles(tmp_path, ("a.png",)).load(0)
    assert not isinstance(caught.value, FairPOFileError)


def test_fingerprints_follow_the_content():
    pixels = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    other = pixels + 1
    assert Texts(["a", "bc"]).fingerprint() != Texts(["ab", "c"]).fingerprint()
    first, second = (ImageArrays(2, "x", lambda p=p: p).fingerprint() for p in (pixels, other))
    assert first != second
    assert EncodedImages(1, "x", lambda row: b"", "table 1").fingerprint() == "table 1"
    with pytest.raises(FairPOFileError, match=r"x\[0\]: holds no image"):
        EncodedImages(1, "x", lambda row: b"", "t").load(0)
