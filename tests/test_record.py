"""Values that are JSON objects on the disk: what a file has stays, what it lacks stays absent."""

from dataclasses import dataclass, replace

import pytest

from lina_lab.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner(Record):
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer(Record):
    name: str
    share: float | None
    inner: Inner | None = None
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "values",
    [
        {"name": "a", "share": None},
        {"share": 0.5, "name": "a"},
        {"name": "a"},
        {"later": {"x": [1, None]}, "name": "a", "inner": {"unit": None, "size": 3}, "share": 1},
        {"name": "a", "inner": None, "words": []},
    ],
)
def test_what_is_read_is_written_with_the_same_keys_in_the_same_order(values):
    written = Outer.from_json(values).as_json()
    assert written == values
    assert list(written) == list(values)


def test_a_record_that_is_made_here_writes_what_it_must_and_what_is_not_its_default():
    assert list(Outer(share=None, name="a").as_json().items()) == [("name", "a"), ("share", None)]
    made = Outer(inner=Inner(size=1), name="a", share=0.5, others={"later": 1})
    assert list(made.as_json()) == ["name", "share", "inner", "later"]


def test_a_field_that_is_set_later_comes_last_and_others_keep_their_place():
    read = Outer.from_json({"later": 1, "name": "a", "share": 0.5})
    changed = replace(read, inner=Inner(size=2), share=0.25)
    assert list(changed.as_json().items()) == [("later", 1), ("name", "a"), ("share", 0.25), ("inner", {"size": 2})]


def test_a_key_that_is_absent_is_told_from_one_that_is_null():
    assert Outer.from_json({"name": "a"}).lacks("share")
    assert not Outer.from_json({"name": "a", "share": None}).lacks("share")
    assert not Outer(name="a", share=None).lacks("share")


def test_where_a_record_comes_from_makes_no_difference_to_its_value():
    assert Outer.from_json({"share": 0.5, "name": "a"}) == Outer(name="a", share=0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"share": 1}, "has no name"), ({"name": "a", "inner": 3}, "must be an object, not 3"), ([], "must be an object")],
)
def test_what_is_no_such_object_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Outer.from_json(values)
