"""Sentences about how values were measured: each once, with its numbers, and none where there is nothing to say."""

from dataclasses import replace

from lina_lab.analysis.notes import noted, notes, notes_of
from lina_lab.ledger.result import RepeatedImages
from tests.study import fake_result

PLAIN = fake_result("a-key", 0, 100, 1.0).evaluation
REPEATS = RepeatedImages(images=1850, of=2000, example=["b/2.png", "a/1.png"])


def test_a_record_says_what_training_has_too_and_what_was_not_drawn():
    assert noted(replace(PLAIN, heldout_in_training=REPEATS, classes_not_drawn=[2, 7])) == {
        "heldout_in_training": "1,850 of 2,000 (as b/2.png, which is a/1.png)",
        "classes_not_drawn": "2, 7",
    }


def test_a_record_without_either_says_nothing():
    none = RepeatedImages(images=0, of=2000, example=None)
    assert noted(PLAIN) == noted(replace(PLAIN, heldout_in_training=none, classes_not_drawn=[])) == {}


def test_records_that_say_the_same_make_one_sentence():
    two, three = (replace(PLAIN, classes_not_drawn=[number]) for number in (2, 3))
    sentences = notes_of([two, PLAIN, two, three])
    assert [s.split(":")[1].split(".")[0] for s in sentences] == [" 2", " 3"]
    assert notes({"classes_not_drawn": ["2", "2", "3"], "other": ["x"]}) == sentences
