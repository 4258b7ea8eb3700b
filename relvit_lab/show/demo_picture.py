"""`make demo` as one picture: test accuracy of each training by epoch, and what the last model says of digits."""

from collections.abc import Mapping
from pathlib import Path

import torch

from relvit_lab.common.files import write_whole
from relvit_lab.common.shown_names import readable_names
from relvit_lab.show.style import BLUE, GREEN, INK, VERMILLION, Drawing, new_drawing, styled, to_picture
from relvit_lab.train.build import load_data
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.trained import load

FILE = "demo.png"
ANSWERS = 8  # test images
LINES = ((INK, "-"), (BLUE, "--"), (VERMILLION, "-."), (GREEN, ":"))


def write_demo_picture(folders: Mapping[str, Path]) -> Path:
    """Draw it into demo.png beside the run folders. folders: of the last stage of each training, by its name."""
    file = Path(list(folders.values())[-1]).parent / FILE
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
