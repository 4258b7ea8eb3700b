"""Experiment: coercion of what papermill and a shell hand over, names, ids, stages."""

import json

import numpy as np
import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import synonyms
from relvit_lab.method.tasks import TASKS, Task
from relvit_lab.train.build import load_start
from relvit_lab.train.experiment import PLACES, SYNONYMS, Experiment, Stage


def stage_ids(**fields) -> dict[str, str]:
    return {stage.name: stage.id for stage in Experiment(**fields).stages()}


@pytest.mark.parametrize(
    "given",
    [["sprel", "abspos"], '["sprel", "abspos"]', "sprel,abspos", "sprel+abspos", "abspos, sprel", ("abspos", "sprel")],
)
def test_tasks_in_any_form_give_one_id(given):
    assert Experiment(tasks=given).resolved().tasks == ("sprel", "abspos")
    assert Experiment(tasks=given).id == Experiment().id


@pytest.mark.parametrize(
    "text, value", [("true", True), ("Yes", True), ("1", True), (1, True), ("no", False), ("0", False)]
)
def test_booleans(text, value):
    assert Experiment(shuffle=text).shuffle is value


def test_numbers_from_strings():
    e = Experiment(epochs="3", lr="5e-4", pos_embed="None", seed=2.0)
    assert (e.epochs, e.lr, e.pos_embed, e.seed) == (3, 5e-4, None, 2)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"epochs": "three"}, "epochs is 'three'"),
        ({"epochs": 1.5}, "whole number"),
        ({"epochs": True}, "whole number"),
        ({"epochs": 0}, "from 1"),
        ({"shuffle": "maybe"}, "true or false"),
        ({"shuffle": 2}, "true or false"),
        ({"lr": "nan"}, "lr is 'nan'"),
        ({"label_fraction": 0}, "label_fraction"),
        ({"label_fraction": 1.5}, "label_fraction"),
        ({"seed": -1}, "seed"),
        ({"scenario": "supervized"}, "'supervised'"),
        ({"recipe": "papr"}, "'paper'"),
        ({"preset": "smok"}, "'smoke'"),
        ({"supervised_stages": 3}, "from 1 to 2"),
        ({"tasks": "sprel,sprel"}, "twice"),
        ({"tasks": {"sprel": 1}}, "list"),
        ({"task_weights": "1"}, "1 numbers for 2 tasks"),
        ({"task_weights": "1,-1"}, "0 or more"),
        ({"seed": 2**31}, "from 0 to 2,147,483,647"),
        ({"run_dir": " "}, "run_dir is ' '"),
        ({"dataset": ""}, "dataset is ''"),
    ],
)
def test_values_are_checked_when_made(fields, says):
    with pytest.raises(RelvitError, match=says):
        Experiment(**fields)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"tasks": "sprle"}, "did you mean 'sprel'"),
        ({"dataset": "cifar11"}, "did you mean 'cifar10'"),
        ({"backbone": "vit_s4"}, "did you mean 'vit_s_4'"),
        ({"preset": "paper"}, "digits has no paper preset"),
        ({"mega_patches": 5}, "at most 4"),
        ({"mega_patches": 3, "scenario": "downstream_only"}, "pre-training"),
        ({"mega_patches": 3, "pos_embed": True}, "positional embeddings"),
        ({"image_size": 30, "backbone": "vit_s_4"}, "image_size"),
        ({"stop_after": "joint"}, "no stage here"),
        ({"init_from": "nowhere"}, "no finished stage"),
        ({"tasks": []}, "at least one task"),
        ({"task_weights": "0,0"}, "would learn nothing"),
        ({"dataset": "a" * 300}, "unknown data set"),
        ({"dataset": "~nobody-of-that-name/x"}, "no such user"),
    ],
)
def test_names_are_checked_when_resolved(fields, says):
    with pytest.raises(RelvitError, match=says):
        Experiment(**fields).stages()


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(RelvitError, match="did you mean 'epochs'"):
        Experiment.create({"epoch": 3})


def test_papermill_cell_with_an_unknown_name_is_an_error():
    cell = '# Parameters\nepochs = 2\ndatset = "digits"\n'
    with pytest.raises(RelvitError, match=r"unknown parameter 'datset'.*'dataset'"):
        Experiment.from_notebook({"In": ["", "dataset = 'digits'", cell], "epochs": 2, "datset": "digits"})


def test_a_notebooks_other_variables_are_no_parameters():
    e = Experiment.from_notebook({"In": ["", "# Parameters\nepochs = 2"], "epochs": 2, "finished": [], "figure": None})
    assert e.epochs == 2


def test_defaults_of_the_contract():
    e = Experiment(dataset="cifar10").resolved()
    assert (e.scenario, e.tasks, e.shuffle, e.preset, e.backbone) == (
        "pretrain_finetune", ("sprel", "abspos"), False, "paper", "vit_s_4",
    )  # fmt: skip
    assert (e.epochs, e.batch_size, e.lr, e.weight_decay, e.dropout, e.drop_path) == (100, 256, 5e-4, 0, 0, 0)
    assert Experiment(dataset="cifar10", preset="demo").resolved().backbone == "vit_nano"
    assert Experiment().resolved().preset == "demo"


def test_positional_embeddings_off_in_pretraining_only():
    assert [s.pos_embed for s in Experiment().stages()] == [False, True]
    assert [s.pos_embed for s in Experiment(pos_embed=True).stages()] == [True, True]
    assert [s.pos_embed for s in Experiment(scenario="downstream_only").stages()] == [True]
    assert [s.pos_embed for s in Experiment(scenario="supervised", pos_embed=False).stages()] == [False]


def test_patches_are_augmented_where_the_recipes_say():
    assert [s.augments_patches for s in Experiment().stages()] == [True, False]
    assert [s.augments_patches for s in Experiment(scenario="downstream_only").stages()] == [True]
    assert [s.augments_patches for s in Experiment(scenario="downstream_only", recipe="released").stages()] == [False]
    assert [s.augments_patches for s in Experiment(scenario="supervised").stages()] == [False]


def test_places_do_not_change_an_id_and_every_other_field_does():
    base = Experiment().id
    for name, value in {
        "run_dir": "elsewhere",
        "device": "cpu",
        "precision": "bf16",
        "fresh": True,
        "stop_after": "pretrain",
        "knn": 20,
        "linear_probe": True,
        "compile": True,
        "profile": True,
    }.items():
        assert name in PLACES and Experiment(**{name: value}).id == base
    other = {
        "dataset": "cifar10", "scenario": "supervised", "backbone": "vit_s_4", "tasks": "ang", "task_weights": "1,2",
        "mega_patches": 3, "pos_embed": True, "shuffle": True, "recipe": "released", "supervised_stages": 2,
        "epochs": 7, "batch_size": 8, "lr": 0.1, "weight_decay": 0.1, "dropout": 0.1, "drop_path": 0.1, "clip": 2,
        "label_fraction": 0.5, "train_images": 99, "test_images": 99, "image_size": 16, "patch_size": 4,
        "factored_heads": True, "image_crop": "padded", "flip": True, "pair_head": "mlp", "drloc_form": "released",
        "seed": 1,
    }  # fmt: skip
    of_some = {"data_source", "train_on"}  # of image files, and of a set with validation images: below
    assert set(other) | set(PLACES) | of_some | {"init_from"} == set(Experiment.names())
    ids = [Experiment(**{name: value}).id for name, value in other.items()]
    assert len(set(ids)) == len(ids) and base not in ids


def test_fields_that_count_only_where_they_mean_something():
    assert stage_ids(drloc_form="released") == stage_ids()  # no task drloc
    assert stage_ids(tasks="drloc", drloc_form="released")["pretrain"] != stage_ids(tasks="drloc")["pretrain"]
    assert stage_ids(scenario="supervised", pair_head="mlp") == stage_ids(scenario="supervised")
    assert stage_ids(pair_head="mlp")["pretrain"] != stage_ids()["pretrain"]
    flowers = {"dataset": "flower102", "preset": "smoke"}
    more = ({}, {"data_source": "files"}, {"train_on": "train+val"})
    ids = [stage_ids(**flowers, **fields)["pretrain"] for fields in more]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("backbone", ["swin_t", "t2t_vit_14"])
def test_backbones_that_are_no_plain_vit(backbone):
    e = Experiment(dataset="cifar10", backbone=backbone, scenario="downstream_only").resolved()
    assert (e.backbone, e.image_size, e.batch_size, e.pos_embed) == (backbone, 224, 64, True)
    assert e.drop_path == e.dropout == 0
    assert [stage.augments_patches for stage in e.stages()] == [False]  # §4.1: image augmentation only
    released = Experiment(dataset="cifar10", backbone=backbone, recipe="released").resolved()
    assert (released.drop_path, released.dropout) == ((0.0, 0.1) if backbone == "t2t_vit_14" else (0.1, 0.0))
    for wrong in ({"shuffle": True}, {"mega_patches": 3}, {"pos_embed": False}):
        with pytest.raises(RelvitError, match=f"leave {next(iter(wrong))} out"):
            Experiment(dataset="cifar10", backbone=backbone, **wrong).resolved()


def test_notes_say_what_a_person_may_not_expect():
    assert Experiment().notes() == ()
    nano, outside = Experiment(dataset="cifar10", backbone="swin_t", preset="smoke").notes()
    assert "swin_nano" in nano and "outside the paper" in outside
    assert Experiment(dataset="cifar10", backbone="t2t_vit_14", scenario="supervised").notes() == ()
    (idle,) = Experiment(scenario="supervised", mega_patches=3, shuffle=True).notes()
    assert idle == "scenario supervised takes no notice of mega_patches and shuffle"
    assert "supervised_stages" in Experiment(supervised_stages=2).notes()[0]


@pytest.mark.parametrize("dataset, size", [("svhn", 32), ("flower102", 224), ("svhn", 224), ("cifar10", 32)])
def test_where_the_authors_code_cannot_start_recipe_released_is_inferred(dataset, size):
    backbone = "vit_s_32" if size == 224 else None
    said = Experiment(dataset=dataset, backbone=backbone, image_size=size, recipe="released").notes()
    cannot = (dataset, size) in {("svhn", 32), ("flower102", 224)}
    assert ["inferred" in note and dataset in note for note in said] == [True] * cannot
    assert Experiment(dataset=dataset, backbone=backbone, image_size=size).notes() == ()


def test_drloc_weighs_what_its_paper_gives_it():
    assert Experiment(dataset="cifar10", backbone="swin_t", tasks="drloc").resolved().task_weights == (0.5,)
    assert Experiment(dataset="cifar10", backbone="t2t_vit_14", tasks="drloc").resolved().task_weights == (0.1,)
    assert Experiment(tasks="drloc,sprel", task_weights="2,1").resolved().task_weights == (1.0, 2.0)  # registry order


@pytest.mark.parametrize("backbone, largest", [("vit_s_32", 6), ("vit_s_16", 10), ("vit_s_14", 10)])
def test_mega_patches_of_table_5(backbone, largest):
    for m in (3, 4, 5, 6, 8, 10):
        fields = {"dataset": "imagenet100", "backbone": backbone, "mega_patches": m, "preset": "paper"}
        if m <= largest:
            assert Experiment(**fields).stages()[0].mega_patches == m
        else:
            with pytest.raises(RelvitError, match="at most 7"):
                Experiment(**fields).stages()


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"dataset": "cifar10", "data_source": "files"}, "stored as arrays"),
        ({"dataset": "cifar10", "train_on": "train+val"}, "only flower102 has"),
        ({"backbone": "timm:vit_tiny_patch16_225"}, "vit_tiny_patch16_224"),
    ],
)
def test_what_does_not_go_together(fields, says):
    with pytest.raises(RelvitError, match=says):
        Experiment(**fields).resolved()


def test_the_preset_is_what_it_resolves_to():
    demo = Experiment(preset="demo")
    e = demo.resolved()
    spelled_out = Experiment(epochs=e.epochs, batch_size=e.batch_size, lr=e.lr, backbone="vit_nano", preset="demo")
    assert demo.id == spelled_out.id == Experiment().id


def test_stages_are_shared_where_nothing_that_matters_differs():
    assert stage_ids()["pretrain"] == stage_ids(label_fraction=0.1)["pretrain"]
    assert stage_ids()["finetune"] != stage_ids(label_fraction=0.1)["finetune"]
    assert stage_ids(scenario="supervised") == stage_ids(scenario="supervised", tasks="dist", shuffle=True)
    twice = stage_ids(scenario="supervised", supervised_stages=2)
    assert list(twice) == ["supervised", "supervised2"]
    assert twice["supervised"] == stage_ids(scenario="supervised")["supervised"]
    assert stage_ids(seed=1)["pretrain"] != stage_ids()["pretrain"]
    assert stage_ids(tasks="dist")["finetune"] != stage_ids()["finetune"]  # another parent


def test_stop_after():
    assert list(stage_ids(stop_after="pretrain")) == ["pretrain"]


def test_a_task_that_was_changed_is_another_experiment():
    def first(grid):
        return TASKS.get("sprel").target(grid) // 3

    def second(grid):
        return TASKS.get("sprel").target(grid) % 3

    ids = []
    try:
        for target in (first, second):
            TASKS.add(Task("rows_test", TASKS.get("sprel").make_head, target=target))
            ids.append(stage_ids(tasks="rows_test")["pretrain"])
    finally:
        TASKS._entries.pop("rows_test")
    assert ids[0] != ids[1]


def test_resolved_fields_are_json_and_come_back():
    e = Experiment(tasks="dist", epochs=3).resolved()
    assert Experiment.create(json.loads(json.dumps(e.as_dict()))) == e


def test_an_npz_is_described_by_its_header(tmp_path):
    images = np.zeros((8, 12, 12, 3), np.uint8)
    labels = np.arange(8) % 2
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    e = Experiment(dataset=str(tmp_path / "own.npz")).resolved()
    assert (e.image_size, e.patch_size, e.preset, e.backbone) == (12, 2, "demo", "vit_nano")


def test_a_stage_knows_its_folder(tmp_path):
    stage = Experiment(run_dir=str(tmp_path)).stages()[0]
    assert isinstance(stage, Stage) and stage.folder == tmp_path / stage.id


def test_other_names_stand_for_fields_and_none_is_a_field_itself():
    settings = Experiment.settings()
    typed = synonyms(SYNONYMS.read_text(encoding="utf-8"))
    assert [name for name in settings if name in typed] == list(typed)  # in the order of the fields, and no others
    for name, setting in settings.items():
        words = [*setting.words.split(), *setting.asides]
        assert not set(settings) & set(words)
        assert set(setting.values.values()) <= set(setting.choices)
        assert not set(setting.values) & set(setting.choices), name


def test_a_weight_with_an_exponent_is_one_number():
    assert Experiment(tasks="sprel", task_weights="1e+1").task_weights == (10.0,)
    assert Experiment(tasks="sprel+dist", task_weights="1e-1+2").task_weights == (0.1, 2.0)


def test_weights_are_sought_where_one_stands_and_of_an_ended_stage_only(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.pt").write_bytes(b"no weights")
    monkeypatch.chdir(tmp_path / "here")
    (stage,) = Experiment(init_from="mine.pt").stages()
    assert stage.init == tmp_path / "here" / "mine.pt"
    with pytest.raises(RelvitError) as refused:
        load_start(None, stage)
    assert "fresh" not in str(refused.value)  # nobody can train that file anew
    begun = tmp_path / "here" / "digits-pretrain-0123456789"
    begun.mkdir()
    for name in ("experiment.json", "model.safetensors"):
        (begun / name).touch()
    with pytest.raises(RelvitError, match="has not ended"):
        Experiment(init_from=str(begun)).stages()
