"""The page: says what the table shows, and nothing else."""

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from safetensors.numpy import save_file

from lina_lab.analysis import gap_model
from lina_lab.analysis.guidance import add_point
from lina_lab.analysis.table_file import read_table
from lina_lab.cli.sweep_results import print_results
from lina_lab.errors import LabError
from lina_lab.ledger.plan import store_plan
from lina_lab.ledger.result import RepeatedImages, read_result, write_result
from lina_lab.report import page as report_page
from lina_lab.report.page import redraw_report, write_report
from lina_lab.sheets import Row, sheet, write_sheet
from tests.analysis.test_guidance import point
from tests.study import AXES, PROVENANCE, TWO, FakeStudy

FORMATS = report_page.FORMATS


@pytest.fixture(autouse=True)
def one_format(monkeypatch):
    """Half of a report's seconds are for formats that few tests look at."""
    monkeypatch.setattr("lina_lab.report.page.FORMATS", ("png",))


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are drawn, and not written, which takes the time."""
    monkeypatch.setattr("lina_lab.report.page.save", lambda *_: None)


def text_of(path):
    plain = re.sub(r"<style>.*?</style>|<[^>]+>", " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", plain.replace("&#39;", "'"))


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_the_page_says_the_ratios_of_the_table(study, tmp_path):
    made = study()
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    assert "Which is better?" in page
    assert (
        "conv_kernel 5 against 0: at 402k parameters FID is 0.5 to 0.5 times as high; "
        "lower beyond chance in 0 of 2 designs, higher in 0, undetermined in 2." in page
    )
    assert " What no conv needs of the training FLOPs of conv for the same FID is unknown" in page
    assert "one seed: the spread over seeds was not measured" in page
    assert "against division: at 400k parameters FID is 1.1 to 1.1 times as high" in page
    assert "division: FID 80 at 100k parameters, 50 at 400k." in page
    assert "No verdict is given" in page
    assert "digits-cnn-1a2b3c4d" in page
    assert "c0ffee" in page


@pytest.mark.slow
def test_rates_that_the_sweep_sets_stand_in_the_table_and_among_what_is_not_known(tmp_path):
    rate = {"where": {"model.size": "micro"}, "set": {"training.learning_rate": 0.5}}
    made = FakeStudy(tmp_path / "runs", [0], AXES, set_where=[rate])
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    assert "Learning rates from 0.001 to 0.5 were set for its parts, not tuned in it." in page
    assert "learning rates were chosen before the study, from trials that it does not know;" in page
    table = (tmp_path / "out" / "table.md").read_text()
    heading = next(line for line in table.splitlines() if "learning_rate" in line)
    rows = [line for line in table.splitlines() if "micro" in line and line.startswith("|")]
    place = [word.strip() for word in heading.split("|")].index("learning_rate")
    assert {row.split("|")[place].strip() for row in rows} == {"0.5"}


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_the_page_and_the_terminal_name_what_was_not_drawn_and_what_training_has_too(study, tmp_path, capsys):
    made = study()

    def note(**noted: object) -> None:
        for cell in made.plan.cells:
            result = read_result(made.runs / cell.key)
            write_result(made.runs / cell.key, replace(result, evaluation=replace(result.evaluation, **noted)))

    pair = RepeatedImages(images=85, of=90, example=["b/2.png", "a/1.png"])
    note(heldout_in_training=pair, classes_not_drawn=[2, 7])
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    print_results(made.stored, made.runs, {})
    for told in (page, " ".join(capsys.readouterr().out.split())):
        sentence = "Held-out images that training has too, pixel for pixel: 85 of 90 (as b/2.png, which is a/1.png)."
        assert told.count(sentence) == 1
        assert told.count("since their share of the images is none: 2, 7.") == 1
    note(heldout_in_training={"images": 0, "of": 90, "example": None}, classes_not_drawn=None)
    assert "pixel for pixel" not in text_of(write_report(made.runs, made.stored, tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_with_seeds_the_page_gives_intervals(study, tmp_path):
    made = study(seeds=[0, 1])
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    assert "lower beyond chance in 2 of 2 designs, higher in 0." in page
    assert "By the intervals at each size: nano 2 lower, 0 higher, 0 open; micro 2 lower, 0 higher, 0 open." in page
    assert "all 4 hold together in 95 % of studies" in page
    averaged = "Averaged over all sizes and settings the ratio is 0.500 (95 % interval, taken by itself, 0.500 to 0.500"
    assert averaged in page
    assert "No verdict is given" not in page


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_the_verdict_stands_first_and_gives_every_reason_against_a_claim(study, tmp_path, monkeypatch):
    monkeypatch.setattr(gap_model, "DRAWS", 50)
    made = study(seeds=[0, 1, 2], axes=AXES | {"model.size": ["nano", "micro", "tiny", "small"]})
    path = write_report(made.runs, made.stored, tmp_path / "out")
    headings = re.findall("<h2>(.*?)</h2>", path.read_text())
    assert headings[:3] == ["Verdict", "What this study cannot say", "Scaling"]
    page = text_of(path)
    verdict = page[page.index("conv_kernel 5 against 0") :]
    assert "Which scales better is undetermined in 2 of 2 designs: the learning rate was not tuned for every" in verdict
    fits = read_table(tmp_path / "out" / "fits.csv")
    assert fits["form"].tolist() == ["power", "offset"] * 4
    assert page.count("E + A N^-α") == 4
    assert "nothing checks the law" not in page


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_two_sizes_are_said_to_check_no_law(study, tmp_path):
    made = study()
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    assert "Two sizes always lie on a power law: nothing here checks that one is right." in page
    assert page.count("a line through two points always fits, so that nothing checks the law") == 4
    assert all("two sizes alone" in notes for notes in read_table(tmp_path / "out" / "fits.csv")["notes"])


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_the_numbers_on_the_page_are_those_of_the_csv(study, tmp_path):
    made = study()
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row in rows:
        assert f" {float(row['eval/fid/digits-cnn']):.4g} " in page
        assert f" {int(float(row['parameters'])):,} " in page


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_an_unfinished_sweep_says_so(study, tmp_path):
    made = study()
    made.unfinish(0, "failed", "no memory")
    made.unfinish(1, "waiting")
    made.change(2, state="diverged", diverged_at=17, metrics={})
    page = text_of(write_report(made.runs, made.stored, tmp_path / "out"))
    assert "failed: division conv_kernel=0 nano, seed 0 (no memory)" in page
    assert "1 of 8 cells are waiting or running: this is no report of the whole study" in page
    assert "diverged: division conv_kernel=5 nano, seed 0, at step 17" in page


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_an_unfinished_report_says_so_first_everywhere_and_counts_only_what_has_results(study, tmp_path):
    made = study(seeds=[0, 1])
    for index, cell in enumerate(made.plan.cells):
        if cell.seed == 1:
            made.unfinish(index, "waiting")
    said = []
    out = tmp_path / "out"
    page = write_report(made.runs, made.stored, out, tell=said.append)
    note = "Unfinished: 8 of 16 cells have results; 8 waiting."
    assert said[0] == note
    text = text_of(page)
    assert text.index(note) < text.index("Which is better?") < text.index("Verdict")
    for name in ("table", "ablation"):
        assert (out / f"{name}.md").read_text().startswith(f"**{note}**\n\n| ")
        assert (out / f"{name}.tex").read_text().startswith(f"% {note}\n\\begin{{tabular}}")
    assert re.search(r"seeds 0 time .* minutes of one core for 8 cells", text)
    assert "the spread over training seeds was not measured. No verdict is given." in text
    assert "95 % t interval over training seeds" not in text


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_models_at_chance_are_named_first_everywhere_and_then_each_axis_value_in_a_sentence(study, tmp_path):
    made = study(axes=TWO)
    for cell in made.plan.cells:
        result = read_result(made.runs / cell.key)
        metrics = {**result.metrics, "eval/class_accuracy/digits-cnn": 0.104}
        write_result(made.runs / cell.key, replace(result, metrics=metrics))
    said, out = [], tmp_path / "out"
    text = text_of(write_report(made.runs, made.stored, out, tell=said.append))
    note, answer, sentence = said
    assert note.startswith("Nothing learnt: 2 of 2 models are no better than chance")
    assert answer == "Nothing is decided: no model has learnt anything, so FID tells no designs apart."
    assert sentence.startswith("[undetermined] Is subtraction better than division? The models have learnt nothing")
    assert text.index(note) < text.index("Which is better?") < text.index("Verdict")
    assert (out / "table.md").read_text().startswith(f"**{note}**\n\n| ")
    assert (out / "table.tex").read_text().startswith(f"% {note}\n\\begin{{tabular}}")


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_a_finished_report_has_no_note(study, tmp_path):
    made = study(axes=TWO)
    said = []
    page = write_report(made.runs, made.stored, tmp_path / "out", tell=said.append)
    answer, card = said
    assert answer.startswith("Nothing is decided: one seed")
    assert card.startswith("[undetermined] Is subtraction better than division? ")
    assert "nfinished" not in text_of(page)
    assert (tmp_path / "out" / "table.md").read_text().startswith("| ")


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_a_report_of_another_plan_is_kept_and_the_user_is_told(study, tmp_path):
    made = study(axes=TWO)
    out, said = tmp_path / "out", []
    write_report(made.runs, made.stored, out)
    few = store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:1]), PROVENANCE)
    write_report(made.runs, few, out, tell=said.append)
    aside = tmp_path / f"out@{made.stored.id}"
    assert said[-1] == f"moved to {aside}: the report of another plan, which was in {out}"
    assert len(read_table(aside / "table.csv")) == 2
    assert len(read_table(out / "table.csv")) == 1


def test_a_sweep_of_diverged_cells_is_reported_as_that(study, tmp_path):
    made = study()
    for index in range(8):
        made.change(index, state="diverged", diverged_at=10 + index, metrics={})
    with pytest.raises(LabError, match="all 8 cells diverged, at steps 10 to 17"):
        write_report(made.runs, made.stored, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_finished_is_an_error_and_writes_nothing(study, tmp_path):
    made = study()
    for index in range(8):
        made.unfinish(index, "waiting")
    with pytest.raises(LabError, match="no cell has a FID yet"):
        write_report(made.runs, made.stored, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_same_ledger_gives_the_same_bytes(study, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.report.page.FORMATS", FORMATS)
    made = study(seeds=[0, 1])
    for name in ("a", "b"):
        write_report(made.runs, made.stored, tmp_path / name)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [p.name for p in first] == [p.name for p in second]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_a_report_is_drawn_again_from_its_folder_alone_to_the_same_bytes(study, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.report.page.FORMATS", FORMATS)
    made = study(seeds=[0, 1])
    gate = np.arange(40, dtype="float32").reshape(2, 20)
    save_file({"decoder.0.attention.gates.key": gate}, made.folder(0) / "ema.safetensors")
    for index in (0, 2, 6):
        path = made.folder(index) / "samples" / "generated.npz"
        path.parent.mkdir()
        images = np.random.default_rng(index).integers(0, 256, (90, 8, 8, 3)).astype(np.uint8)
        np.savez(path, arr_0=images, labels=np.arange(90) % 12)
        for step in (5, 100):
            noise = np.random.default_rng((index, step)).integers(0, 256, (4, 10, 8, 8, 3)).astype(np.uint8)
            drawn = sheet([Row(list(row)) for row in noise], [str(label) for label in range(10)])
            write_sheet(path.parent / f"step-{step:07d}.png", drawn)
    made.unfinish(1, "failed", "no memory")
    made.change(3, state="diverged", diverged_at=17, metrics={})
    out = tmp_path / "out"
    write_report(made.runs, made.stored, out)
    shutil.rmtree(made.runs)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert b'data-steps="5 100"' in before["index.html"]
    data = {
        "plan.json",
        "settings.json",
        "table.csv",
        "table.parquet",
        "curves.csv",
        "gates.parquet",
        "samples.npz",
        "samples-steps.npz",
        "provenance.json",
    }
    drawn = before.keys() - data
    assert {"index.html", "samples.png", "gates.svg", "ablation.csv", "table.md"} <= drawn
    for name in drawn:
        (out / name).unlink()
    redraw_report(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "samples-steps.npz").unlink()  # as in an older report
    assert not re.search("type=.range|<script", redraw_report(out).read_text())


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_what_was_measured_in_other_ways_stands_on_the_page(study, tmp_path):
    made = study(axes=TWO)
    assert "Measured in other ways" not in text_of(write_report(made.runs, made.stored, tmp_path / "before"))
    for scale, fid in ((1.5, 3.25), (2.0, 3.75)):
        add_point(made.folder(0) / "guidance.csv", point(scale, fid=fid))
    add_point(made.folder(0) / "guidance.csv", point(2.0, fid=4.5, num_samples=100))
    path = write_report(made.runs, made.stored, tmp_path / "out")
    assert "FID against guidance scale" in path.read_text()
    page = text_of(path)
    assert "division conv_kernel=0 nano, seed 0 lab guidance 1.5 16 25 500 0 3.25 ± 0.1" in page
    assert "division conv_kernel=0 nano, seed 0 lab guidance 2 16 25 100 0 4.5 ± 0.1" in page
    shutil.rmtree(made.runs)
    before = path.read_bytes()
    assert redraw_report(tmp_path / "out").read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_a_report_of_an_older_version_is_drawn_again_with_what_it_has(study, tmp_path):
    made = study(axes=TWO)
    out = tmp_path / "out"
    page = text_of(write_report(made.runs, made.stored, out))
    (out / "provenance.json").unlink()
    (out / "samples.png").write_bytes(b"drawn before")
    again = redraw_report(out)
    assert "ZHJhd24gYmVmb3Jl" in again.read_text()
    for told in ("c0ffee", "a processor", "lab sweep fake.yaml", "2026-01-01", "0.4 minutes of one core for 2 cells"):
        assert told in page
        assert told in text_of(again)
    assert "2 cores" in page
    assert "2 cores" not in text_of(again)


@pytest.mark.slow
def test_the_page_needs_no_network_and_escapes_what_it_shows(study, tmp_path):
    made = study()
    question = made.stored._replace(question="<script>alert(1)</script>")
    path = write_report(made.runs, question, tmp_path / "out")
    assert "<script" not in path.read_text()

    class References(HTMLParser):
        found: list = []

        def handle_starttag(self, tag, attributes):
            self.found += [value for name, value in attributes if name in {"src", "href"}]

    References().feed(path.read_text())
    assert References.found
    assert all(value.startswith("data:") for value in References.found)


@pytest.mark.slow
@pytest.mark.usefixtures("unsaved")
def test_page_markdown_json_and_terminal_say_the_same_of_every_card(study, tmp_path):
    made, out, said = study(seeds=[0, 1]), tmp_path / "out", []
    page = text_of(write_report(made.runs, made.stored, out, tell=said.append))
    verdict = json.loads((out / "verdict.json").read_text())
    markdown = (out / "verdict.md").read_text()
    assert page.index(verdict["answer"]) < page.index("Verdict")
    assert said[0] == verdict["answer"]
    for card, line in zip(verdict["cards"], said[1:], strict=True):
        assert line == f"[{card['badge']}] {card['question']} {card['sentence']}"
        for words in (card["question"], card["badge"], card["sentence"], card["settle"]):
            assert words in page
            assert words in markdown.replace("\\", "")
        assert (out / "index.html").read_text().count(f"<h3>{card['question']}</h3>") == 1
    assert all(note in page for note in verdict["notes"])
    assert (out / "index.html").read_text().count('<svg class="effect" role="img"') == len(verdict["cards"])
