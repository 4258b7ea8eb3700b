"""Figure 4: positional embeddings and shuffling in pre-training (left), and what fine-tuning makes of it (right)."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.comparisons import available, shortcut_series
from relvit_lab.paper.records.results import Results
from relvit_lab.paper.records.store import Record, read_records
from relvit_lab.show.style import BLACK, BLUE, GREEN, ORANGE, VERMILLION, Drawing, apart, dark, new_drawing, styled

LOOKS = {
    "PE": {"color": VERMILLION, "linestyle": (0, (7, 1.5, 1.5, 1.5)), "marker": "X", "linewidth": 2.4},
    "PE + shuffle": {"color": ORANGE, "linestyle": (0, (5, 2)), "marker": "s", "linewidth": 2.4},
    "no PE": {"color": BLUE, "linestyle": "-", "marker": "o", "linewidth": 3.6},  # may lie under the next one
    "no PE + shuffle": {"color": GREEN, "linestyle": (0, (1.5, 1.5)), "marker": "^", "linewidth": 2.4},
}
"""The four settings of Figure 4, with colour, line and marker: two of them tell a line apart in grey."""

PANELS = (
    ("sprel", "Pre-training with", "SpRel accuracy (%)"),
    ("accuracy", "Fine-tuning, after pre-training with", "class accuracy (%)"),
)
End = tuple[float, float, str, str]  # of a line: its last epoch and value, its name and colour
LABEL_ROOM = 0.30  # of a panel's width, right of its lines, for their names
LINE_APART = 0.062  # of a panel's height, the least between two names


def shortcut_figure(records: Mapping[str, Record] | None = None) -> Drawing:
    """Figure 4 from the runs on record (results/ where None): those on the whole of CIFAR-10 where PE on, PE off and
    the baseline are all there, else those at laptop scale. The baseline has the seeds of the lines, where it has them.
    Raises RelvitError where there are no runs."""
    records = read_records() if records is None else records
    report, scale = Results(records, whole.STUDY), "the whole of CIFAR-10"
    if len(available(report, ("pe_on", "pe_off", "supervised"))) < 3:
        report, scale = Results(records), "CIFAR-10 at laptop scale"
    runs = report.find("pe_on")
    e, own = runs[0]["experiment"], [run["experiment"]["seed"] for run in runs]
    seeds = ", ".join(map(str, own))
    lines = f"Lines are means over seeds {seeds}, bands reach from the lowest to the highest."
    if len(runs) == 1:
        lines = f"A line is one run, of seed {seeds}."
    scratch = report.find("supervised")  # of the same seeds: what a seed does is then in all lines
    scratch = [run for run in scratch if run["experiment"]["seed"] in own] or scratch
    note = (
        f"Measured on {scale}: {e['train_images']:,} training and {e['test_images']:,} test images, "
        f"{e['backbone']}, patches of {e['patch_size']} px, {e['epochs']} epochs a stage, pre-trained on SpRel alone. "
        f"{lines} Dashed: supervised from scratch, one stage. The paper's own figure is at another scale."
    )
    title = "Positional embeddings (PE) and shuffling in pre-training"
    return shortcut_curves(shortcut_series(report), [run["metrics"]["accuracy"] for run in scratch], title, note)


@styled
def shortcut_curves(
    series: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    baseline: Sequence[float],
    title: str = "",
    note: str = "",
) -> Drawing:
    """Two panels: SpRel accuracy by epoch of pre-training, and class accuracy by epoch of fine-tuning.

    series: for each setting (a key of LOOKS; any of the four) {"sprel": runs, "accuracy": runs}, where runs has, for
        each seed, the list of values in % after epoch 1, 2, ...; all seeds of a panel are equally long.
    baseline: the final accuracy in % of each supervised run from scratch, one stage: the dashed line is their mean.
    note: below the panels: which runs, at which scale.
    Lines are means over seeds; bands reach from the lowest to the highest seed, and so does the baseline's.
    Raises RelvitError for an unknown setting, no runs, runs of different lengths, values outside 0..100 or not finite.
    """
    if not series:
        raise RelvitError("Figure 4 needs at least one setting")
    for name in series:
        if name not in LOOKS:
            raise RelvitError(f"unknown setting '{name}': {nearest(name, LOOKS)}")
    ordered = {name: series[name] for name in LOOKS if name in series}
    curves = {key: {name: _runs(runs.get(key, ()), name, key) for name, runs in ordered.items()} for key, *_ in PANELS}
    scratch = _runs([baseline], "supervised", "accuracy")[0]

    drawing = new_drawing(13.33, 5.6)
    axes = drawing.subplots(1, 2)
    for ax, (key, name, unit) in zip(axes, PANELS):
        ax.set_title(name, fontsize=15, weight="bold", loc="left")
        ax.set_xlabel("epoch", fontsize=13)
        ax.set_ylabel(unit, fontsize=13)
        ax.tick_params(labelsize=12)
        ends = [_draw(ax, setting, runs) for setting, runs in curves[key].items()]
        epochs = max(runs.shape[1] for runs in curves[key].values())
        ax.set_xlim(1 - 0.02 * epochs, epochs * (1 + LABEL_ROOM) + 1)
        ax.set_xticks([tick for tick in ax.get_xticks() if 1 <= tick <= epochs and tick == round(tick)])
        ax.spines.bottom.set_bounds(ax.get_xlim()[0], epochs)
        if key == "accuracy":
            ends.append(_draw_baseline(ax, scratch, epochs))
        low, high = ax.get_ylim()
        low, high = max(low, 0) if key == "sprel" else low, min(high, 102)
        ax.set_ylim(low, high)
        _name_ends(ax, ends, epochs)
    if title:
        drawing.suptitle(title, fontsize=16, weight="bold")
    if note:
        drawing.supxlabel(textwrap.fill(note, 150), fontsize=11, x=0.01, ha="left")
    drawing.alt = _alt(curves, scratch, title, note)
    return drawing


def _runs(runs: Sequence[Sequence[float]], setting: str, key: str) -> np.ndarray:
    """(seeds, epochs), checked."""
    lengths = sorted({len(run) for run in runs})
    if not lengths or lengths[0] == 0:
        raise RelvitError(f"'{setting}' has no values for {key}")
    if len(lengths) > 1:
        raise RelvitError(f"the runs of '{setting}' for {key} have {' and '.join(map(str, lengths))} epochs: not alike")
    values = np.array(runs, dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 100).all()):
        raise RelvitError(f"values of '{setting}' for {key} lie in 0 to 100 %")
    return values


def _draw(ax: Axes, setting: str, runs: np.ndarray) -> End:
    look, epochs, mean = LOOKS[setting], np.arange(1, runs.shape[1] + 1), runs.mean(0)
    if len(runs) > 1:
        ax.fill_between(epochs, runs.min(0), runs.max(0), color=look["color"], alpha=0.18, linewidth=0)
    # Markers of different lines stand at different epochs: lines that coincide are still seen to be two.
    every = max(1, len(epochs) // 6)
    start = list(LOOKS).index(setting) * max(1, every // 4) % every if every > 1 else 0
    ax.plot(epochs, mean, markevery=(start, every), markersize=8, markeredgecolor="white", markeredgewidth=0.8,
            **look)  # fmt: skip
    return len(mean), float(mean[-1]), f"{setting}  {mean[-1]:.1f}", look["color"]


def _draw_baseline(ax: Axes, scratch: np.ndarray, epochs: int) -> End:
    mean = float(scratch.mean())
    if len(scratch) > 1:
        ax.fill_between((1, epochs), scratch.min(), scratch.max(), color=BLACK, alpha=0.10, linewidth=0)
    ax.plot((1, epochs), (mean, mean), color=BLACK, linestyle=(0, (4, 3)), linewidth=1.8)
    return epochs, mean, f"from scratch  {mean:.1f}", BLACK


def _name_ends(ax: Axes, ends: list[End], epochs: int) -> None:
    """Names at the ends of the lines, moved apart where these lie close, with a thin line from end to name."""
    low, high = ax.get_ylim()
    heights = apart(np.array([end for _, end, *_ in ends]), LINE_APART * (high - low), low, high)
    for (last, end, name, color), height in zip(ends, heights):
        ax.plot((last, epochs * 1.035), (end, height), color=color, linewidth=1, clip_on=False)
        ax.text(epochs * 1.045, height, name, color=dark(color), fontsize=12, va="center")


def _alt(curves: Mapping[str, Mapping[str, np.ndarray]], scratch: np.ndarray, title: str, note: str) -> str:
    parts = [f"{title}." if title else "", "Accuracy by epoch."]
    for key, name, unit in PANELS:
        ends = ", ".join(f"{setting} {runs[:, -1].mean():.1f}" for setting, runs in curves[key].items())
        parts.append(f"{name}, {unit} at the end: {ends}.")
    parts.append(f"Dashed line, supervised from scratch: {scratch.mean():.1f}.")
    return " ".join(part for part in [*parts, note] if part)
