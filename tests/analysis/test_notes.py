"""Sentences about how values were measured: each once, with its numbers, and none where there is nothing to say."""

from lina_lab.analysis.notes import noted, notes, notes_of

REPEATS = {"images": 1850, "of": 2000, "example": ["b/2.png", "a/1.png"]}


def test_a_record_says_what_training_has_too_and_what_was_not_drawn():
    assert noted({"heldout_in_training": REPEATS, "classes_not_drawn": [2, 7]}) == {
        "heldout_in_training": "1,850 of 2,000 (as b/2.png, which is a/1.png)",
        "classes_not_drawn": "2, 7",
    }


def test_a_record_without_either_says_nothing():
    assert noted({}) == noted({"heldout_in_training": REPEATS | {"images": 0}, "classes_not_drawn": []}) == {}


def test_records_that_say_the_same_make_one_sentence():
    sentences = notes_of([{"classes_not_drawn": [2]}, {}, {"classes_not_drawn": [2]}, {"classes_not_drawn": [3]}])
    assert [s.split(":")[1].split(".")[0] for s in sentences] == [" 2", " 3"]
    assert notes({"classes_not_drawn": ["2", "2", "3"], "other": ["x"]}) == sentences
