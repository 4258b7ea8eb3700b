"""Which data set a name or path means: one id however it is spelt, where it is looked for, and whether it changed."""

import os
from pathlib import Path

import numpy as np
import pytest
from dataset_fixtures import build
from PIL import Image

from relvit_lab import Experiment, data
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import project_root


def photos(root: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    for name in ("elm", "oak"):
        (root / name).mkdir(parents=True)
        for n in range(5):
            Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(root / name / f"{n}.png")
    return root


def arrays(path: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = draw.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, x_train=images[:8], y_train=np.arange(8) % 2, x_test=images[8:], y_test=np.arange(4) % 2)
    return path


def ids(spellings, **fields) -> set[str]:
    found = [Experiment(dataset=str(name), preset="smoke", **fields) for name in spellings]
    return {e.id for e in found} | {stage.id for e in found for stage in e.stages()[:1]}


@pytest.mark.parametrize("make, name", [(photos, "leaves"), (arrays, "leaves.npz"), (arrays, "leaves.NpZ")])
@pytest.mark.parametrize("inside", [True, False])
def test_one_data_set_has_one_id(tmp_path, monkeypatch, make, name, inside):
    home = tmp_path / "home"
    where = make((home if inside else tmp_path / "other") / "sets" / name)
    (home / "notebooks").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(where.parent)
    monkeypatch.setenv("RELVIT_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(home / "notebooks")
    dots = os.path.relpath(where, Path.cwd())
    spellings = [where, f"{where}/" if where.is_dir() else where, dots, f"./{dots}", tmp_path / "linked" / name]
    spellings += [f"~/{where.relative_to(tmp_path)}", where.parent / ".." / "sets" / name, f"  {where} "]
    if inside:
        spellings += [f"sets/{name}", f"sets/../sets/./{name}", f"sets//{name}"]
    assert len(ids(spellings)) == 2
    monkeypatch.chdir(where.parent)
    assert ids(spellings[:2] + [name, f"./{name}", "../sets/" + name]) == ids([where])


def test_data_dir_and_the_place_of_the_project_change_no_id(tmp_path, monkeypatch):
    found = set()
    for home in ("one", "two"):
        monkeypatch.setenv("RELVIT_HOME", str(tmp_path / home))
        photos(tmp_path / home / "leaves")
        photos(tmp_path / f"{home}_data" / "trees")
        found.add(frozenset(ids(["leaves"])))
        found.add(frozenset(ids(["trees"], data_dir=tmp_path / f"{home}_data")))
    assert len(found) == 2


def test_different_folders_of_one_name_keep_different_ids(tmp_path, monkeypatch):
    for place in ("", "data", "notebooks", "sub/data"):
        photos(tmp_path / place / "leaves")
    monkeypatch.chdir(tmp_path / "notebooks")
    every = [tmp_path / place / "leaves" for place in ("", "data", "notebooks", "sub/data")]
    assert len({data.identity(path) for path in every}) == 4
    assert {data.spelling(path) for path in every} == {
        str(tmp_path / "leaves"), "data/leaves", "notebooks/leaves", "sub/data/leaves",
    }  # fmt: skip
    assert data.identity(every[0]) == "leaves"  # of another folder the shell's place says nothing
    assert data.identity(every[0], data_dir=tmp_path / "data") == "leaves" != data.identity(every[1])


def test_a_folder_called_like_a_registered_set_is_not_that(tmp_path):
    photos(tmp_path / "digits")
    assert data.describe("digits").image_size == 8
    own = data.load(tmp_path / "digits", image_size=8, progress=False)
    assert own.classes == ("elm", "oak")
    assert data.spelling(tmp_path / "digits") == "./digits" == data.identity("./digits")


def test_the_ids_of_registered_sets(tmp_path):
    assert ids(["CIFAR-10"]) == ids(["cifar10"])
    assert Experiment(dataset="cifar10").id == "cifar10-pretrain_finetune-e9bb47f1a9"


def test_where_a_path_is_looked_for(tmp_path, monkeypatch):
    shell = tmp_path / "elsewhere"
    photos(shell / "leaves")
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(shell)
    assert data.load("./leaves", image_size=8, progress=False).classes == ("elm", "oak")
    assert data.spelling("leaves/.") == str(shell / "leaves")
    monkeypatch.chdir(shell / "leaves")
    assert data.spelling(".") == str(shell / "leaves")
    with pytest.raises(RelvitError) as error:
        data.load("trees", data_dir="store")
    for place in (shell / "leaves" / "trees", project_root() / "trees", project_root() / "store" / "trees"):
        assert str(place) in str(error.value)


@pytest.mark.parametrize(
    "name", ["leaves", "leaves.npz", "cifar10", "svhn", "flower102", "tiny_imagenet", "imagenet100"]
)
def test_a_stamp_changes_with_the_files(tmp_path, monkeypatch, name):
    folder = tmp_path / "data"
    if name in data.DATASETS:
        assert data.stamp(name, folder) is None
        build(name, folder, monkeypatch)
    else:
        (arrays if name.endswith("npz") else photos)(folder / name)
    before = data.stamp(name, folder)
    assert before == data.stamp(name, folder) and len(before) == 16
    ends = (".npz", ".png", "32x32.mat", ".jpg", ".JPEG", "data_batch_3")
    file = sorted(path for path in folder.rglob("*") if path.name.endswith(ends) and "test_0" not in path.name)[-1]
    about = file.stat()
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    later = data.stamp(name, folder)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert later != before == data.stamp(name, folder)
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert data.stamp(name, folder) not in (before, later)


def test_an_npz_put_in_place_of_the_files_changes_the_stamp(tmp_path, monkeypatch):
    build("cifar10", tmp_path, monkeypatch)
    before = data.stamp("cifar10", tmp_path)
    arrays(tmp_path / "cifar10.npz")
    assert data.stamp("cifar10", tmp_path) not in (before, None)
    assert data.stamp("digits", tmp_path) == data.stamp("digits", tmp_path / "data")
