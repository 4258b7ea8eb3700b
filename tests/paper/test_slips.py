"""slips.py: each slip is there with the numbers that a reader gets by hand, and follows from the printed ones."""

import re
from dataclasses import replace

import pytest

from relvit_lab.method.backbones import create_backbone
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.slips import Slip, differences, parameters, slips


def about(place, words=""):
    """The slips whose place begins like this and whose text holds these words."""
    return [slip for slip in slips() if slip.place.startswith(place) and words in slip.text]


@pytest.mark.parametrize(
    ("place", "printed", "computed"),
    [  # by hand, from the page
        ("Eq. 3", "MSA twice in a block", "21.3M with an MLP, 14.3M with MSA twice"),
        ("Table 1", "22.5M", "21.7M"),
        ("Table 1", "22.5M", "21.6M"),
        ("Table 1, caption", "#Tokens: 65 patches (ViT-S/4)", "64 patches and CLS"),
        ("§4.1", "heads: +2 % (SpRel, Dist, Ang), +0.1 % (AbsPos)", "SpRel 6.2 %, Dist 0.7 %, Ang 0.7 %, AbsPos 0.1 %"),
        ("Table 2", "+5.85", "+5.80"),
        ("Table 3, §4.2", "we outperform [21]", "-1.76 (T2T on CIFAR-100)"),
        ("Table 3, §4.2", "we outperform [21]", "+0.03 (T2T on SVHN)"),
        ("Table 3, §4.2", "not affected by large fluctuations", "±1.45"),
        ("Table 3", "8 improvements for Swin and T2T", "8 of 12 over quoted numbers"),
        ("Tables 2 and 3", "45.78 ± 0.75 in both", "two ways of training"),
        ("Tables 2, 3 and 4", "86.09 / 85.86 / 85.38", "up to 0.71 apart"),
        ("Tables 2, 3 and 5", "42.08 / 41.74 / 41.67", "up to 0.41 apart"),
        ("Tables 2 and 4", "90.23 / 90.13", "up to 0.10 apart"),
        ("Tables 2 and 5", "45.78 / 45.49", "up to 0.29 apart"),
        ("Tables 2 and 5", "66.46 / 67.02", "up to 0.56 apart"),
        ("Tables 4 and 5, §4.2", "all the experiments over 5 different runs", "92 numbers without spread"),
        ("Table 4, §4.3", "+3.00 % on average", "+3.73"),
        ("Table 4, §4.3", "SpRel is the most performing", "3 of 4 alone"),
        ("Table 4, §4.3", "SpRel is the most performing", "AbsPos +0.58, SpRel +0.18, Ang +0.03, Dist -0.08"),
        ("Table 4, caption", "columns 2 to 6", "columns 2 to 5"),
        ("Table 5, §4.3", "mega-patches improve the accuracy",
         "mean over M: -0.82, -0.12, -0.25, -1.15, -0.39, -0.08"),
        ("Table 5, §4.3", "improves as much as the patch size is reduced", "-0.10, +1.47, +1.27"),
    ],
)  # fmt: skip
def test_each_slip(place, printed, computed):
    assert [(s.printed, s.computed) for s in slips() if (s.place, s.printed, s.computed) == (place, printed, computed)]


def test_there_are_no_others():
    assert len(slips()) == len(set(slips())) == 23


def test_texts_are_plain_sentences_that_name_what_was_computed():
    for slip in slips():
        assert re.fullmatch(r"(?:(?<=[Ee]q)\. |\.\.\.|\.(?! )|[^.])+\.", slip.text), f"not one sentence: {slip.text}"
        assert all(number in slip.text for number in re.findall(r"[+-]\d+\.\d+", slip.computed)), slip
    assert "+3.02" in about("Table 4, §4.3", "+3.73")[0].text  # against Table 2's baseline
    assert "the other 17 differences" in about("Table 2", "+5.80")[0].text  # 6 + 12 in all
    assert "0.07 apart, within Table 2's ±0.09" in about("Table 4, §4.3", "number 3 of 4")[0].text
    assert "6 of 6 columns" in about("Table 5", "mean over M")[0].text


def test_which_tables_they_are_about():
    assert {table for slip in slips() for table in slip.tables} == {f"table{k}" for k in range(1, 6)}
    (one,) = about("Tables 2, 3 and 4")
    assert one.tables == ("table2", "table3", "table4")
    assert Slip("Table 4, §4.3", "", "", "").tables == ("table4",) and Slip("§4.1", "", "", "").tables == ()
    assert Slip("Eq. 3", "", "", "").tables == ()


def test_differences_by_hand():
    found = {(table, where): (said, right) for table, where, said, right in differences()}
    assert len(found) == 6 + 3 * 4
    assert found["table2", "CIFAR-100"] == (5.85, 5.80)
    assert found["table3", "T2T, CIFAR-100"] == (-1.76, -1.76)  # 66.27 - 68.03, against L_drloc
    assert found["table3", "ViT, SVHN"] == (0.47, 0.47)  # 96.41 - 95.94, against Supervised
    assert sum(said != right for said, right in found.values()) == 1


def test_they_follow_from_the_numbers(monkeypatch):
    """With CIFAR-100's improvement as it should be, its slip goes, and with a wrong one elsewhere another comes."""
    numbers = dict(paper._BY_NAME)
    for place, value in ((("table2", "cifar100", "Improv."), 5.80), (("table3", "ViT: Improv.", "svhn"), 0.49)):
        numbers[place] = replace(numbers[place], value=value)
    numbers["table3", "T2T: RelT2T-ViT", "svhn"] = replace(numbers["table3", "T2T: RelT2T-ViT", "svhn"], value=97.0)
    numbers["table4", "abspos", "Finetuning"] = replace(numbers["table4", "abspos", "Finetuning"], value=85.0)
    monkeypatch.setattr(paper, "_BY_NAME", numbers)
    found = slips.__wrapped__()
    assert [s.computed for s in found if "improvement is" in s.text] == ["+0.47", "+0.51"]  # T2T's differs now, too
    assert not any("T2T on SVHN" in s.text for s in found)
    assert any(s.computed == "2 of 4 alone" for s in found)
    assert not any("number 3 of 4" in s.text for s in found)


def test_parameters_are_those_of_built_models():
    model = create_backbone("vit_s_4")
    assert parameters("vit_s_4") == sum(p.numel() for p in model.parameters()) == 21_338_496
    block = model.blocks[0]
    mlp, msa = (sum(p.numel() for p in part.parameters()) for part in (block.mlp, block.attn))
    assert about("Eq. 3")[0].computed.endswith(f"{(21_338_496 - 12 * (mlp - msa)) / 1e6:.1f}M with MSA twice")
