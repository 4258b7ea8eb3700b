"""The pictures at the end of a run: its curves, and what it says of images that it has not seen; `make demo` in one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.shown_names import readable_names
from relvit_lab.method.tasks import DRLOC_FORMS, RELVIT, Task
from relvit_lab.show.curves import curves
from relvit_lab.show.model_input import as_picture
from relvit_lab.show.relations import positions_predicted, predictions_grid
from relvit_lab.show.style import BLUE, GREEN, INK, VERMILLION, Drawing, new_drawing, styled, to_picture
from relvit_lab.show.task_panels import task_predicted
from relvit_lab.show.task_views import TaskView, task_view
from relvit_lab.train.build import load_data
from relvit_lab.train.events import StageFinished
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.trained import Trained, load

SHOWN = 4  # test images
ANSWERS = 8  # test images in the demo's picture
LINES = ((INK, "-"), (BLUE, "--"), (VERMILLION, "-."), (GREEN, ":"))


def run_curves(finished: Sequence[StageFinished]) -> Drawing:
    """The curves of all stages of a run, from their folders."""
    return curves([(stage.name, RunFolder(stage.folder).metrics()) for stage in finished])


def run_predictions(finished: Sequence[StageFinished]) -> list[Drawing]:
    """For each task of the last stage that had some: predictions against the truth on the first test images.

    Empty where no stage had tasks (supervised training). A task of your own has a picture where explorers can show it.
    """
    with_tasks = [stage for stage in finished if RunFolder(stage.folder).about()["fields"].get("tasks")]
    if not with_tasks:
        return []
    trained = load(with_tasks[-1].folder)
    test = load_data(trained.experiment).test
    batch = trained.pipeline.evaluate(test.images[:SHOWN], test.labels[:SHOWN])
    shown = as_picture(trained, batch.images)
    classes = readable_names(trained.classes)
    titles = [classes[label] for label in batch.labels]
    return [
        figure for task in trained.model.tasks for figure in _task_figures(trained, task, batch.images, shown, titles)
    ]


@torch.no_grad()
def _task_figures(trained: Trained, task: Task, images, shown, titles) -> list[Drawing]:
    model, side = trained.model, trained.model.side
    predicted, target = model.predictions(images, task.name), model.targets(task)
    title = f"{task.title}, class {titles[0]}"
    if task.name == "sprel" and task in RELVIT:
        return [predictions_grid(shown, predicted, side, titles=titles)]  # (B,N,N)
    if task.name == "abspos" and task in RELVIT:
        return [positions_predicted(shown[0], predicted[0], side, title)]  # (B,N)
    if task in DRLOC_FORMS.values():  # (B,2,N,N) and (N,N,2), in patches or in sides of the grid: shown in patches
        said, true = predicted[0].sum(0), target.sum(-1)  # |dx| + |dy|: (2,N,N) -> (N,N), (N,N,2) -> (N,N)
        far = 2 * (side - 1)
        unit = far / true.max() if far else 1.0
        view = TaskView("drloc", title, (true * unit).numpy(), "values", (), 0.0, far or 1.0, "", "")
        error = f"Mean error of all pairs: {task.metric(predicted[:1], target):.1f} patches"
        return [task_predicted(shown[0], view, said * unit, title=f"{title}: |dx| + |dy|", verdict=error)]
    try:
        view = task_view(task, side)
    except RelvitError:  # vectors of values, for example
        return []
    return [task_predicted(shown[0], view, predicted[0], title=title)]


def write_demo_picture(folders: Mapping[str, Path]) -> Path:
    """Draw it into demo.png beside the run folders. folders: of the last stage of each training, by its name."""
    file = Path(list(folders.values())[-1]).parent / "demo.png"
    write_whole(file, demo_picture(folders).png())
    return file


@styled
@torch.no_grad()
def demo_picture(folders: Mapping[str, Path]) -> Drawing:
    """Curves at the left, at the right the first test images with the class that the last model says."""
    drawing = new_drawing(11, 3.6)
    left, right = drawing.add_gridspec(1, 2, width_ratios=(1.25, 1))
    ax, said = drawing.add_subplot(left), []
    for (name, folder), (colour, line) in zip(folders.items(), LINES):
        lines = RunFolder(folder).metrics()
        epochs, values = ([one["epoch"] for one in lines], [one["test"]["accuracy"] for one in lines])
        ax.plot(epochs, values, line, color=colour, label=name)
        said.append(f"{name}: {values[-1]:.1f} % after {epochs[-1]} epochs")
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    ax.legend()
    trained = load(list(folders.values())[-1])
    test = load_data(trained.experiment).test
    images, labels = test.images[:ANSWERS], test.labels[:ANSWERS].tolist()
    answers = trained.model(trained.pipeline.evaluate(images, test.labels[:ANSWERS]).images).logits.argmax(1).tolist()
    names, grid = readable_names(trained.classes), right.subgridspec(2, ANSWERS // 2)
    for k, (image, answer, label) in enumerate(zip(images, answers, labels)):
        panel, wrong = drawing.add_subplot(grid[divmod(k, ANSWERS // 2)]), answer != label
        panel.imshow(to_picture(image), interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.set_title(f"{names[answer]}{f', is {names[label]}' if wrong else ''}", color=VERMILLION if wrong else INK)
    right_ones = sum(answer == label for answer, label in zip(answers, labels))
    drawing.alt = f"{'; '.join(said)}. Of {len(labels)} test images the last model names {right_ones} rightly."
    return drawing
