"""A paper says what the data say, keeps what its authors wrote, and compiles whatever people call things."""

import math
import re
import shutil
import subprocess

import pytest

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.errors import LabError
from lina_lab.escape import shown, writable
from lina_lab.report import paper_figures
from lina_lab.report.page import study_findings
from lina_lab.report.paper import write_paper
from lina_lab.report.paper_figures import further
from lina_lab.report.paper_tables import metric_by_size
from lina_lab.report.paper_words import answers, paper_words
from lina_lab.report.pdflatex import compile_paper
from tests.nasty import NASTY
from tests.study import AXES, FakeStudy, fake_fid
from tests.tex import needs_tex

READABLE = [name for name in NASTY if writable(name) == name]


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take the time of a paper: they are drawn, and not written."""
    monkeypatch.setattr(
        paper_figures, "save", lambda figure, path, formats: path.parent.mkdir(exist_ok=True, parents=True)
    )


@pytest.fixture
def data(study):
    made = study(seeds=[0, 1])
    return report_data_of_ledger(made.runs, made.stored)


def sources(folder):
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.tex")}


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_every_number_is_one_of_the_data(data, tmp_path):
    write_paper(data, tmp_path)
    written = sources(tmp_path)
    macros = dict(re.findall(r"^\\def\\lab(\w+)\{(.*)\}$", written["generated/macros.tex"], re.MULTILINE))
    assert macros["Cells"] == macros["Finished"] == "16"
    assert macros["Designs"] == "4 designs"
    assert macros["Sizes"] == "2 sizes from 100k to 405k parameters"
    assert macros["Seeds"] == "2 training seeds"
    assert macros["EffectA"].startswith("1.100 (95 \\% interval 1.100 to 1.100")
    assert macros["EffectB"].startswith("0.500 (95 \\% interval 0.500 to 0.500")
    cells = written["tables/cells.tex"]
    for row in data.table.to_dict("records"):
        assert f" {row['eval/fid/digits-cnn']:.4g} " in cells
        assert f" {row['parameters']:,} " in cells
    method = written["generated/method.tex"]
    assert "trained for 100 steps of 8 images" in method
    assert "The learning rate is 0.001 for every size and design and was not tuned." in method
    assert "1000 generated and 500 held-out images, features of digits-cnn-1a2b3c4d" in method
    assert "The study has 4 comparisons of two designs, under training seeds 0, 1" in " ".join(method.split())
    assert "98.75\\% each" in method
    assert "To be written" not in method


def test_the_mean_of_a_design_at_a_size_is_geometric_with_its_t_interval(data):
    metric = study_findings(data, lambda share: None, lambda line: None).metric
    table = metric_by_size(data.table, data.plan, metric).set_index("design")
    first, second = fake_fid("nano", 0), fake_fid("nano", 1)
    mean, half = math.sqrt(first * second), 12.706 * abs(math.log(second / first)) / 2
    expected = f"{mean:.3g} ({mean * math.exp(-half):.3g} to {mean * math.exp(half):.3g})"
    assert table.loc["division", "nano"] == expected


def test_an_answer_is_what_a_card_of_the_verdict_says(data):
    results = study_findings(data, lambda share: None, lambda line: None)
    verdict = results.verdict
    said, note = answers(verdict)
    assert note == " ".join(verdict.notes)
    assert [one.name for one in said] == [card.question for card in verdict.cards]
    for one, card in zip(said, verdict.cards, strict=True):
        assert card.sentence in one.text
        assert card.settle in one.text


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_what_people_wrote_is_kept_and_the_rest_is_written_again(data, tmp_path):
    first = write_paper(data, tmp_path)
    assert not first.edited
    before = sources(tmp_path)
    (tmp_path / "paper.tex").write_text("mine")
    (tmp_path / "figures" / "mine.pdf").write_bytes(b"mine")
    (tmp_path / "generated" / "method.tex").write_text("changed")
    again = write_paper(data, tmp_path)
    assert again.edited
    assert (tmp_path / "paper.tex").read_text() == "mine"
    assert (tmp_path / "figures" / "mine.pdf").read_bytes() == b"mine"
    assert sources(tmp_path) == before | {"paper.tex": "mine"}


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_paper_of_another_study_is_not_written_over(data, tmp_path):
    write_paper(data, tmp_path)
    with pytest.raises(LabError, match=r"holds the paper of another study .*give --out another folder"):
        write_paper(data._replace(plan=data.plan._replace(name="faker")), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_an_older_report_says_what_it_did_not_keep(data, tmp_path):
    write_paper(data._replace(settings={}), tmp_path)
    method = (tmp_path / "generated" / "method.tex").read_text()
    assert method.count(r"\tobewritten{") == 3
    assert "trained for 100 steps and sees 800 images" in method


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_cells_without_a_result_are_named_first_and_in_the_appendix(study, tmp_path):
    made = study(seeds=[0, 1])
    made.unfinish(0, "failed", "no memory & no disk")
    made.unfinish(1, "waiting")
    made.change(2, state="diverged", diverged_at=17, metrics={})
    write_paper(report_data_of_ledger(made.runs, made.stored), tmp_path)
    written = sources(tmp_path)
    for name in ("summary", "results"):
        assert "Unfinished: 14 of 16 cells have results; 1 failed, 1 waiting." in written[f"generated/{name}.tex"]
    appendix = written["generated/appendix.tex"].replace(r"\allowbreak{}", "")
    assert r"seed 0 (no memory \& no disk)" in appendix
    assert "at step 17" in appendix


def test_figures_of_the_appendix_are_those_that_the_results_do_not_show():
    names = [
        "scaling",
        "samples",
        "samples-all",
        "training",
        "tuning-learning-rate",
        "sampling-guidance-scale",
        "gates",
    ]
    assert further(names) == ["samples-all", "training", "gates", "tuning-learning-rate", "sampling-guidance-scale"]


def test_words_of_a_study_with_one_seed_claim_no_interval(study):
    made = study()
    data = report_data_of_ledger(made.runs, made.stored)
    results = study_findings(data, lambda share: None, lambda line: None)
    words = paper_words(data, results, ablation_table(data.table, data.plan, results.metric))
    assert not words["many_seeds"]
    assert words["seeds"] == "seed 0"
    assert {macro.value.partition(" (")[2] for macro in words["effects"]} == {"no interval: one seed)"}


@needs_tex
@pytest.mark.slow
def test_the_paper_of_a_study_compiles_within_its_margins(study, tmp_path):
    made = study(seeds=[0, 1], axes=AXES | {"model.size": ["nano", "micro", "tiny", "small"]})
    made.unfinish(3, "failed", "no memory")
    written = write_paper(report_data_of_ledger(made.runs, made.stored), tmp_path)
    compiled = compile_paper(written.source)
    assert compiled.remarks == []
    assert written.unset == {}


@needs_tex
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
def test_the_paper_of_nasty_names_compiles_and_shows_them(tmp_path):
    made = FakeStudy(tmp_path / "runs", [0, 1], AXES)
    own = {0: "a|b <script>alert(1)</script> [ours]", 5: r"$\foo{$ :100: %s \input{/etc/passwd} --x"}
    cells = [c._replace(values=c.values | {"note": own[c.values["conv_kernel"]]}) for c in made.stored.cells]
    axes = made.stored.axes | {"note": "data.note"}
    question = f"{' '.join(READABLE)} é 中 🙂"
    data = report_data_of_ledger(made.runs, made.stored._replace(question=question, cells=cells, axes=axes))
    written = write_paper(data._replace(provenance={"command": r"lab \write18{rm} ``x''"}), tmp_path / "out")
    assert {"中", "🙂"} <= written.unset.keys()
    compiled = compile_paper(written.source)
    assert compiled.remarks == []
    if shutil.which("pdftotext") is None:
        pytest.skip("the PDF compiles; no pdftotext here to read it: apt-get install poppler-utils")
    said = subprocess.run(["pdftotext", str(compiled.pdf), "-"], capture_output=True, text=True, check=True).stdout
    plain = re.sub(r"\s", "", said)
    names = [*(shown(name) for name in READABLE), "é", *own.values(), r"lab \write18{rm} ``x''"]
    assert [name for name in names if re.sub(r"\s", "", name) not in plain] == []
