"""The plan as a table: what is done and missing, and hours whose rate is either measured or called an assumption."""

import json

import pytest

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan.cost import cell_table, measured_rates, plan_table, training_flops
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.flops import stage_flops

GPU = "Some GPU"


def result(stage, device=GPU, images_per_second=1000.0, train_images=50_000, accuracy=80.0):
    return {
        "experiment": stage.experiment.as_dict(),
        "stage": {"name": stage.name, "id": stage.id, "parent": stage.parent and stage.parent.id},
        "metrics": {"accuracy": accuracy},
        "counts": {"train_images": train_images},
        "environment": {"device": device, "commit": None, "precision": "bf16"},
        "timing": {"seconds": 1.0, "images_per_second": images_per_second},
    }


def write(run_dir, stage, epochs=0, done=False, **fields):
    folder = run_dir / stage.id
    folder.mkdir(parents=True)
    folder.joinpath("metrics.jsonl").write_text("".join(f'{{"epoch": {k + 1}}}\n' for k in range(epochs)))
    if done:
        folder.joinpath("result.json").write_text(json.dumps(result(stage, **fields)))


def rows(table):
    return [dict(zip(table.headers, row)) for row in table.rows]


@pytest.fixture
def cifar():
    """Table 2's CIFAR-10 under one recipe: two cells, two seeds, four stages each."""
    return plan.cells("table2", "released", seeds=[0, 1], rows=["cifar10"])


def test_nothing_is_there_yet(cifar, tmp_path):
    [line] = rows(plan_table(cifar, [tmp_path], tmp_path))
    assert (line["Table"], line["Recipe"], line["Cells"], line["with a number"]) == ("Table 2", "released", "2", "0")
    assert (line["Stages"], line["done"], line["begun"], line["missing"]) == ("8", "0", "0", "8")


def test_done_begun_and_missing(cifar, tmp_path):
    supervised, pretrained = cifar
    write(tmp_path, supervised.stages(0)[0], done=True)
    write(tmp_path, supervised.stages(0)[1], done=True)
    write(tmp_path, pretrained.stages(0)[0], done=True)
    write(tmp_path, pretrained.stages(0)[1], epochs=40)
    write(tmp_path, pretrained.stages(1)[0])
    line = rows(plan_table(cifar, [tmp_path], tmp_path))[0]
    assert [line[name] for name in ("with a number", "done", "begun", "missing")] == ["1", "3", "2", "3"]
    by_cell = rows(cell_table(cifar, [tmp_path], tmp_path))
    assert [(row["Column"], row["Seeds"], row["done"], row["begun"]) for row in by_cell] == [
        ("Supervised", "1/2", "2", "0"),
        ("RelViT", "0/2", "1", "2"),
    ]


def test_two_run_folders_are_taken_together_and_the_cells_own_is_the_default(cifar, tmp_path):
    supervised, _ = cifar
    write(tmp_path / "one", supervised.stages(0)[0], done=True)
    write(tmp_path / "two", supervised.stages(1)[0], done=True)
    both = plan_table(cifar, [tmp_path / "one", tmp_path / "two"], tmp_path)
    assert rows(both)[0]["done"] == "2"
    elsewhere = plan.cells("table2", "released", seeds=[0, 1], rows=["cifar10"], run_dir=str(tmp_path / "one"))
    assert rows(plan_table(elsewhere, records=tmp_path))[0]["done"] == "1"


def test_a_stage_with_two_results_is_named(cifar, tmp_path):
    first = cifar[0].stages(0)[0]
    write(tmp_path / "one", first, done=True)
    write(tmp_path / "two", first, done=True, accuracy=81.0)
    said = "\n".join(plan_table(cifar, [tmp_path / "one", tmp_path / "two"], tmp_path).caption)
    assert first.id in said and "different results" in said


def test_an_unreadable_result_is_named(cifar, tmp_path):
    first = cifar[0].stages(0)[0]
    write(tmp_path, first)
    (tmp_path / first.id / "result.json").write_text("{")
    table = plan_table(cifar, [tmp_path], tmp_path)
    assert first.id in "\n".join(table.caption)
    assert rows(table)[0]["done"] == "0"


def test_shared_stages_count_once_in_the_sums(tmp_path):
    found = rows(plan_table(plan.cells(["table2", "table4"], seeds=[0]), [tmp_path], tmp_path))
    counts = {(row["Table"], row["Recipe"]): int(row["Stages"]) for row in found}
    assert counts == {
        ("Table 2", "released"): 24, ("Table 4", "released"): 32, ("together", "released"): 52,
        ("Table 2", "paper"): 24, ("Table 4", "paper"): 32, ("together", "paper"): 52, ("together", "both"): 104,
    }  # fmt: skip


# -- hours


def test_hours_are_operations_over_the_assumed_rate_which_is_called_one(cifar, tmp_path):
    table = plan_table(cifar, [tmp_path], tmp_path, tflops=50)
    # by hand: two supervised stages and a fine-tuning of 8.519 GFLOP an image, a pre-training of 8.650, 50,000 images;
    # evaluation of 10,000 at 2.841, and 2.927 with the heads; 100 epochs, two seeds
    epoch = 50_000 * (3 * 8.519e9 + 8.650e9) + 10_000 * (3 * 2.841e9 + 2.927e9)
    assert rows(table)[0]["GPU hours left"] == f"{2 * 100 * epoch / 50e12 / 3600:.1f}"
    assert rows(table)[0]["Rate"] == "assumed"
    assert "ASSUMED, not measured: 50 TFLOP/s (--tflops) for ViT-S/4." in table.caption
    assert not any(line.startswith("Measured") for line in table.caption)


def test_a_begun_stage_counts_for_the_epochs_that_are_left(cifar, tmp_path):
    last = cifar[1].stages(0)[1]
    folder = [tmp_path]
    before = float(rows(plan_table(cifar, folder, tmp_path, tflops=0.01))[0]["GPU hours left"].replace(",", ""))
    write(tmp_path, last, epochs=40)
    after = float(rows(plan_table(cifar, folder, tmp_path, tflops=0.01))[0]["GPU hours left"].replace(",", ""))
    assert before - after == pytest.approx(0.4 * training_flops(last) / 0.01e12 / 3600, abs=0.2)


def test_a_measured_rate_is_used_where_there_is_one(cifar, tmp_path):
    write(tmp_path, cifar[0].stages(0)[0], done=True, images_per_second=20_000.0)
    mixed = [*cifar, *plan.cells("table2", "released", seeds=[0], rows=["svhn", "imagenet100"], columns=["Supervised"])]
    table = plan_table(mixed, [tmp_path], tmp_path)
    rate = 20_000 * stage_flops(cifar[0].stages(0)[0]).train / 1e12
    assert f"Measured: ViT-S/4 at {rate:.3g} TFLOP/s (1 run on {GPU})." in table.caption
    assert "ASSUMED, not measured: 100 TFLOP/s (--tflops) for ViT-S/32." in table.caption
    assert rows(table)[0]["Rate"] == "partly assumed"
    by_cell = rows(cell_table(mixed, [tmp_path], tmp_path))
    assert [row["Rate"] for row in by_cell] == ["measured", "measured", "measured", "assumed"]
    left = 2 * training_flops(mixed[2].stages(0)[0])  # SVHN's two supervised stages
    assert by_cell[2]["GPU hours left"] == f"{left / (rate * 1e12) / 3600:.1f}"


def test_records_are_measurements_too(cifar, tmp_path):
    made = result(cifar[0].stages(0)[0])
    record = made | {"id": made["stage"]["id"], "cost": made["timing"]}
    (tmp_path / "one.json").write_text(json.dumps(record))
    table = plan_table(cifar, [tmp_path / "runs"], tmp_path)
    assert rows(table)[0]["Rate"] == "measured" and rows(table)[0]["done"] == "0"


def test_a_rate_is_all_operations_over_all_seconds(cifar):
    supervised, pretrain = cifar[0].stages(0)[0], cifar[1].stages(0)[0]
    one, other = result(supervised, images_per_second=1000), result(pretrain, "Other GPU", images_per_second=4000)
    rate = measured_rates([run | {"cost": run["timing"]} for run in (one, other)])["vit_s_4"]
    images = 100 * 50_000
    flops = images * (stage_flops(supervised).train + stage_flops(pretrain).train)
    assert rate.flops == pytest.approx(flops / (images / 1000 + images / 4000))
    assert (rate.runs, rate.devices) == (2, ("Other GPU", GPU))


def test_runs_of_what_only_their_maker_has_are_passed_over(cifar):
    run = result(cifar[0].stages(0)[0])
    run["experiment"]["backbone"] = "my_own_vit"
    assert measured_rates([run | {"cost": run["timing"]}]) == {}


@pytest.mark.parametrize("tflops", [0, -1, float("nan")])
def test_a_rate_is_more_than_nothing(cifar, tmp_path, tflops):
    with pytest.raises(RelvitError, match="more than 0"):
        plan_table(cifar, [tmp_path], tmp_path, tflops)


@pytest.mark.parametrize(
    "fields",
    [{"device": "cpu (2 threads)"}, {"train_images": 96, "images_per_second": 2000.0}],
    ids=["cpu", "under ten seconds"],
)
def test_what_is_no_measurement_of_a_gpu_is_not_taken_for_one(cifar, fields):
    run = result(cifar[0].stages(0)[0], **fields)
    assert measured_rates([run | {"cost": run["timing"]}]) == {}


def test_nothing_left_needs_no_rate(cifar, tmp_path):
    for cell in cifar:
        for seed in cell.seeds:
            for stage in cell.stages(seed):
                write(tmp_path, stage, done=True, device="cpu (1 thread)")
    table = plan_table(cifar, [tmp_path], tmp_path)
    line = rows(table)[0]
    assert (line["done"], line["with a number"], line["GPU hours left"], line["Rate"]) == ("8", "2", "0.0", "-")
    assert not any("ASSUMED" in text or "Measured" in text for text in table.caption)


def test_images_are_counted_as_a_run_sees_them():
    def flops(name, **fields):
        *_, stage = Experiment(dataset=name, scenario="supervised", **fields).stages()
        return training_flops(stage), stage_flops(stage), stage.experiment.epochs

    total, one, epochs = flops("flower102")
    assert total == epochs * (1_020 * one.train + (6_149 + 1_020) * one.evaluate)
    total, one, epochs = flops("flower102", train_on="train+val", epochs=3)
    assert total == 3 * (2_040 * one.train + 6_149 * one.evaluate)
    total, one, epochs = flops("imagenet100", label_fraction=0.1)
    assert total == epochs * (13_000 * one.train + 5_000 * one.evaluate)
    total, one, epochs = flops("svhn", preset="smoke")
    assert total == epochs * (96 * one.train + 48 * one.evaluate)
    assert flops("digits")[0] is None


def test_every_data_set_of_the_plan_has_its_number_of_images():
    images = {name: data.describe(name).images for name in plan.DATASETS}
    assert all(images.values())
    assert images["svhn"] == {"training": 73_257, "test": 26_032}
    assert images["tiny_imagenet"] == {"training": 100_000, "val": 10_000}


def test_images_that_are_not_known_give_no_hours(tmp_path):
    table = plan_table(plan.cells("figure4", dataset="digits", seeds=[0]), [tmp_path], tmp_path)
    assert {row["GPU hours left"] for row in rows(table)} == {"?"}
    assert any("No hours for digits" in line for line in table.caption)


def test_records_that_are_none_are_said(cifar, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(RelvitError, match="no record of a stage"):
        plan_table(cifar, [tmp_path], tmp_path)
