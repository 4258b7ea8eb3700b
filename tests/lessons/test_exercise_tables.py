"""Exercises as tables: which wrong answer is named, what is said where none fits, and what a table must hold."""

import itertools
import math

import pytest
import torch

from relvit_lab.lessons.ask import EXERCISES, Mistake, NotYet, check
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.ask.answers import name_mistake, number, numbers, tensor, tensor_or_list
from relvit_lab.lessons.ask.tables import assigned, compared
from relvit_lab.lessons.mega_patches import exercises as mega_patches

ask.load_all()
FUNCTIONS = [each.name for each in EXERCISES if callable(each.reference)]


@pytest.fixture
def table(monkeypatch):
    """Makes an exercise that is in no notebook; what its judge says of an answer."""
    monkeypatch.setattr(EXERCISES, "_entries", dict(EXERCISES._entries))

    def make(**how):
        exercise = compared(
            "99-x", "X", 1, 1, asks="f(x, k)", on=how.pop("on", [(torch.arange(6.0), 2), (torch.ones(3), 3)]),
            reference=how.pop("reference", lambda x, k: x * k),
            wrong=how.pop("wrong", {"not multiplied": lambda x, k: x, "added": lambda x, k: x + k}),
            praise="Good.", **how,
        )  # fmt: skip

        def said(answer):
            verdict = ask.judge(exercise, answer)
            return verdict.text.removeprefix("Not quite. ") if verdict.status == "mistake" else verdict.status

        return said

    return make


def test_the_first_wrong_answer_with_the_same_outputs_is_named_with_the_entry_that_differs(table):
    said = table()
    assert said(lambda x, k: x * k) == "right" and said(lambda x, k: None) == "not yet"
    assert said(lambda x, k: 1 * x) == "Not multiplied. f(x (6,), 2)[1] should be 2.0000, got 1.0000."
    assert said(lambda x, k: x + 2) == "Added. f(x (6,), 2)[0] should be 0.0000, got 2.0000."
    assert said(lambda x, k: x - k) == "f(x (6,), 2)[0] should be 0.0000, got -2.0000."
    assert said(lambda x, k: 2 * x) == "f(x (3,), 3)[0] should be 3.0000, got 2.0000. f(x (6,), 2) was right."


def test_another_shape_is_known_by_its_shape_unless_the_values_are_those_of_a_wrong_answer(table):
    wrong = {"one column": lambda x, k: (x * k)[:, None], "one row": lambda x, k: (x * k)[None],
             "also one row": lambda x, k: x[None]}  # fmt: skip
    said = table(wrong=wrong, shape="the shape (N,) =")
    shapes = "f(x (6,), 2) should have the shape (N,) = (6,), got"
    assert said(lambda x, k: x[None] - 7) == f"One row. {shapes} (1, 6)."
    assert said(lambda x, k: x[None]) == f"Also one row. {shapes} (1, 6)."
    assert said(lambda x, k: x[:2]) == f"{shapes} (2,)." and said(lambda x, k: x.sum()) == f"{shapes} one number."


def test_small_outputs_are_compared_on_all_inputs_at_once(table):
    how = {"on": [(1, 1), (2, 2), (5, 3)], "reference": lambda x, k: x * k, "reads": number}
    wrong = {"added": lambda x, k: x + k, "the larger": lambda x, k: max(x, k)}
    said = table(**how, wrong=wrong, together=True)
    assert said(lambda x, k: x**k).startswith("f(5, 3) should be 15, got 125. f(2, 2) was right")
    assert said(lambda x, k: x + k).startswith("Added. f(1, 1) should be 1, got 2")
    assert said(lambda x, k: 2 * k).startswith("f(1, 1)"), "as the sum has it, but on the first input alone"
    assert table(**how, wrong=wrong)(lambda x, k: 2 * k).startswith("Added. f(1, 1)")


def test_inputs_are_named_and_a_hint_is_given_where_no_wrong_answer_fits(table):
    said = table(on={"few": (torch.ones(1), 1), "many": (torch.ones(9), 2)}, hint="Multiply")
    assert said(lambda x, k: x) == "Not multiplied. f(x (9,), 2) for many, [0] should be 2.0000, got 1.0000. " \
        "f(x (1,), 1) for few was right."  # fmt: skip
    assert said(lambda x, k: x - 1).endswith("Multiply.")


def test_what_is_not_finite_is_no_right_answer_and_said_to_be_none(table):
    said = table(wrong={"overflow": lambda x, k: (1000 * x).exp().log() * k / 1000, "nothing": lambda x, k: 0 * x})
    assert said(lambda x, k: x * k * math.nan) == "f(x (6,), 2)[0] should be 0.0000, got nan (not a number)."
    assert said(lambda x, k: torch.tensor([0.0, *[math.nan] * 5])).startswith("Overflow. f(x (6,), 2)[1]")


def test_numbers_that_print_alike_are_printed_to_the_digit_that_differs(table):
    said = table(on=[(1, 3)], reference=lambda x, k: x / k, reads=number, rtol=0, atol=0, wrong={})
    assert said(lambda x, k: 0.33333) == "f(1, 3) should be 0.3333333333, got 0.33333."


def test_an_answer_that_changes_its_input_spoils_nothing_and_a_failing_wrong_answer_is_passed_over(table):
    said = table(wrong={"fails": lambda x, k: x[7], "not multiplied": lambda x, k: x})
    assert said(lambda x, k: x.mul_(k)) == said(lambda x, k: x * k) == "right"
    assert said(lambda x, k: x.mul_(1)).startswith("Not multiplied.")


def test_whole_numbers_are_compared_exactly(table):
    said = table(on=[(torch.arange(3), 2)], reference=lambda x, k: x * k, wrong={}, reads=tensor_or_list)
    assert said(lambda x, k: [0, 2, 4]) == said(lambda x, k: x.float() * k) == "right"
    assert said(lambda x, k: x * k + 1e-5).startswith("f(x (3,), 2)[0] should be 0, got 0.0000")


def test_lists_of_numbers_are_shown_whole(table):
    said = table(on=[(1, 2)], reference=lambda x, k: [x, k], reads=numbers, wrong={"turned": lambda x, k: (k, x)})
    assert said(lambda x, k: (k, x)) == "Turned. f(1, 2) should be 1, 2, got 2, 1."
    assert said(lambda x, k: torch.tensor([1.0, 2, 3])) == "f(1, 2) should be 1, 2, got 1, 2, 3."
    assert said(lambda x, k: 7).startswith("f(1, 2) should give numbers, one after another, got 7")


@pytest.mark.parametrize("value", [True, "3", b"3", [3], torch.ones(2), object()])
def test_what_is_no_number_is_said_to_be_none(value):
    with pytest.raises(Mistake, match=r"f\(1\) should be a number, got "):
        number(value, "f(1)")


def test_readers_take_what_is_meant_and_name_what_came():
    assert number(torch.tensor([[2]]), "f") == number(2, "f") == 2.0
    assert tensor_or_list([1, 2], "f").tolist() == [1, 2]
    for read in (tensor, tensor_or_list):
        with pytest.raises(Mistake, match="f should give a tensor, got str"):
            read("far", "f")
    with pytest.raises(Mistake, match=r"f should have the shape \(2, 3\), got \(3,\)"):
        tensor(torch.ones(3), "f", (2, 3))
    name_mistake({"no": False, "nor this": torch.tensor(False)})
    with pytest.raises(Mistake, match="second"):
        name_mistake({"first": False, "second": torch.tensor(True), "third": True})


def test_a_choice_for_each_letter():
    judge = assigned("run", {"A": "x", "B": "y"}, ("x", "y", "z"), lambda _, said: f": not {said}", "All.")
    assert judge({"A": "x", "B": "y", "C": "no"}) == "All."
    for answer, said in (
        (["x", "y"], "a dictionary is asked for, one entry for each letter, not list"),
        ({"A": "x", "B": "w"}, "run B: 'w' is none of these: x; y; z"),
        ({"A": "z", "B": "y"}, "1 of 2 right. Run A is not 'z': not z"),
        ({"a": "x", "b": "y"}, "the keys are A, B, not 'a'"),
        ({"A": "x", 2: "y"}, "the keys are A, B, not 2"),
        ({"A": "z", "B": []}, r"run B: '\[\]' is none of these"),
    ):
        with pytest.raises(Mistake, match=said):
            judge(answer)
    for unfinished in ({}, {"A": "x"}, {"A": "x", "B": ...}, {"A": "", "B": "y"}):
        with pytest.raises(NotYet):
            judge(unfinished)


def cuts_by_keys(m, side, generator):
    return torch.rand(2, side - 1, generator=generator).argsort(1)[:, : m - 1].sort().values + 1


def cuts_by_number(m, side, generator):
    """One of all sets, each way."""
    sets = list(itertools.combinations(range(1, side), m - 1))
    return torch.tensor([sets[k] for k in torch.randint(len(sets), (2,), generator=generator)]).long()


def effect_in_float32(values, task):
    with_it, without = (
        torch.tensor([v for row, v in values.items() if (task in row.split("+")) == there]) for there in (True, False)
    )
    return with_it.mean() - without.mean()


def interaction_in_float32(values, one, other):
    def mean(*there):
        rows = [row for row in values if (one in row.split("+"), other in row.split("+")) == there]
        return torch.tensor([values[row] for row in rows]).mean()

    return (mean(True, True) - mean(False, True)) - (mean(True, False) - mean(False, False))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("02-cuts", cuts_by_keys),
        ("02-cuts", cuts_by_number),
        ("06-effect", effect_in_float32),
        ("06-interaction", interaction_in_float32),
        ("07-gaps", lambda ours, base: {seed: ours[seed] - base[seed] for seed in ours if seed in base}),
    ],
)
def test_other_right_ways_pass(name, answer):
    assert check(name, answer).status == "right", check(name, answer)


def test_fair_cuts_pass_whatever_the_seed():
    for seed in range(10):
        draws = torch.Generator().manual_seed(seed)
        mega_patches._name_unlike(torch.stack([cuts_by_keys(4, 9, draws) for _ in range(mega_patches.DRAWS)]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_of_another_kind_is_a_mistake_and_never_an_error(name):
    reference = EXERCISES.get(name).reference
    others = (
        lambda *a: object(), lambda *a: torch.zeros(2, 3, 5, 7), lambda *a: {}, lambda *a: [["no"]],
        lambda *a: [reference(*a), reference(*a)], lambda *a: str(reference(*a)) + "?",
    )  # fmt: skip
    for answer in others:
        assert check(name, answer).status == "mistake"


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("03-scores", lambda z, w: torch.zeros(2, 4, 4, 5), "K comes second. pair_scores(z (2, 4, 3), w (5, 3, 3))"),
        ("03-parameters", lambda d, k, r=None: 1, "parameters(384, 9) should be 1,327,104, got 1"),
        ("05-lost", lambda steps, sprel, switches: 65.0, "a try without a switch (nothing was taken away) should be 0"),
        ("05-cheat", lambda e, target: torch.zeros(e.shape[1], e.shape[1], 9), "shape (9, 24, 24), got (24, 24, 9)"),
        ("05-cheat", lambda e, target: EXERCISES.get("05-cheat").reference(e, target.flip(0)), "of 81 pairs are right"),
        ("05-pool", lambda tokens, side: 0 * tokens[:, ::4], "token (0, 0) of the new grid is off"),
        ("06-effect", lambda values, task: (1, 2), "should be a number, got a tuple"),
        ("06-chance", lambda s, m, n, g: 1.0, "should give a tensor, got float"),
        ("06-error", lambda s, n, m: s * s, "spread_of_effect(0.09, 8, 7) should be 0.0466, got 0.0081"),
        ("07-spread", lambda values: (91.0,), "gives 2 numbers, not 1"),
        ("07-gaps", lambda ours, base: 2.0, "one number, 2: a list is asked for"),
        ("08-manhattan", lambda grid: torch.zeros(grid**2, grid**2).long(), "whole numbers would make it a task"),
        ("08-quadrant", lambda grid: torch.zeros(grid**2), "classes are whole numbers"),
        ("08-quadrant", lambda grid: torch.zeros(grid**2).int(), "as int64, not int32"),
        ("08-floor", lambda target: 50.0, "SpRel on 4 x 4: the best constant answer scores 14.06, not 50.00"),
        ("08-verdict", lambda *skills: "leaky", "'leaky' is none of the four"),
        ("08-verdict", lambda *skills: "learnt nothing", "should be 'looks', got 'learnt nothing'"),
    ],
)  # fmt: skip
def test_further_mistakes_are_named(name, answer, says):
    verdict = check(name, answer)
    assert verdict.status == "mistake" and says.lower() in verdict.text.lower(), verdict
