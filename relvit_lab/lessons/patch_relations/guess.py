"""A game about eq. 5: two patches of an image, and on which side of j does i lie? You, a trained model, and chance."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import traitlets

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.table import Table
from relvit_lab.lessons.patch_relations.pictures import guessed_pairs
from relvit_lab.method.relations import RELATION_NAMES, spatial_relations
from relvit_lab.show import task_views
from relvit_lab.show.model_input import as_picture, as_trained, png, to_bytes
from relvit_lab.show.own_image import USUAL, square_image, whole
from relvit_lab.show.photographs import photograph
from relvit_lab.show.still import Widget, script
from relvit_lab.show.style import Drawing

LEVELS = {"any": "any two patches", "near": "neighbours"}
WORDS = tuple(map(str.lower, task_views.WORDS))


@dataclass(frozen=True)
class GuessData:
    """What the game and its static figure show. side: patches a side; N = side * side.

    picture: (S, S, 3) uint8. coarse: (S', S', 3) uint8, as the model sees it, or None without a model. pairs: by level,
    rows of (i, j, truth, what the model says or -1). bag: (N,) an order in which all patches are shown, shuffled.
    said: (N, N) the model's relations, or None. note: what was done to the image.
    """

    side: int
    picture: np.ndarray
    coarse: np.ndarray | None
    pairs: dict[str, list[list[int]]]
    bag: list[int]
    said: np.ndarray | None
    note: str


@dataclass(frozen=True)
class Score:
    """How a game stands, by level ("any", "near"), each a share of the pairs in [0, 1] or None where there is none.

    played, right: pairs answered, and answered rightly. model: pairs of the same that the model has right, None without
    a model; before anything is played, of all pairs of the game. on: the pairs that `model` counts.
    chance: guessing blindly among eight sides. fixed: always the side that is the most frequent. everywhere: the
    model's share of all such pairs of the image.
    """

    played: dict[str, int]
    right: dict[str, int]
    model: dict[str, int | None]
    on: dict[str, int]
    fixed: dict[str, float]
    everywhere: dict[str, float | None]
    chance: float = 1 / 8

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self) -> Table:
        cells = {"you": lambda at: _of(self.right[at], self.played[at]) if self.played[at] else "not played yet"}
        if None not in self.model.values():
            cells["the model, the same pairs"] = lambda at: _of(self.model[at], self.on[at])
            cells["the model, all pairs of this image"] = lambda at: _percent(self.everywhere[at])
        cells["always the most frequent side"] = lambda at: _percent(self.fixed[at])
        cells["blind guesses among 8 sides"] = lambda at: _percent(self.chance)
        return Table(("who", *LEVELS.values()), tuple((who, *map(cell, LEVELS)) for who, cell in cells.items()))


class Guess(Widget):
    """The game. answers: what was answered, in order, each {"level", "i", "j", "truth", "said", "coarse", "all"}:
    relations are 0..8, and the last two tell whether the patches were shown as the model sees them, and whether all
    others were shown, too. level: "any" or "near". shown: the data.
    """

    _esm = script(__file__, "guess.js")

    png = traitlets.Bytes().tag(sync=True)
    coarse_png = traitlets.Bytes(b"").tag(sync=True)
    side = traitlets.Int().tag(sync=True)
    pairs = traitlets.Dict().tag(sync=True)
    bag = traitlets.List().tag(sync=True)
    levels = traitlets.Dict(LEVELS).tag(sync=True)
    names = traitlets.List(RELATION_NAMES).tag(sync=True)
    words = traitlets.List(WORDS).tag(sync=True)
    level = traitlets.Enum(tuple(LEVELS), "any").tag(sync=True)
    answers = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, shown: GuessData, level: str = "any"):
        self.shown = shown
        super().__init__(
            png=png(shown.picture),
            coarse_png=b"" if shown.coarse is None else png(shown.coarse),
            side=shown.side,
            pairs=shown.pairs,
            bag=shown.bag,
            level=level,
        )

    def score(self) -> Score:
        """How the game stands now."""
        return score(self.shown, self.answers)

    def in_words(self) -> str:
        return (
            f"The game needs a live notebook: {len(self.pairs['any'])} pairs of patches, on which side of j does i "
            "lie? (guess_figure draws such pairs with their answers.)"
        )

    def still_picture(self) -> Drawing:
        """Other pairs than the game's, so that it gives nothing away."""
        played = {(i, j) for i, j, *_ in self.shown.pairs[self.level]}
        others = [pair for pair in candidates(self.side, self.level) if pair not in played]
        return _drawn(self.shown, random.Random("still").sample(others, min(6, len(others))))


def guess_relation(
    image: object = None, model: object = None, *, rounds: int = 20, seed: int = 0, level: str = "any", side: int = 8
) -> Guess:
    """Play: two patches of an image, your own too; on which side of j does i lie?

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph. model: as `relvit_lab.load` gives it, or a name for it: it answers the same pairs. rounds: pairs for
    each level. seed: of the pairs. level: "any" two patches, or "near": neighbours; it can be changed in the game.
    side: patches a side; a model has its own. Raises RelvitError for what cannot be played.
    """
    if str(level) not in LEVELS:
        raise RelvitError(f"level is {' or '.join(LEVELS)}, not {level!r}")
    return Guess(guess_data(image, model, rounds=rounds, seed=seed, side=side), level)


def guess_figure(
    image: object = None, model: object = None, *, rounds: int = 6, seed: int = 1, level: str = "any", side: int = 8
) -> Drawing:
    """The same on paper: pairs with their answers, and the model's where there is one. Another seed than the game's
    gives other pairs, so that it gives nothing away."""
    if level not in LEVELS:
        raise RelvitError(f"level is {' or '.join(LEVELS)}, not {level!r}")
    data = guess_data(image, model, rounds=rounds, seed=seed, side=side)
    return _drawn(data, [(i, j) for i, j, *_ in data.pairs[level]])


def _drawn(data: GuessData, pairs: Iterable[tuple[int, int]]) -> Drawing:
    """These pairs (i, j) with their answers, and the model's."""
    picture, said = torch.from_numpy(data.picture).permute(2, 0, 1), data.said  # (S,S,3) -> (3,S,S)
    return guessed_pairs(picture, data.side, [(i, j, None if said is None else int(said[i, j])) for i, j in pairs])


def guess_data(
    image: object = None, model: object = None, *, rounds: int = 20, seed: int = 0, side: int = 8
) -> GuessData:
    """All that the game shows; as guess_relation says. Raises RelvitError."""
    said = coarse = trained = None
    if model is not None:
        trained = as_trained(model)
        if "sprel" not in trained.model.heads or trained.pipeline.mega_patches is not None:
            raise RelvitError(
                "the game needs a model with a head for SpRel, trained or tried on patches, not mega-patches"
            )
        side = trained.model.side
    side = whole(side, "side, the number of patches a side,", 2, 16)
    rounds = whole(rounds, "rounds")
    square = square_image(photograph(USUAL // side * side, "china") if image is None else image, side)
    pixels = (square.image * 255).round().byte()  # (3,S,S)
    if trained is not None:
        seen = trained.transform(pixels)  # (1,3,S',S')
        coarse = to_bytes(as_picture(trained, seen)[0])
        with torch.no_grad():
            said = trained.model.predictions(seen, "sprel")[0].numpy()
    truth = spatial_relations(side)
    pairs = {}
    for level in LEVELS:
        all_pairs = candidates(side, level)
        if not 1 <= rounds <= len(all_pairs):
            raise RelvitError(f"rounds is from 1 to {len(all_pairs)} (all pairs of {LEVELS[level]}), not {rounds}")
        drawn = random.Random(f"{seed} {level}").sample(all_pairs, rounds)
        pairs[level] = [[i, j, int(truth[i, j]), -1 if said is None else int(said[i, j])] for i, j in drawn]
    bag = list(range(side * side))
    random.Random(f"{seed} bag").shuffle(bag)
    return GuessData(side, pixels.permute(1, 2, 0).contiguous().numpy(), coarse, pairs, bag, said, square.note)


def candidates(side: int, level: str) -> list[tuple[int, int]]:
    """All ordered pairs (i, j) of two different patches; for "near" those that touch, at a corner too."""
    furthest = 1 if level == "near" else side
    n = side * side
    return [
        (i, j)
        for i in range(n)
        for j in range(n)
        if 1 <= max(abs(i // side - j // side), abs(i % side - j % side)) <= furthest
    ]


def score(data: GuessData, answers: Sequence[dict]) -> Score:
    """How answers stand beside the model's, on the same pairs, and beside chance."""
    truth = spatial_relations(data.side).numpy()
    played, right, model, on, fixed, everywhere = {}, {}, {}, {}, {}, {}
    for level in LEVELS:
        mine = [answer for answer in answers if answer["level"] == level]
        played[level] = len(mine)
        right[level] = sum(answer["said"] == truth[answer["i"], answer["j"]] for answer in mine)
        same = [(answer["i"], answer["j"]) for answer in mine] or [(i, j) for i, j, *_ in data.pairs[level]]
        on[level] = len(same)
        model[level] = None if data.said is None else sum(int(data.said[pair] == truth[pair]) for pair in same)
        i, j = np.array(candidates(data.side, level)).T
        fixed[level] = float(np.bincount(truth[i, j]).max() / len(i))
        everywhere[level] = None if data.said is None else float((data.said[i, j] == truth[i, j]).mean())
    return Score(played, right, model, on, fixed, everywhere)


def _of(right: int, count: int) -> str:
    return f"{right} of {count} ({100 * right / count:.0f} %)"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
