"""`lab doctor`: what it says is true."""

from lina_lab.evaluation.published_extractors import WEIGHTS


def test_doctor_says_what_is_here_and_what_is_missing(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for entry in WEIGHTS.values():
        monkeypatch.delenv(entry.variable, raising=False)
    output = lab("doctor", "--runs", str(tmp_path / "runs"))
    assert "MISSING" not in output
    assert "digits-cnn-03bf5405" in output
    for name, entry in WEIGHTS.items():
        assert f"needed for extractor {name} alone: get {entry.file} from {entry.source}" in output
        assert entry.variable in output


def test_doctor_names_a_package_that_is_missing(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.cli.doctor.REQUIRED", ("torch", "no-such-package"))
    assert "MISSING: pip install no-such-package" in lab("doctor", "--runs", str(tmp_path))
