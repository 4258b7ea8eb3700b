"""What results/README.md and the README say of the whole of CIFAR-10 (whole_study.py), computed from the records alone:
with none, some or all of them. What has not been run is named, with the command that runs it."""

from collections.abc import Mapping

from relvit_lab.common.stats import told_apart
from relvit_lab.common.table import Table
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.comparisons import DIFFERENCE, NOT_YET, VERDICTS, difference
from relvit_lab.paper.records.results import WHAT, Results, markdown, plus_minus
from relvit_lab.paper.records.store import Record

PAIRS = (  # the first less the second
    ("finetuned", "twice"),
    ("finetuned", "supervised"),
    ("joint", "supervised"),
    ("joint", "control"),
    ("control", "supervised"),
    ("pe_off", "pe_on"),
    ("pe_off", "twice"),
    ("pe_on", "twice"),
    ("few_finetuned", "few_supervised"),
    ("few_finetuned", "few_supervised_long"),
    ("mega_4", "finetuned"),
)
PARTS = (  # of results/README.md, each a method
    "answer", "rows", "differences", "four_tasks", "searched", "not_run", "cost", "settings", "search_settings",
)  # fmt: skip


class WholeReport(Results):
    """The numbers of the larger study."""

    def __init__(self, records: Mapping[str, Record]):
        super().__init__(records, whole.STUDY)

    def settings(self) -> str:
        """What all arms share, from the study itself."""
        d = whole.DATA
        chosen = f"batches of {d['batch_size']}, learning rate {d['lr']:g}"
        chosen = chosen if whole.searched(self.records) else "batch and learning rate not chosen yet"
        return (
            f"{d['train_images']:,} training and {d['test_images']:,} test images, `vit_nano` with patches of 4 px, "
            f'{whole.EPOCHS} epochs a stage, {chosen}, recipe "paper"'
        )

    def search_settings(self) -> str:
        d = whole.SEARCH_DATA
        return (
            f"The supervised run alone, {d['train_images']:,} images, {d['epochs']} epochs, seed 0; judged on the last "
            f"{whole.HELD_BACK:,} of the training images, which none of these runs trained on"
        )

    # -- the answer ----------------------------------------------------------------------------------------------------

    def answer(self) -> str:
        """Two sentences: pre-training and fine-tuning, then joint training, each with an equal budget. Where a pair has
        not been run at this size, what the small runs say instead, and that it is those."""
        joint = self._sentence("joint", "supervised").removesuffix(".")
        return f"{self._sentence('finetuned', 'twice')} {joint}{self._shares_of_joint()}."

    def _shares_of_joint(self) -> str:
        """What of joint training's difference is the patch augmentation's, and what the tasks', once its control has
        been run with the same seeds."""
        if not (self.both("joint", "control") and self.both("control", "supervised")):
            return ""
        augmentation, tasks = self.gaps("control", "supervised"), self.gaps("joint", "control")
        if not len(self.gaps("joint", "supervised")) == len(augmentation) == len(tasks):
            return ""
        unsure = f" ({VERDICTS[False]})"
        return ": " + ", ".join(
            f"{plus_minus(gaps, sign=True)} by the {what}{unsure if told_apart(gaps) is False else ''}"
            for what, gaps in {"patch augmentation": augmentation, "tasks": tasks}.items()
        )

    def _sentence(self, one: str, other: str) -> str:
        at, report = "on all of CIFAR-10", self
        if not self.both(one, other):
            report = Results(self.records)  # at laptop scale
            if not report.both(one, other):
                return f"{WHAT[one]}, against {WHAT[other]}: {NOT_YET}."
            images = report.shared_by(report.find(one), "train_images")
            at = f"on {images:,} images of CIFAR-10 (the whole set: {NOT_YET})"
        epochs = report.shared_by(report.find(one), "epochs")
        gaps = report.gaps(one, other)
        budget = f"{epochs} + {epochs} epochs" if one == "finetuned" else f"{epochs} epochs"
        what = {
            "finetuned": "pre-training on patch relations and then fine-tuning",
            "joint": "training jointly on patch relations and classes",
        }[one]
        ahead, sign = ("ahead of", 1) if sum(gaps) > 0 else ("behind", -1)
        points = plus_minus([sign * gap for gap in gaps])
        where = f"level ({points} points) with" if points.split()[0] == "0.0" else f"{points} points {ahead}"
        verdict = VERDICTS[told_apart(gaps)]
        seeds = verdict if len(gaps) == 1 else f"{len(gaps)} seeds: {verdict}"
        alone = "training on the classes alone"
        return f"With {budget} each, {at}, {what} stands {where} {alone} ({seeds})."

    # -- tables --------------------------------------------------------------------------------------------------------

    def rows(self) -> str:
        """All settings, one line each, those of an arm together."""
        lines = []
        for name in whole.SETTINGS:
            if name in whole.ARMS["four tasks"]:
                continue
            firsts, lasts = self.there(name, "first"), self.there(name, "last")
            accuracies = [record["metrics"]["accuracy"] for record in lasts]
            by_seed = ", ".join(f"{value:.1f}" for value in accuracies)
            spread = plus_minus(accuracies) if accuracies else NOT_YET
            tasks = [self.task_metric(firsts, task) if firsts else "-" for task in ("sprel", "abspos")]
            lines.append([_millions(self.images_seen(name)), WHAT[name], by_seed or "-", spread, *tasks])
        headers = ["images seen", "trained", "accuracy by seed, %", "mean ± sd", "SpRel, %", "AbsPos, %"]
        return markdown(headers, lines, left=2)

    def differences(self) -> str:
        table = self.difference_table()
        return markdown(table.headers, table.rows, left=3)

    def difference_table(self) -> Table:
        """By how many points one setting is ahead of another, seed by seed, and whether both saw as many images."""
        lines = []
        for one, other in PAIRS:
            ours, theirs = self.images_seen(one), self.images_seen(other)
            budget = "equal" if abs(ours / theirs - 1) < 0.005 else f"{_millions(ours)} to {_millions(theirs)}"
            lines.append((budget, *difference(self, one, other)))
        return Table(("images seen", *DIFFERENCE), tuple(lines))

    def four_tasks(self) -> str:
        """All four pretext tasks after pre-training, without and with positional embeddings."""
        lines = []
        for name in whole.ARMS["four tasks"]:
            found = self.there(name, "last")
            tasks = ("sprel", "dist", "ang", "abspos")
            values = [plus_minus([r["metrics"][task] for r in found]) if found else NOT_YET for task in tasks]
            lines.append([WHAT[name], *values])
        return markdown(["pre-trained", "SpRel, %", "Dist, MSE x 100", "Ang, MSE x 100", "AbsPos, %"], lines)

    def searched(self) -> str:
        """The search's table, best first; the setting that was taken is marked."""
        lines = [
            [f"{lr:g}", str(batch), f"{value:.1f}", "taken" if (lr, batch) == (whole.RATE, whole.BATCH) else ""]
            for lr, batch, value in whole.searched(self.records)
        ]
        if not lines:
            return f"{NOT_YET}: `python -m relvit_lab whole --search` lists the commands."
        return markdown(["learning rate", "batch", "accuracy on the images held back, %", ""], lines)

    def not_run(self) -> str:
        """The planned runs without a record, with their commands, in the order in which to run them."""
        lacking = self.study.missing(self.records)
        lines = [
            f"# {WHAT[name]}, seed {seed}\n{self.study.command(name, seed)}"
            for name, seed in whole.runs()
            if seed in lacking.get(name, ())
        ]
        if not whole.searched(self.records):
            first = "# first the search; its best goes into RATE and BATCH of whole_study.py, and so into what follows"
            lines = [first, *whole.search_commands(), *lines]
        return "```\n" + "\n".join(lines) + "\n```" if lines else "Nothing: all of them are on record."

    def cost(self) -> str:
        """Hours of all stages on record, and the range of their images a second."""
        used = self.used()
        if not used:
            return "No stage is on record yet."
        hours = sum(record["cost"]["seconds"] for record in used) / 3600
        rates = [record["cost"]["images_per_second"] for record in used]
        return (
            f"Stages on record: {len(used)}, {hours:.1f} hours in all, {min(rates):.0f} to {max(rates):.0f} images a "
            "second in training, as background work on a machine that did other things: so this is no measure of speed."
        )

    # -- what is there -------------------------------------------------------------------------------------------------

    def images_seen(self, name: str) -> int:
        """Training images that a run is shown in all its stages, with those that it is shown again."""
        stages = self.study.stages(name)
        e = stages[0].experiment
        shares = (e.label_fraction if stage.classifies else 1.0 for stage in stages)
        return sum(round(e.train_images * share) * e.epochs for share in shares)


def _millions(images: int) -> str:
    return f"{images / 1e6:g} million"
