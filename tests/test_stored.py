"""Dataclasses survive JSON, and what does not fit is named."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossfer.calibration import HIGHEST_TEMPERATURE, LEVELS, LOWEST_TEMPERATURE, Abstention, Calibration
from crossfer.evaluate.result import ClassResult, EvaluationResult
from crossfer.runtime.align import CropGeometry
from crossfer.runtime.bundle import BundleMeta
from crossfer.runtime.preprocess import InputContract
from crossfer.stored import LARGEST, from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    share: float
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError(f"share: expected at most 1, found {self.share}")


@dataclass(frozen=True)
class Outer:
    number: int
    sure: bool
    inner: Inner
    pair: tuple[float, int]
    rows: tuple[tuple[Inner, ...], ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    maybe: Inner | None = None
    rest: Any = None


NUMBERS = st.floats(-LARGEST, LARGEST)
INNERS = st.builds(Inner, st.floats(-LARGEST, 1), st.lists(st.text()).map(tuple))
OUTERS = st.builds(
    Outer,
    number=st.integers(-(10**30), 10**30),
    sure=st.booleans(),
    inner=INNERS,
    pair=st.tuples(NUMBERS, st.integers(-9, 9)),
    rows=st.lists(st.lists(INNERS, max_size=2).map(tuple), max_size=2).map(tuple),
    by_name=st.dictionaries(st.text(), INNERS, max_size=3),
    counts=st.dictionaries(st.integers(-9, 9), st.integers(0, 9)).map(Counter),
    examples=st.dictionaries(st.text(), st.text(), max_size=3),
    maybe=st.none() | INNERS,
    rest=st.none() | st.lists(st.integers()) | st.dictionaries(st.text(), st.booleans()),
)
SHARES = st.floats(0, 1)
CALIBRATIONS = st.builds(
    Calibration,
    bias=st.just(()) | st.tuples(NUMBERS, NUMBERS),
    set_thresholds=SHARES.map(lambda share: (share,) * len(LEVELS)),
    abstention=st.none() | st.builds(Abstention, SHARES, SHARES, SHARES),
    fitted_on=st.dictionaries(st.sampled_from(["n", "left_out"]), st.integers(0, 9)),
)
METAS = st.builds(
    BundleMeta,
    name=st.text(min_size=1).filter(lambda name: name.strip() and name.isprintable()),
    label_set=st.just("own"),
    labels=st.just(("calm", "tense")),
    input=st.builds(
        InputContract,
        size=st.integers(1, 4096),
        color=st.sampled_from(["gray", "rgb"]),
        mean=NUMBERS,
        std=st.floats(0, LARGEST, exclude_min=True),
        crop=st.builds(
            CropGeometry,
            scale=st.floats(0, LARGEST, exclude_min=True),
            shift_x=st.floats(-1, 1, exclude_min=True, exclude_max=True),
            shift_y=st.floats(-1, 1, exclude_min=True, exclude_max=True),
        ),
    ),
    temperature=st.floats(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
    grid=st.integers(1, 99),
    provenance=st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.integers())),
    calibration=st.none() | CALIBRATIONS,
)
OTHERS = st.sampled_from(
    [None, True, 0, -1, 7, 10**400, 0.5, 1e300, float("nan"), float("inf"), "", "x", [], [[]], {}, {"n": "x"}]
)


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a kind that a result of an evaluation is made of."""
    inner = get_args(kind)
    if is_dataclass(kind):
        parts = {name: drawn(of) for name, of in get_type_hints(kind).items()}
        return st.fixed_dictionaries(parts).map(lambda values: kind(**values))
    if get_origin(kind) is UnionType:
        return st.none() | drawn(inner[0])
    if get_origin(kind) is tuple and inner[-1] is Ellipsis:
        return st.lists(drawn(inner[0]), max_size=2).map(tuple)
    if get_origin(kind) is tuple:
        return st.tuples(*map(drawn, inner))
    if get_origin(kind) is not None:
        return st.dictionaries(st.text(), drawn(inner[1]), max_size=2)
    return {str: st.text(), int: st.integers(0, 9999), float: NUMBERS}[kind]


RESULTS = st.builds(
    lambda result, classes: replace(
        result, about=replace(result.about, labels=tuple(classes)), per_class=tuple(classes.values())
    ),
    drawn(EvaluationResult),
    st.dictionaries(st.text(), drawn(ClassResult), min_size=1, max_size=3),
)
WHOLE = Outer(
    3, True, Inner(0.5, ("a",)), (0.5, 1), ((Inner(1.0),),), {"one": Inner(0.0)}, Counter({2: 1}), {"e": "x"}
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(to_plain(value)))


@given(OUTERS | METAS)
def test_what_is_written_is_read_as_it_was(value: Outer | BundleMeta):
    again = from_plain(type(value), through_json(value), "file")
    assert again == value
    assert through_json(again) == through_json(value)


@given(METAS)
def test_a_bundles_metadata_is_read_as_it_was(meta: BundleMeta):
    assert BundleMeta.from_json(meta.to_json()) == meta


@given(RESULTS)
def test_a_result_is_read_as_it_was_rounded(result: EvaluationResult):
    plain = json.loads(json.dumps(result.to_dict()))
    assert EvaluationResult.from_dict({**plain, "more": 1}).to_dict() == plain == result.to_dict()


@given(RESULTS, st.data(), OTHERS)
def test_whatever_else_stands_in_a_result_is_read_or_refused_in_a_sentence(
    result: EvaluationResult, data: st.DataObject, other: Any
):
    plain = json.loads(json.dumps(result.to_dict()))
    inside, key = data.draw(st.sampled_from(list(places(plain))))
    inside[key] = other
    try:
        again, said = EvaluationResult.from_dict(plain).to_dict(), ""
    except ValueError as error:
        again, said = None, str(error)
    assert again == EvaluationResult.from_dict(again).to_dict() if again else "expected " in said


def places(plain: Any) -> Iterator[tuple[Any, Any]]:
    """Every object or list in plain values with each of its keys or indices; of long lists the first few."""
    keys = list(plain) if isinstance(plain, dict) else range(min(len(plain), 3))
    for key in keys:
        yield plain, key
        if isinstance(plain[key], dict | list):
            yield from places(plain[key])


@given(OUTERS | METAS, st.data(), OTHERS)
def test_whatever_else_stands_there_is_read_or_refused_in_a_sentence(
    value: Outer | BundleMeta, data: st.DataObject, other: Any
):
    plain = through_json(value)
    inside, key = data.draw(st.sampled_from(list(places(plain))))
    inside[key] = other
    try:
        again = from_plain(type(value), plain, "file")
    except ValueError as error:
        again, said = None, str(error)
    if again is None:
        assert "expected " in said
        assert "\n" not in said
        assert len(said) < 250
    else:
        read = from_plain(type(value), through_json(again), "file")
        assert json.dumps(to_plain(read)) == json.dumps(to_plain(again))  # a NaN is not equal to itself


@given(st.floats())
@example(1e39)
@example(-LARGEST)
def test_numbers_are_those_that_float32_can_hold(number: float):
    if -LARGEST <= number <= LARGEST:
        assert from_plain(float, number, "file") == number
    else:
        with pytest.raises(ValueError, match="file: expected a number, found"):
            from_plain(float, number, "file")


def test_a_whole_number_is_a_number_too():
    (found,) = from_plain(tuple[float], [3], "file")
    assert (found, type(found)) == (3.0, float)


def test_what_is_not_there_counts_as_null():
    plain = {key: value for key, value in to_plain(WHOLE).items() if key not in ("maybe", "rest")}
    assert from_plain(Outer, plain, "file") == WHOLE
    del plain["rows"]  # its default is none that could be written for it
    with pytest.raises(ValueError, match=r"^file\.rows: expected a list, found nothing$"):
        from_plain(Outer, plain, "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": True}, "file.number: expected a whole number, found True"),
        ({"number": 3.0}, "file.number: expected a whole number, found 3.0"),
        ({"number": "3"}, "file.number: expected a whole number, found '3'"),
        ({"number": [1, 2]}, "file.number: expected a whole number, found a list of 2"),
        ({"sure": 1}, "file.sure: expected true or false, found 1"),
        ({"inner": {"share": False, "names": []}}, "file.inner.share: expected a number, found False"),
        ({"inner": {"share": float("nan"), "names": []}}, "file.inner.share: expected a number, found nan"),
        ({"pair": [10**400, 1]}, f"file.pair[0]: expected a number, found 1{'0' * 36}..."),
        ({"inner": {"share": 2, "names": []}}, "share: expected at most 1, found 2.0"),
        ({"inner": {"share": 0, "names": ["a", 3]}}, "file.inner.names[1]: expected text, found 3"),
        ({"inner": {"share": 0, "names": "ab"}}, "file.inner.names: expected a list, found 'ab'"),
        (
            {"inner": {"share": 0, "names": [], "x": 1}},
            "file.inner: expected the keys share, names, found also 'x'",
        ),
        ({"inner": [0, []]}, "file.inner: expected an object, found a list of 2"),
        ({"pair": [1.0]}, "file.pair: expected a list of 2, found a list of 1"),
        ({"pair": [1, 1.5]}, "file.pair[1]: expected a whole number, found 1.5"),
        ({"rows": [[], [{"share": 0}]]}, "file.rows[1][0].names: expected a list, found nothing"),
        ({"by_name": {"one": {}}}, "file.by_name['one'].share: expected a number, found nothing"),
        ({"by_name": []}, "file.by_name: expected an object, found a list of 0"),
        ({"counts": {"x": 1}}, "file.counts: expected a whole number as a key, found 'x'"),
        ({"counts": {"1": 0.5}}, "file.counts['1']: expected a whole number, found 0.5"),
        ({"examples": {"e": None}}, "file.examples['e']: expected text, found nothing"),
        ({"maybe": 3}, "file.maybe: expected an object, found 3"),
        ({"by_name": {"a\nb": 3}}, r"file.by_name['a\nb']: expected an object, found 3"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        from_plain(Outer, {**to_plain(WHOLE), **change}, "file")


def test_further_keys_can_be_passed_over_at_any_depth():
    plain = to_plain(WHOLE)
    plain["more"] = plain["inner"]["more"] = plain["by_name"]["one"]["more"] = plain["rows"][0][0]["more"] = 1
    assert from_plain(Outer, plain, "file", strict=False) == WHOLE


def test_what_is_of_any_kind_is_read_as_it_is_however_deep():
    deep: Any = {}
    for _ in range(10_000):
        deep = {"in": [deep]}
    assert from_plain(Outer, {**to_plain(WHOLE), "rest": deep}, "file").rest is deep


def test_numbers_are_rounded_only_where_that_is_asked_for():
    third = replace(WHOLE.inner, share=1 / 3)
    assert to_plain(third) == {"share": 1 / 3, "names": ["a"]}
    assert to_plain({"all": [third]}, digits=3) == {"all": [{"share": 0.333, "names": ["a"]}]}
