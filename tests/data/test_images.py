"""One image file to pixels: windows of originals against torchvision. (decode_image: test_data_folder.)"""

import numpy as np
import pytest
from PIL import Image

from relvit_lab.data.images import decode_window


@pytest.fixture
def picture():
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((40, 30), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", [(0, 0, 30, 40), (3, 5, 20, 11), (29, 39, 1, 1), (7, 0, 4, 40)])
def test_windows_equal_torchvision(tmp_path, picture, window, mirrored):
    from torchvision.transforms.functional import hflip, pil_to_tensor, resized_crop

    picture.save(tmp_path / "a.png")
    expected = resized_crop(picture, *window, [16, 16])
    expected = pil_to_tensor(hflip(expected) if mirrored else expected)
    assert np.array_equal(decode_window(tmp_path / "a.png", 16, lambda *size: (*window, mirrored)), expected)


def test_the_window_is_chosen_for_the_upright_image(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture.save(tmp_path / "a.png", exif=exif)
    seen = []

    def window(height, width):
        seen.append((height, width))
        return 0, 0, height, width, False

    found = decode_window(tmp_path / "a.png", 30, window)
    assert seen == [(40, 30)]
    whole = picture.transpose(Image.Transpose.ROTATE_270).resize((30, 30), Image.Resampling.BILINEAR)
    assert np.array_equal(found, np.asarray(whole).transpose(2, 0, 1))


def test_grey_images_become_three_channels(tmp_path, picture):
    picture.convert("L").save(tmp_path / "a.jpg")
    found = decode_window(tmp_path / "a.jpg", 8, lambda height, width: (0, 0, height, width, False))
    assert found.shape == (3, 8, 8) and found.dtype == np.uint8 and np.array_equal(found[0], found[2])
