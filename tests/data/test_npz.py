"""An .npz as a data set: every accepted form, and one clear message for every other."""

import io
import zipfile

import numpy as np
import pytest
import torch

from relvit_lab import data
from relvit_lab.common.errors import RelvitError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
X_TEST = RNG.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
Y = np.array([3, 5, 3, 9] * 3)
Y_TEST = np.array([9, 3, 5, 5, 3])
FIRST, FIRST_TEST = X.transpose(0, 3, 1, 2), X_TEST.transpose(0, 3, 1, 2)


def save(tmp_path, compress=False, **changes):
    arrays = {"x_train": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST} | changes
    path = tmp_path / "mine.npz"
    (np.savez_compressed if compress else np.savez)(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def refused(path, *words):
    with pytest.raises(RelvitError) as error:
        data.load(path)
    message = str(error.value)
    assert str(path) in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("compress", [False, True])
def test_channels_last(tmp_path, compress):
    path = save(tmp_path, compress)
    mine = data.load(path)
    assert torch.equal(mine.train.images, torch.tensor(FIRST.copy()))
    assert torch.equal(mine.test.images, torch.tensor(FIRST_TEST.copy()))
    assert mine.train.images.is_contiguous() and mine.train.images.dtype == torch.uint8
    assert mine.classes == ("3", "5", "9")
    assert mine.train.labels.tolist() == [0, 1, 0, 2] * 3 and mine.test.labels.tolist() == [2, 0, 1, 1, 0]
    assert mine.train.labels.dtype == mine.test.labels.dtype == torch.int64
    assert mine.mean == pytest.approx(X.mean((0, 1, 2)) / 255)
    assert data.describe(path) == data.Info(str(path), 8, paper=False, backbone="vit_nano", flip=True)


@pytest.mark.parametrize(
    "train, test",
    [
        (FIRST, FIRST_TEST),
        (np.asfortranarray(X), np.asfortranarray(X_TEST)),
        (np.asfortranarray(FIRST), X_TEST),
        (X.astype(np.float64) / 255, X_TEST.astype(np.float16) / 255),
        ((X / 255).astype(">f4"), X_TEST),
        (np.asfortranarray(X / np.float32(255)), X_TEST),
    ],
    ids=["channels first", "fortran", "fortran first", "floats", "big-endian", "fortran floats"],
)
def test_other_forms_of_the_same_images(tmp_path, train, test):
    mine = data.load(save(tmp_path, x_train=train, x_test=test))
    assert mine.digest == data.load(save(tmp_path)).digest


@pytest.mark.parametrize("form", [X[..., 0], X[..., :1], FIRST[:, :1]])
def test_grey(tmp_path, form):
    test = X_TEST[..., 0] if form.ndim == 3 else X_TEST[..., :1] if form.shape[-1] == 1 else FIRST_TEST[:, :1]
    path = save(tmp_path, x_train=form, x_test=test)
    mine = data.load(path)
    assert torch.equal(mine.train.images[:, 0], torch.tensor(X[..., 0])) and mine.channels == 1
    assert mine.mean[0] == mine.mean[1] == mine.mean[2]
    info = data.describe(path)
    assert (info.image_size, info.flip) == (8, False) and "flipped" in mine.notes[0]


@pytest.mark.parametrize(
    "labels, test, classes",
    [
        (np.array(["cat", "Dog", "cat", "ant"] * 3), np.array(["cat"] * 5), ("Dog", "ant", "cat")),
        (np.array([b"b", b"a"] * 6), np.array([b"a"] * 5), ("a", "b")),
        (np.array([-1, 700] * 6, np.int16), np.full(5, 700, np.uint64), ("-1", "700")),
        (np.array([2**63 + 1, 2**63] * 6, np.uint64), np.full(5, 2**63, np.uint64), (str(2**63), str(2**63 + 1))),
        (np.array([True, False] * 6), np.full(5, True), ("False", "True")),
        (np.array([[4], [2]] * 6), np.full((5, 1), 4), ("2", "4")),
        (np.array([4, 2] * 6, ">i4"), np.full(5, 4), ("2", "4")),
    ],
)
def test_labels(tmp_path, labels, test, classes):
    mine = data.load(save(tmp_path, y_train=labels, y_test=test))
    assert mine.classes == classes

    def name(value):
        value = value.item()
        return value.decode() if isinstance(value, bytes) else str(value)

    assert [classes[k] for k in mine.train.labels] == [name(value) for value in labels]
    assert [classes[k] for k in mine.test.labels] == [name(value) for value in test]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"x_test": None}, ["has no x_test", "y_train"]),
        ({"y_train": Y[:-1]}, ["x_train has 12 images", "y_train has 11 labels"]),
        ({"x_test": X_TEST[:0], "y_test": Y_TEST[:0]}, ["x_test is empty"]),
        ({"x_train": X[:, :6]}, ["6 x 8", "square"]),
        ({"x_train": X[..., :2]}, ["(12, 8, 8, 2)", "channels"]),
        ({"x_train": X[:, :3, :3]}, ["ambiguous"]),
        ({"x_train": X.reshape(12, -1)}, ["(12, 192)"]),
        ({"x_train": X[:, :4, :4]}, ["(3, 4, 4)", "(3, 8, 8)"]),
        ({"x_train": X[..., 0]}, ["(1, 8, 8)", "(3, 8, 8)"]),
        ({"x_train": X.astype(np.int64)}, ["int64", "x_train.astype('uint8')"]),
        ({"x_train": X.astype(np.int16) * 9}, ["int16", "uint8 (0..255)"]),
        ({"x_test": X_TEST / 127.5 - 1}, ["outside [0, 1]", "[-1, 1]", "(x + 1) / 2"]),
        ({"x_test": (X_TEST - X.mean()) / X.std()}, ["standardised", "before"]),
        ({"x_test": X_TEST * 1e5}, ["outside [0, 1]", "save the pixels"]),
        ({"x_train": X.astype(np.float32)}, ["outside [0, 1]", "divide by 255"]),
        ({"x_train": np.full(X.shape, np.nan)}, ["NaN"]),
        ({"x_test": X_TEST / -255.0}, ["x_test", "outside [0, 1]"]),
        ({"x_train": X.astype(str)}, ["x_train"]),
        ({"y_train": Y.astype(float)}, ["y_train is float64", "y_train.astype(int)"]),
        ({"y_test": Y_TEST + 0.5}, ["y_test is float64", "whole numbers"]),
        ({"y_train": np.eye(10)[Y]}, ["one label an image", "one-hot", "y_train.argmax(1)"]),
        ({"y_test": np.eye(10, dtype=bool)[Y_TEST]}, ["one-hot", "y_test.argmax(1)"]),
        ({"y_train": np.ones((12, 3), int)}, ["one label an image", "Several labels"]),
        ({"y_test": Y_TEST + 1}, ["not in y_train", "4, 6, 10"]),
        ({"y_test": Y_TEST.astype(str)}, ["not in y_train", "'3'", "y_test text"]),
        ({"x_train": np.array([X[0], X[1][:4]], dtype=object)}, ["Python objects"]),
        ({"y_train": np.array([3, "a"] * 6, dtype=object)}, ["y_train", "Python objects"]),
    ],
)
def test_bad_content(tmp_path, changes, words):
    refused(save(tmp_path, **changes), *words)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    refused(save(tmp_path, y_test=np.array([Trap()] * 5, dtype=object)), "Python objects")


@pytest.mark.parametrize("compress", [False, True])
def test_truncated_anywhere(tmp_path, compress):
    whole = save(tmp_path, compress).read_bytes()
    path = tmp_path / "cut.npz"
    for size in [0, 1, 4, 40, *range(100, len(whole), 211), len(whole) - 23, len(whole) - 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(path, "cannot be read")
        with pytest.raises(RelvitError, match=r"cut\.npz"):
            data.describe(path)


@pytest.mark.parametrize("compress", [False, True])
def test_a_flipped_byte_is_refused_or_harmless(tmp_path, compress):
    path = save(tmp_path, compress)
    whole, expected = path.read_bytes(), data.load(path)
    seen = 0
    for place in range(0, len(whole), 13):
        broken = bytearray(whole)
        broken[place] ^= 0x55
        path.write_bytes(broken)
        try:
            found = data.load(path)
        except RelvitError as error:
            assert str(path) in str(error)
            seen += 1
        else:  # a time stamp, say
            assert found.digest == expected.digest and found.classes == expected.classes
    assert seen > 0.8 * len(whole) / 13


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("side", [8, 40])
def test_a_checksum_that_does_not_fit(tmp_path, compress, side):
    noise = RNG.integers(0, 256, (12, side, side, 3), dtype=np.uint8)
    path = save(tmp_path, compress, x_train=noise, x_test=noise[:5])
    with zipfile.ZipFile(path) as archive:
        checksum = archive.getinfo("x_test.npy").CRC.to_bytes(4, "little")
    whole = path.read_bytes()
    place = whole.rindex(checksum)  # in the directory at the end, which zipfile goes by
    path.write_bytes(whole[:place] + b"nope" + whole[place + 4 :])
    refused(path, "CRC")


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path):
    path = save(tmp_path)
    header = io.BytesIO()
    shape = (10**11, 32, 32, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["x_train.npy"] = header.getvalue() + X.tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(path, "length")


@pytest.mark.parametrize("name", ["classes", "Class_Names", "label_names"])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_whole_numbers_get_the_names_that_stand_beside_them(tmp_path, name, as_bytes):
    names = np.array([f"class {i}" for i in range(10)])
    mine = data.load(save(tmp_path, **{name: names.astype("S") if as_bytes else names}))
    assert mine.classes == ("class 3", "class 5", "class 9") and mine.notes == ()
    assert mine.digest == data.load(save(tmp_path)).digest  # images and labels alone


@pytest.mark.parametrize(
    "names",
    [np.array(["a", "b"]), np.array(list("aaaaaaaaaa")), np.arange(10), np.array([["a"] * 10]), np.array([]),
     np.array(list("abcdefghij"), dtype=object)],
)  # fmt: skip
def test_names_that_do_not_fit_are_left_aside_with_a_word(tmp_path, names):
    mine = data.load(save(tmp_path, classes=names))
    assert mine.classes == ("3", "5", "9") and "classes left aside" in mine.notes[0]


def test_labels_in_words_keep_them(tmp_path):
    words = {"y_train": np.array(["x", "y", "z"])[Y // 4], "y_test": np.array(["x", "y", "z"])[Y_TEST // 4]}
    mine = data.load(save(tmp_path, **words, classes=np.array(["p", "q", "r"])))
    assert mine.classes == ("x", "y", "z") and "classes left aside" in mine.notes[0]


def test_other_arrays_are_left_aside_with_a_word(tmp_path):
    mine = data.load(save(tmp_path, meta=np.array(3), x_extra=X, x_val=X_TEST, y_val=Y_TEST, x_dev=X_TEST))
    assert "x_val, x_dev is left aside" in mine.notes[0]
    assert "meta, x_extra left aside" in mine.notes[1] and len(mine.notes) == 2


@pytest.mark.parametrize("split", ["val", "valid", "validation", "dev"])
def test_without_test_images_those_of_validation_stand_in(tmp_path, split):
    mine = data.load(save(tmp_path, x_test=None, y_test=None, **{f"x_{split}": X_TEST, f"y_{split}": Y_TEST}))
    expected = data.load(save(tmp_path))
    assert (mine.digest, mine.test_split, mine.notes) == (expected.digest, "val", ())
    refused(save(tmp_path, y_test=None, y_val=Y_TEST), "has no y_test")  # the labels of other images
    refused(save(tmp_path, x_test=None, y_test=None), "has no x_test")


def test_one_class_is_noted(tmp_path):
    (note,) = data.load(save(tmp_path, y_train=Y * 0, y_test=Y_TEST * 0)).notes
    assert "one class only (0)" in note


@pytest.mark.parametrize(
    "changes, word",
    [({"x_train": np.concatenate([X, X[..., :1]], -1)}, "x[..., :3]"), ({"x_train": X > 9}, "bring them to 0..255"),
     ({"x_train": X.astype(np.uint16) * 257}, "bring them to 0..255")],
)  # fmt: skip
def test_what_to_do_with_other_pixels(tmp_path, changes, word):
    refused(save(tmp_path, **changes), word)


def test_a_single_array_is_told_from_a_damaged_file(tmp_path):
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    refused(tmp_path / "one.npz", "cannot be read", "numpy.savez")


def test_no_npz_at_all(tmp_path):
    path = tmp_path / "mine.npz"
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(path)
    refused(path, "cannot be read")


def test_paths_from_the_project_root_and_from_data_dir(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "sets").mkdir(parents=True)
    save(home / "sets")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("RELVIT_HOME", str(home))
    monkeypatch.chdir(elsewhere)
    assert data.load("mine.npz", data_dir="sets").digest == data.load("sets/mine.npz").digest
    assert data.load("sets/mine.npz").name == "sets/mine.npz"


@pytest.mark.parametrize(
    "form",
    ["{0}_{1}", "{0}_{1}|upper", "{1}_images|{1}_labels", "{1}_images|{1}_labels|upper", "{1}_{0}"],
)
def test_other_names_of_the_arrays(tmp_path, form):
    expected = data.load(save(tmp_path))
    forms = form.removesuffix("|upper").split("|")
    arrays = {}
    for split, x, y in (("train", X, Y), ("test", X_TEST, Y_TEST), ("val", X_TEST, Y_TEST)):
        for name, array, own in (("x", x, forms[0]), ("y", y[:, None], forms[-1])):
            key = own.format(name, split)
            arrays[key.upper() if form.endswith("upper") else key] = array
    path = tmp_path / "Other.NPZ"
    with path.open("wb") as file:
        np.savez(file, **arrays)
    mine = data.load(path)
    assert (mine.digest, mine.classes) == (expected.digest, expected.classes)
    assert len(mine.notes) == 1 and "is left aside" in mine.notes[0]
    assert data.describe(path).image_size == 8


@pytest.mark.parametrize("split", ["val", "valid", "validation", "dev"])
def test_validation_images_are_left_aside_with_a_word(tmp_path, split):
    (note,) = data.load(save(tmp_path, **{f"x_{split}": X_TEST})).notes
    assert f"x_{split} is left aside" in note


@pytest.mark.parametrize("scale", [0, 1 / 255**2])
def test_images_without_content_are_noted(tmp_path, scale):
    notes = data.load(save(tmp_path, x_train=X * scale, x_test=X_TEST * scale)).notes
    assert len(notes) == 1 and "all but empty" in notes[0] and "standard deviation 0.00" in notes[0]
    assert "all but empty" in data.load(save(tmp_path, x_test=X_TEST * scale)).notes[0]
    assert data.load(save(tmp_path)).notes == ()
