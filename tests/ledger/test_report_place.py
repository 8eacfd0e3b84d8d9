"""Where a report lies is known until it is moved, damaged, or of another plan."""

from lina_lab.ledger.report_place import note_report, report_of


def test_a_report_is_found_from_the_runs_wherever_these_are_moved_with_it(study, tmp_path):
    made, folder = study(), tmp_path / "reports" / "fake"
    assert report_of(made.runs, made.stored) is None
    folder.mkdir(parents=True)
    note_report(made.runs, made.stored, folder, ["a", "b"])
    assert report_of(made.runs, made.stored) is None  # no page yet
    (folder / "index.html").touch()
    found = report_of(made.runs, made.stored)
    assert (found.folder.resolve(), found.verdict) == (folder.resolve(), ["a", "b"])
    assert report_of(made.runs, made.stored._replace(id="0" * 8)) is None
    (made.runs / "sweeps" / "fake.report.json").write_text("{")
    assert report_of(made.runs, made.stored) is None
