from __future__ import annotations

import pytest

from crossfer.labels import (
    AFFECTNET7,
    AFFECTNET8,
    FER2013,
    FERPLUS,
    LABEL_SETS,
    RAFDB,
    SFEW,
    LabelSet,
    can_be_shown,
    canonical,
    label_set,
)


def test_published_orders():
    """Each as its publishers number it; an order changed here would silently change every number."""
    orders = {
        FERPLUS: "neutral happiness surprise sadness anger disgust fear contempt",
        FER2013: "anger disgust fear happiness sadness surprise neutral",
        RAFDB: "surprise fear disgust happiness sadness anger neutral",
        AFFECTNET8: "neutral happiness sadness surprise fear disgust anger contempt",
        AFFECTNET7: "neutral happiness sadness surprise fear disgust anger",
        SFEW: "anger disgust fear happiness neutral sadness surprise",
    }
    for labels, order in orders.items():
        assert " ".join(labels.expressions) == order
    assert set(orders) == set(LABEL_SETS.values())


def test_every_name_is_canonical():
    for labels in LABEL_SETS.values():
        assert all(canonical(name) == name for name in labels.expressions)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Angry", "anger"),
        ("DISGUST", "disgust"),
        (" Happy ", "happiness"),
        ("Sad", "sadness"),
        ("Surprised", "surprise"),
    ],
)
def test_spellings(spelling: str, name: str):
    assert canonical(spelling) == name
    assert FERPLUS.expressions[FERPLUS.index(spelling)] == name


def test_a_letter_in_one_character_is_the_same_as_in_two():
    composed, decomposed = "m\u00fcde", "mu\u0308de"
    assert canonical(decomposed) == canonical(composed) == composed
    assert label_set(f"froh, {decomposed}").expressions == ("froh", composed)
    found_earlier = LabelSet("earlier", ("froh", decomposed))
    assert (found_earlier.index(composed), found_earlier.index(decomposed)) == (1, 1)
    with pytest.raises(ValueError, match="expected distinct expression names"):
        label_set(f"{composed}, {decomposed}")


PERSIAN = "\u062e\u0648\u0634\u200c\u062d\u0627\u0644"  # happy, in letters that a U+200C parts
SHRUG = "\U0001f937\u200d\u2642\ufe0f"


def test_what_parts_or_joins_letters_is_no_fault_of_a_name():
    assert label_set(f"{PERSIAN}, {SHRUG}").expressions == (PERSIAN, SHRUG)


@pytest.mark.parametrize("name", ["ten\x1b[31mse", "a\nb", "a\xa0b", "\udce4", "\u202ecba", "\u200c", ""])
def test_a_class_without_a_name_that_can_be_shown_is_told_before_it_is_learnt(name: str):
    assert not can_be_shown(name)
    if name:
        with pytest.raises(ValueError, match="expected expressions in printable characters, found '"):
            label_set(f"calm, {name}")


def test_names_that_are_not_folded_are_found_as_written_and_in_other_spellings():
    mine = LabelSet("mine", ("Happy", "bored"))
    assert [mine.index(name) for name in ("Happy", "happy", "happiness", "Bored")] == [0, 0, 0, 1]
    assert mine.has("happy")
    assert not mine.has("sad")
    assert mine.indices_in(LabelSet("other", ("bored", "neutral", "happiness"))) == (2, 0)
    both = LabelSet("both", ("happy", "happiness"))
    assert [both.index(name) for name in both.expressions] == [0, 1]


def test_sfew_folder_names():
    folders = ["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
    assert [SFEW.index(name) for name in folders] == list(range(7))


@pytest.mark.parametrize("ours", LABEL_SETS.values(), ids=lambda labels: labels.name)
@pytest.mark.parametrize("theirs", LABEL_SETS.values(), ids=lambda labels: labels.name)
def test_maps_between_sets_keep_the_name(ours: LabelSet, theirs: LabelSet):
    if "contempt" in ours.expressions and "contempt" not in theirs.expressions:
        with pytest.raises(ValueError, match=f"'contempt' for label set '{theirs.name}'"):
            ours.indices_in(theirs)
        return
    for name, index in zip(ours.expressions, ours.indices_in(theirs), strict=True):
        assert theirs.expressions[index] == name


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown expression 'bored' for label set 'sfew'; expected one of anger, disgust"
    ):
        SFEW.index("bored")
    with pytest.raises(ValueError, match="unknown label set 'imagenet'; expected one of ferplus, fer2013"):
        label_set("imagenet")
    assert label_set("rafdb") is RAFDB


@pytest.mark.parametrize("expressions", [(), ("fear", "fear")])
def test_a_label_set_has_distinct_names(expressions: tuple[str, ...]):
    with pytest.raises(ValueError, match="expected distinct expression names"):
        LabelSet("odd", expressions)
