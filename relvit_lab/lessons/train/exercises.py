"""The prediction of notebook 04_train."""

from relvit_lab.lessons.ask.base import add_predictions

add_predictions(
    ("04-sprel",
     "With the settings as they stand (digits, 4 x 4 patches, no positional embeddings in pre-training): for how "
     "many pairs of patches will the pre-trained model say the right side, on images that it has not seen?",
     "about half of them",
     "This notebook's defaults gave 47.4 % (seed 0). One constant answer has 14.1 % right, so it has learned much; "
     "but an empty corner of one digit looks like any other. Nearly all would be a sign of cheating: notebook 05."),
)  # fmt: skip
