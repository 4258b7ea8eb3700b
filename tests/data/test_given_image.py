"""One image, however it is given, has the same pixels in a data set, in an explorer and for a trained model."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import relvit_lab
from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import given_image
from relvit_lab.data.images import FORMATS, MOST_PIXELS, decode_image
from relvit_lab.data.walk import EXTENSIONS
from relvit_lab.lessons.patch_relations.explorer_data import relations_data
from relvit_lab.show.model_input import as_input
from relvit_lab.show.own_image import square_image

SIDE = 32


def photo(width=90, height=70, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def in_mode(mode: str) -> Image.Image:
    picture = photo(SIDE, SIDE)
    grey = np.asarray(picture.convert("L"))
    if mode.startswith("I;16"):
        order = ">u2" if mode.endswith("B") else "<u2"
        return Image.frombytes(mode, picture.size, (grey.astype(np.uint16) * 257).astype(order).tobytes())
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray((grey / 255).astype(np.float32))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    if mode in ("RGBa", "La"):
        return picture.convert("RGBA" if mode == "RGBa" else "LA").convert(mode)
    if mode == "PA":
        return picture.convert("P").convert("PA")
    return picture.convert(mode)


MODES = (
    "1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La", "I;16",
    "I;16L", "I;16B",
)  # fmt: skip


def written() -> list[tuple[str, str]]:
    """Every pair of format and mode that Pillow writes here and that is an image file of ours."""
    Image.init()
    pairs = []
    for form in sorted(set(FORMATS) & Image.SAVE.keys()):
        for mode in MODES:
            try:
                in_mode(mode).save(io.BytesIO(), form)
            except (OSError, ValueError, KeyError, NotImplementedError, struct.error):
                continue
            pairs.append((form, mode))
    return pairs


@pytest.fixture(scope="module")
def trained():
    return relvit_lab.load("cifar10_tasks")


def ways(path, ending):
    """What a person may give for one file."""
    content = path.read_bytes()
    entry = {"name": path.name, "type": f"image/{ending}", "size": len(content), "content": memoryview(content)}
    return {
        "path": path, "text": str(path), "bytes": content, "bytearray": bytearray(content), "view": memoryview(content),
        "stream": io.BytesIO(content), "upload": (entry,), "entry": entry, "older upload": {path.name: entry},
        "opened": Image.open(path),
    }  # fmt: skip


@pytest.mark.parametrize(("form", "mode"), written())
def test_a_file_has_the_same_pixels_everywhere(tmp_path, trained, form, mode):
    path = tmp_path / "mine.bin"
    in_mode(mode).save(path, form)
    pixels = torch.tensor(decode_image(path, SIDE))
    like = np.asarray(photo(SIDE, SIDE) if in_mode(mode).mode in ("RGB", "LAB") else in_mode(mode).convert("RGB"))
    if mode not in ("F", "I") and not mode.startswith("I;16") and Image.open(path).size == (SIDE, SIDE):
        assert np.abs(pixels.permute(1, 2, 0).numpy().astype(int) - like).mean() < 20  # of 255; some formats are lossy
    expected = trained.transform(pixels)
    for what, given in ways(path, form.lower()).items():
        assert torch.equal(trained.transform(given), expected), what
        if hasattr(given, "seek"):
            given.seek(0)
        assert torch.equal(square_image(given, 8).image, pixels / 255) or min(Image.open(path).size) != SIDE, what


def test_all_formats_of_the_list_are_tried_and_their_endings_are_listed():
    assert {form for form, _ in written()} >= {"PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "ICO"}
    of_ours = {ending for ending, form in Image.registered_extensions().items() if form in FORMATS}
    assert of_ours == set(EXTENSIONS)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("size", [(64, 64), (91, 60), (40, 333), (600, 500)])
def test_orientation_and_shape_are_those_of_a_data_set(tmp_path, trained, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder = tmp_path / "set"
    for split in ("train", "dev"):
        for name in ("elm", "oak"):
            (folder / split / name).mkdir(parents=True)
            photo(*size, seed=len(split + name)).save(folder / split / name / "a.jpg", exif=exif)
    stored = data.load(folder, tmp_path / "data", image_size=SIDE, progress=False).test.images
    expected = trained.transform(stored)
    files = [folder / "dev" / name / "a.jpg" for name in ("elm", "oak")]
    assert torch.equal(trained.transform(files), expected)
    opened = [Image.open(file) for file in files]
    assert torch.equal(trained.transform(opened), expected)
    assert torch.equal(trained.transform(opened), expected)  # and they are still whole
    assert given_image.size(files[0]) == (size if orientation < 5 else size[::-1])


def test_images_of_several_sizes_and_kinds_in_one_list(tmp_path, trained):
    pictures = [photo(SIDE, SIDE), photo(200, 90, 1).convert("HSV"), photo(50, 333, 2).quantize(64)]
    whole = trained.transform([*pictures, np.asarray(pictures[0]), np.asarray(pictures[0]) / 255])
    assert whole.shape == (5, 3, SIDE, SIDE) and torch.equal(whole[0], whole[3]) and torch.equal(whole[0], whole[4])
    for one, picture in zip(whole, pictures):
        assert torch.equal(trained.transform(picture)[0], one)
    with pytest.raises(RelvitError, match="at least one image"):
        trained.transform([])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_grey_values_fill_the_range_of_their_bits(tmp_path, bits):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)
    for ending in ("png", "tiff", "jp2"):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(np.tile(ramp, (64, 1))).save(path)
        found = decode_image(path, 64)
        assert found.min() == 0 and found.max() == 255 and abs(found.mean() - 127.5) < 3
        assert torch.equal(square_image(path, 16).image, torch.tensor(found) / 255)


def test_floats_are_levels_or_refused(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    for values in (ramp, ramp * 255):
        Image.fromarray(values).save(tmp_path / "a.tiff")
        assert abs(decode_image(tmp_path / "a.tiff", 64).mean() - 127.5) < 1
    for values in (ramp * 2 - 1, ramp * 4000, ramp * np.nan):
        Image.fromarray(values).save(tmp_path / "a.tiff")
        with pytest.raises(RelvitError, match="floats lie in"):
            square_image(tmp_path / "a.tiff", 16)


def png(width: int, height: int) -> bytes:
    """A grey PNG that is small however large its image is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(9), bytes((width + 7) // 8 + 1)  # one bit a pixel
    body = b"".join(packer.compress(rows * 100) for _ in range(height // 100)) + packer.compress(rows * (height % 100))
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body + packer.flush()) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("size", [(12_000, 12_000), (20_000, 20_000), (1, 4_000), (30_000, 2), (100, 1_000_000)])
def test_small_files_of_huge_images_are_refused(tmp_path, trained, size):
    content = png(*size)
    (tmp_path / "a.png").write_bytes(content)
    for read in (square_image, trained.transform, relations_data):
        with pytest.raises(RelvitError, match="pixels"):
            read(content)
    with pytest.raises(ValueError, match="pixels"):
        decode_image(tmp_path / "a.png", 64)
    assert size[0] * size[1] > MOST_PIXELS or max(size) > 100 * min(size)


def test_long_strips_are_cropped_before_they_are_resized(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(20, 1_900))
    asked, resize = [], Image.Image.resize

    def watched(self, size, *more, **options):
        asked.append(size)
        return resize(self, size, *more, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    assert decode_image(tmp_path / "a.png", 512).shape == (3, 512, 512)
    assert asked and max(map(max, asked)) <= 16 * 512


def test_no_memory_is_one_line(tmp_path, monkeypatch, trained):
    photo().save(tmp_path / "a.png")

    def none(*given):
        raise MemoryError

    monkeypatch.setattr(given_image, "decode_image", none)
    with pytest.raises(RelvitError, match="not enough memory"):
        trained.transform(tmp_path / "a.png")


def test_only_image_formats_are_opened(tmp_path):
    photo().save(tmp_path / "a.png", "EPS")
    with pytest.raises(RelvitError, match="no image that can be read"):
        square_image(tmp_path / "a.png")


def test_where_an_image_is_looked_for(tmp_path, monkeypatch):
    home, shell = tmp_path / "home", tmp_path / "shell"
    for folder in (home / "pictures", shell):
        folder.mkdir(parents=True)
    monkeypatch.setenv("RELVIT_HOME", str(home))
    monkeypatch.setenv("HOME", str(shell))
    monkeypatch.chdir(shell)
    photo(seed=1).save(home / "pictures" / "a.png")
    photo(seed=2).save(shell / "b.png")
    assert given_image.given_image("pictures/a.png") == home / "pictures" / "a.png"
    assert given_image.given_image("~/b.png") == given_image.given_image("b.png") == shell / "b.png"
    with pytest.raises(RelvitError) as error:
        given_image.given_image("c.png")
    assert str(shell / "c.png") in str(error.value) and str(home / "c.png") in str(error.value)


def closed(file):
    file.touch()
    with file.open("rb") as opened:
        return opened


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda path: path, "is a folder"),
        (lambda path: path / "pipe.png", "no regular file"),
        (lambda path: b"", "no image that can be read"),
        (lambda path: (photo(), 3), "a pair"),
        (lambda path: (), "0 were uploaded|the shape"),
        (lambda path: ({"content": b"a"}, {"content": b"b"}), "2 were uploaded: take one"),
        (lambda path: io.StringIO("text"), "not StringIO"),
        (lambda path: {"a": 1}, "not dict"),
        (lambda path: "https://example.org/a.jpg", "is an address"),
        (lambda path: "data:image/png;base64," + 9000 * "A", "characters is no path"),
        (lambda path: np.zeros((4, 4, 3), np.int64), "astype"),
        (lambda path: np.full((4, 4, 3), 999, np.uint16), "bring it to 0..255"),
        (lambda path: closed(path / "a.png"), "the file is closed"),
    ],
)
def test_what_is_no_image(tmp_path, what, message):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RelvitError, match=message):
        square_image(what(tmp_path))


@pytest.mark.parametrize("width, height", [(50, 30), (30, 50), (32, 47), (200, 33)])
def test_an_oblong_image_is_the_same_as_a_file_and_as_an_array(tmp_path, trained, width, height):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "own.png")
    expected = trained.transform(tmp_path / "own.png")
    for given in (picture, Image.fromarray(picture), picture.transpose(2, 0, 1)):
        assert torch.equal(trained.transform(given), expected)
        assert torch.equal(as_input(trained, given)[0], expected)


@pytest.mark.parametrize("form", ["'{}'", '"{}"', " {} ", "file://{}", '"file://{}"\n'])
def test_a_path_as_file_managers_copy_it(tmp_path, form):
    file = tmp_path / "a photo.png"
    photo(SIDE, SIDE).save(file)
    assert torch.equal(square_image(form.format(file)).image, square_image(file).image)
    odd = tmp_path / "'odd'.png"  # a name with quotes of its own
    photo(SIDE, SIDE, seed=1).save(odd)
    assert torch.equal(square_image(str(odd)).image, square_image(odd).image)


def test_rows_of_whole_numbers_are_levels():
    levels = np.asarray(photo(SIDE, SIDE))
    assert torch.equal(square_image(levels.tolist()).image, square_image(levels).image)
    with pytest.raises(RelvitError, match="int64"):
        square_image((levels.astype(int) + 1).tolist())


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_photograph_as_telephones_write_it(tmp_path, brand):
    content = b"\0\0\0\x18ftyp" + brand + bytes(40)
    (tmp_path / "IMG_1.HEIC").write_bytes(content)
    for given in (tmp_path / "IMG_1.HEIC", content, io.BytesIO(content)):
        with pytest.raises(RelvitError, match=r"HEIC.*export it as JPEG"):
            square_image(given)
