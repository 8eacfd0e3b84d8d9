"""Measurements of a trained cell that several machines are asked for, and what names one."""

import contextlib
import json
import threading

import numpy as np
import pytest

from lina_lab.cell import reevaluate
from lina_lab.cell.reevaluate import load_measured_cell, measure_cell
from lina_lab.errors import LabError
from lina_lab.evaluation.reference import read_reference
from lina_lab.ledger.leases import Watch, claim
from lina_lab.sampling.image_set import DrawnSet
from tests.cells import DIGITS, trained_cell

OTHERS = {"metrics": {"eval/fid/digits-cnn": 7.0}, "fid_deviations": [0.5, -0.5], "seconds": {"sampling": 1.0}}


@pytest.fixture
def subject(tmp_path):
    return load_measured_cell(trained_cell(tmp_path, DIGITS | {"evaluation": {"num_samples": 520}}), {}, None)


def nothing(progress):
    """Told of nothing."""


def record_of(subject):
    return subject.folder / "evaluations" / f"{reevaluate._identity(subject)}.json"


@pytest.mark.slow
def test_once_another_machine_has_measured_nothing_more_is_drawn(subject, monkeypatch):
    drawn, make = [], reevaluate.drawer

    def drawer(*arguments):
        draw = make(*arguments)

        def draw_one(first, last, progress):
            drawn.append(first)
            record_of(subject).write_text(json.dumps(OTHERS))
            return draw(first, last, progress)

        return draw_one

    monkeypatch.setattr(reevaluate, "drawer", drawer)
    found = measure_cell(subject, nothing)
    assert drawn == [0]
    assert (found.metrics, found.fid_deviations, found.seconds) == (OTHERS["metrics"], (0.5, -0.5), 1.0)
    assert not record_of(subject).with_suffix("").exists()


@pytest.mark.slow
def test_one_machine_measures_and_the_others_wait_for_it(subject, monkeypatch):
    monkeypatch.setattr(reevaluate, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(reevaluate, "measure", lambda *arguments: pytest.fail("measured twice"))
    path = record_of(subject)
    held = claim(path.with_suffix(""), Watch())

    def other():
        while DrawnSet(path.with_suffix(""), 520).missing():
            threading.Event().wait(0.02)
        threading.Event().wait(0.3)
        path.write_text(json.dumps(OTHERS))
        with contextlib.suppress(FileNotFoundError):
            held.end("done")

    with held:
        thread = threading.Thread(target=other)
        thread.start()
        assert measure_cell(subject, nothing).metrics == OTHERS["metrics"]
        thread.join()


@pytest.mark.slow
def test_a_machine_that_is_gone_is_waited_for_no_longer(subject, monkeypatch):
    path = record_of(subject)
    held = claim(path.with_suffix(""), Watch())
    gone = json.loads(held.attempt.path.read_text()) | {"born": 1}
    held.attempt.path.write_text(json.dumps(gone))
    assert measure_cell(subject, nothing).metrics["eval/fid/digits-cnn"] > 0


@pytest.mark.slow
def test_whatever_changes_a_measurement_changes_its_name(subject, tmp_path):
    statistics = {"mu": np.zeros(32), "sigma": np.eye(32)}
    references = []
    for scale in (1, 2):  # at one path
        np.savez(tmp_path / "x.npz", mu=statistics["mu"], sigma=scale * statistics["sigma"])
        references.append(subject._replace(reference=read_reference(tmp_path / "x.npz", subject.extractor)))
    folder = subject.folder
    others = [
        subject,
        *references,
        subject._replace(weights="f" * 64),
        subject.sampled(guidance_scale=1.5),
        subject.sampled(flow_steps=4),
        load_measured_cell(folder, {"evaluation": {"num_samples": 530}}, None),
        load_measured_cell(folder, {}, 3),
        subject._replace(extractor=subject.extractor._replace(id="digits-cnn-other")),
    ]
    assert len({reevaluate._identity(other) for other in others}) == len(others)
    assert reevaluate._identity(load_measured_cell(folder, {}, None)) == reevaluate._identity(subject)


@pytest.mark.slow
def test_a_damaged_record_is_named(subject):
    path = record_of(subject)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(LabError, match=r"\.json: damaged: .*; delete it, and it will be measured again"):
        measure_cell(subject, nothing)
