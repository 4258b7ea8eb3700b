"""python -m relvit_lab train | demo | runs | fetch | figures | record | ...: the same runs without a notebook."""

import itertools
import re
import sys
from collections.abc import Mapping, Sequence

from relvit_lab import __version__
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.options import only_options, split
from relvit_lab.common.printing import tolerant_output
from relvit_lab.common.process import processes
from relvit_lab.common.shortages import explain, shortages_explained
from relvit_lab.common.shown_names import printable
from relvit_lab.common.values import PLAIN
from relvit_lab.publish.app.serve import main as app
from relvit_lab.publish.commands import class_copies, grade, report, site

HELP = {
    "train": """train one experiment; takes every field of Experiment, for example
        train --dataset cifar10 --data-dir data --preset demo --tasks sprel,abspos""",
    "demo": """supervised, supervised for twice as long, and downstream-only, on digits (--seed S)""",
    "runs": """list what is in the run folder, newest last (--run-dir D); `runs ID ID ...` compares""",
    "merge": """copy finished stages from elsewhere into the run folder: merge FROM ... (--run-dir D)""",
    "fetch": """download a data set ahead: fetch cifar10 --data-dir D""",
    "figures": """draw the files in figures/ again""",
    "tables": """write the paper's tables with our runs beside them, and say what is missing:
        tables [table2 ...] --out tables --run-dir runs,more (--preset, --recipes, --seeds 0,1);
        --plan: what is left to run, --plan --cells by cell (--tflops: of your GPU)""",
    "report": """run notebook 07 on the runs, and write it as one HTML page: tables, figures, deviations from the paper,
        cost: report [table2 ...] --out report.html, and the options of tables""",
    "site": """execute the notebooks and write them as pages that need no kernel and no network: site DIR
        (site/ by default; --notebooks FOLDER; what was executed is kept in --cache .site_cache)""",
    "class": """copies of the notebooks for a class, the student's without solutions, the teacher's solved:
        class DIR (--notebooks 01,03, --no-hints, --force)""",
    "grade": """check again what students handed in, and count points: grade FOLDER ... --csv points.csv
        (--seconds 60 for an exercise, --jobs 2 students at once); it runs their code: see docs/security.md""",
    "small": """print the commands of the runs in results/ on a small part of CIFAR-10, one a line""",
    "whole": """print the commands of the larger study, on the whole of CIFAR-10 (--epochs N: so many a stage);
        --search: of the search of its rate and batch; --models: those that make its finished runs the models of
        the package""",
    "hold_back": """write data_dir/NAME_held_back.npz, whose test images are training images, to choose settings on:
        hold_back cifar10 --images 5000 --data-dir data""",
    "record": """keep the finished stages of run folders as results/<id>.json: record [runs ...] (--to results)""",
    "readme": """write results/README.md again from its template and the records""",
    "rerun": """train a record's run again and compare its metrics: rerun ID --data-dir D""",
    "asset": """keep a finished stage as a model of the package: asset ID NAME (--run-dir D)""",
    "app": """serve the explorers without code, on this machine alone: app --port 8866 (--ip, --no-browser)""",
}
GROUPS = (
    ("train", "demo", "runs", "merge", "fetch", "figures", "tables", "report", "site"),
    ("class", "grade", "app"),
    ("small", "whole", "hold_back", "record", "readme", "rerun", "asset"),
)
WITH_FIELDS = ("train", "demo", "tables", "report")  # commands that take fields of Experiment


def usage() -> str:
    groups = ("\n".join(f"  {name:<8} {HELP[name].replace(8 * ' ', 11 * ' ')}" for name in group) for group in GROUPS)
    return "\n\n".join(
        (
            "python -m relvit_lab COMMAND [--field value ...]",
            *groups,
            "`python -m relvit_lab COMMAND --help` says more of one, train's lists the fields; --version.",
        )
    )


def help_of(command: str) -> str:
    text = f"python -m relvit_lab {command}: {HELP[command]}"
    if command not in WITH_FIELDS:
        return text
    return f"{text}\n\nfields of an experiment, as --field value (a None is filled in by the preset):\n{_fields()}"


def train(words: Sequence[str]) -> None:
    from relvit_lab.train.experiment import Experiment

    experiment = Experiment.create(only_options(words, Experiment.settings()))
    finished = _follow(experiment)
    if experiment.profile:
        from relvit_lab.show.profile_table import profile_table
        from relvit_lab.train.profile import read_profile

        for found in filter(None, (read_profile(stage.folder) for stage in finished)):
            print(f"\n{profile_table(found)}")


def demo(words: Sequence[str]) -> None:
    """Does learning from all tokens help? Equal schedule and rate, on digits."""
    from relvit_lab.common.table import compare
    from relvit_lab.common.words import human_time
    from relvit_lab.show.run_pictures import write_demo_picture
    from relvit_lab.train.experiment import Experiment

    given = {"dataset": "digits", "preset": "demo"} | only_options(words, Experiment.settings())
    epochs = Experiment.create(given).resolved().epochs
    settings = {
        "supervised": {"scenario": "supervised"},
        "supervised, twice as long": {"scenario": "supervised", "epochs": 2 * epochs},
        "downstream-only (RelViT, joint)": {"scenario": "downstream_only"},
    }
    folders, rows, columns = {}, [], [
        ("Trained", "label"), ("accuracy (%)", "metrics.accuracy"), ("SpRel (%)", "metrics.sprel"),
        ("AbsPos (%)", "metrics.abspos"), ("epochs", "experiment.epochs"),
        ("lr", lambda row: f"{row['experiment']['lr']:g}"),
        ("seed", "experiment.seed"), ("time", lambda row: human_time(row["timing"]["seconds"])),
    ]  # fmt: skip
    for label, fields in settings.items():
        finished = _follow(Experiment.create(given | {"epochs": epochs} | fields), show_summary=False)[-1]
        rows.append(finished.result | {"label": label})
        folders[label] = finished.folder
    print("\nThe same small ViT, learning rate and schedule; what differs is what it learns from.\n")
    print(compare(rows, columns))
    print("\nIn joint training SpRel and AbsPos are read off the positional embeddings: 100 % is no feat (notebook 5).")
    print("One seed; `--seed 1` shows what chance does. Whether it helps elsewhere: notebooks/04_train.ipynb.")
    print(f"Curves and a few answers, as a picture: {write_demo_picture(folders)}")


def runs(words: Sequence[str]) -> None:
    from relvit_lab.common.paths import resolve
    from relvit_lab.common.table import compare
    from relvit_lab.common.words import human_time
    from relvit_lab.train.stage_folder import find_runs

    options, ids = split(words, ("run_dir",))
    folder = resolve(options.get("run_dir", "runs"))
    _check_folders(options)
    problems: list[str] = []
    there = find_runs(folder, problems)
    for problem in problems:
        print(f"left out: {printable(problem)}")
    if not there:
        print(f"no runs in {folder}: `python -m relvit_lab train` makes one")
        return
    found = [run for run in there if not ids or any(run["id"].startswith(name) for name in ids)]
    if not found:
        raise RelvitError(f"no run '{ids[0]}' in {folder}: {nearest(ids[0], [run['id'] for run in there])}")
    rows = [run["about"] | {"id": run["id"], "lines": run["metrics"]} | (run["result"] or {}) for run in found]
    own = {task for row in rows for task in _tasks(row) or ()} - {"sprel", "dist", "ang", "abspos"}
    columns = [
        ("Stage", "id"), ("scenario", "experiment.scenario"), ("backbone", "experiment.backbone"), ("tasks", _tasks),
        ("seed", "experiment.seed"),
        ("epochs", lambda row: f"{len(row['lines'])}/{row['experiment'].get('epochs', '?')}"),
        ("accuracy", "metrics.accuracy"), ("best", "metrics.best_accuracy"), ("SpRel", "metrics.sprel"),
        ("Dist", "metrics.dist"), ("Ang", "metrics.ang"), ("AbsPos", "metrics.abspos"),
        *((name, f"metrics.{name}") for name in sorted(own)),
        ("time", lambda row: human_time(row["timing"].get("seconds")) if "timing" in row else "not finished"),
    ]  # fmt: skip
    print(compare(rows, columns, (str(folder),)))


def _tasks(row: dict) -> list[str] | None:
    return row["fields"].get("tasks")


def merge(words: Sequence[str]) -> int:
    from relvit_lab.paper.records.merge import describe, merge

    options, sources = split(words, ("run_dir",))
    if not sources:
        raise RelvitError("merge takes the run folders to copy from: merge /media/disk/runs other-machine/runs")
    outcomes = list(merge(sources, **options))
    print(describe(outcomes))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _check_folders(options: Mapping[str, str]) -> None:
    """Raises RelvitError where a run folder that was named is none: a slip would look like one without runs."""
    from relvit_lab.common.paths import resolve

    for folder in filter(None, options.get("run_dir", "").split(",")):
        if not (path := resolve(folder.strip())).is_dir():
            raise RelvitError(f"there is no folder {path}: name another with --run-dir")


def fetch(words: Sequence[str]) -> None:
    from relvit_lab import data

    options, names = split(words, ("data_dir",))
    if len(names) != 1:
        raise RelvitError(f"fetch takes one data set: {', '.join(data.DATASETS.names())}")
    print(data.fetch(names[0], **options))


def figures(words: Sequence[str]) -> None:
    from relvit_lab.paper.figures.draw import write_figures

    only_options(words, ())
    for path in write_figures():
        print(path)


def tables(words: Sequence[str]) -> None:
    from relvit_lab.paper.plan import cells as plan
    from relvit_lab.paper.tables import files as tables_files

    flags = {word for word in words if word in ("--plan", "--cells")}
    own = dict.fromkeys(("out", "recipes", "seeds", "tflops"), PLAIN)
    options, names = split([word for word in words if word not in flags], plan.OPEN | own)
    out, tflops = options.pop("out", "tables"), options.pop("tflops", None)
    runs, cells = tables_files.choose(names=names, **options)
    if flags:
        from relvit_lab.paper.plan.cost import TFLOPS, cell_table, plan_table

        show = cell_table if "--cells" in flags else plan_table
        rate = TFLOPS if tflops is None else _number("tflops", tflops)
        print(show(cells, options.get("run_dir", "runs").split(","), tflops=rate))
        return
    _check_folders(options)
    made = tables_files.make_tables(runs, cells, names)
    drawn, missing = tables_files.write_figures(runs, made, cells, out)
    written = [*tables_files.write_tables(made, out), *drawn]
    if made:
        print(tables_files.inventory(made))
    for said in dict.fromkeys([*(note for table in made for note in table.notes), *runs.unreadable, *missing]):
        print(f"\n{printable(said)}")
    print(f"\nwritten to {written[0].parent}:" if written else "\nnothing to write")
    for stem, paths in itertools.groupby(sorted(written), key=lambda path: path.stem):
        print(f"  {stem} {' '.join(path.suffix for path in paths)}")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RelvitError(f"--{name} takes a number, not '{text}'") from None


def _count(name: str, text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise RelvitError(f"--{name} takes a whole number from 1 on, not '{text}'")
    return int(text)


def small(words: Sequence[str]) -> None:
    from relvit_lab.paper.records.small_study import commands

    only_options(words, ())
    print("\n".join(commands()))


def whole(words: Sequence[str]) -> None:
    from relvit_lab.paper.records import whole_study as whole

    options, others = split(words, ("epochs",), ("search", "models"))
    only_options(others, ())
    if "epochs" in options and len(options) > 1:
        raise RelvitError("--epochs is of the study itself: it does not go with --search or --models")
    epochs = _count("epochs", options.pop("epochs", str(whole.EPOCHS)))
    listed = {"search": whole.search_commands(), "models": whole.model_commands()}
    for lines in [listed[name] for name in options] or [whole.commands(epochs)]:
        print("\n".join(lines))


def hold_back(words: Sequence[str]) -> None:
    from relvit_lab.data.hold_back import hold_back

    options, names = split(words, ("images", "data_dir"))
    if len(names) != 1 or "images" not in options:
        raise RelvitError("hold_back takes a data set and a number: hold_back cifar10 --images 5000")
    print(hold_back(names[0], _count("images", options.pop("images")), **options))


def record(words: Sequence[str]) -> None:
    from relvit_lab.paper.records.store import write_records

    options, folders = split(words, ("to",))
    for path in write_records(folders or ["runs"], **options):
        print(path)


def readme(words: Sequence[str]) -> None:
    from relvit_lab.paper.records.report import write_readme

    only_options(words, ())
    print(write_readme())


def rerun(words: Sequence[str]) -> None:
    from relvit_lab.common.table import compare
    from relvit_lab.paper.records.store import get_record, read_records, rerun

    options, ids = split(words, ("data_dir", "run_dir"))
    if len(ids) != 1:
        raise RelvitError("rerun takes one record: its id in results/, or the start of it")
    rows = rerun(get_record(read_records(), ids[0]), **options)
    columns = [("metric", lambda r: r[0]), ("recorded", lambda r: repr(r[1])), ("now", lambda r: repr(r[2]))]
    print(f"\n{compare(rows, columns)}")
    equal = all(before == now for _, before, now in rows)
    print("\nThe same, to the last digit." if equal else "\nNot the same: see the record's environment.")


def asset(words: Sequence[str]) -> None:
    from relvit_lab.paper.records.asset import make_asset

    options, names = split(words, ("run_dir",))
    if len(names) != 2:
        raise RelvitError("asset takes a finished stage and a name: asset digits-pretrain-0a94172b45 digits_tasks")
    print(make_asset(*names, **options))


COMMANDS = {
    "train": train, "demo": demo, "runs": runs, "fetch": fetch, "figures": figures, "small": small, "record": record,
    "whole": whole, "hold_back": hold_back,
    "report": report, "readme": readme, "rerun": rerun, "asset": asset, "merge": merge,
    "tables": tables, "class": class_copies, "grade": grade, "app": app, "site": site,
}  # fmt: skip


def _follow(experiment, show_summary: bool = True) -> list:
    from relvit_lab.show.follow import follow
    from relvit_lab.show.summary import summary
    from relvit_lab.train.training import run

    finished = follow(run(experiment))
    if show_summary and finished:  # under torchrun only the first process has them
        print(f"\n{summary(finished)}")
    return finished


def _fields() -> str:
    from relvit_lab.train.experiment import Experiment

    plain, lines = Experiment(), []
    for name, field in Experiment.settings().items():
        default = getattr(plain, name)
        default = "+".join(default) if isinstance(default, tuple) else default
        lines.append(f"  --{name.replace('_', '-'):<20} {default!s:<18}  {field.help}".rstrip())
        if any(choice not in field.help for choice in field.choices):
            lines.append(f"{'':<43}  {' | '.join(field.choices)}")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, 1 for a mistake that the user can mend, 130 on Ctrl-C; 75 on SIGTERM."""
    words = list(sys.argv[1:] if words is None else words)
    with tolerant_output():
        return _run(words)


def _run(words: list[str]) -> int:
    try:
        if words and words[0] == "help" and words[1:]:
            words = [words[1], "--help"]
        if not words or words[0] in ("-h", "--help", "help"):
            print(usage())
            return 0
        if words[0] in ("-V", "--version", "version"):
            print(f"relvit_lab {__version__}")
            return 0
        if words[0] not in COMMANDS:
            raise RelvitError(f"unknown command '{words[0]}': {nearest(words[0], COMMANDS)}")
        if set(words[1:]) & {"-h", "--help"}:
            print(help_of(words[0]))
            return 0
        if processes()[1] > 1 and words[0] != "train":
            raise RelvitError(f"only train runs on several devices: start {words[0]} without torchrun")
        with shortages_explained():
            return COMMANDS[words[0]](words[1:]) or 0
    except RelvitError as error:
        _say(f"error: {error.shown}")
        return 1
    except OSError as error:
        _say(f"error: {printable(explain(error))}")
        return 1
    except MemoryError as error:
        _say(f"error: {printable(error) or 'there is not enough memory'}")
        return 1
    except KeyboardInterrupt:
        _say("\nstopped; the same command goes on from the last checkpoint")
        return 130
    except SystemExit as end:  # Terminated
        if isinstance(end.code, int) and end.code == 75:
            _say(f"\n{end}")
        raise


def _say(text: str) -> None:
    """Of several processes that end, the first that fails says why."""
    if processes()[1] > 1:
        from relvit_lab.common.compute.distributed import first_to_fail

        if not first_to_fail():
            return
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
