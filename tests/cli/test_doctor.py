"""`lab doctor`: what it says is true."""

from lina_lab.evaluation import extractors


def test_doctor_says_what_is_here_and_what_is_missing(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(extractors.INCEPTION_VARIABLE, raising=False)
    output = lab("doctor", "--runs", str(tmp_path / "runs"))
    assert "MISSING" not in output
    assert "digits-cnn-03bf5405" in output
    assert "needed for extractor inception alone" in output
    assert extractors.INCEPTION_FILE in output


def test_doctor_names_a_package_that_is_missing(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.cli.doctor.REQUIRED", ("torch", "no-such-package"))
    assert "MISSING: pip install no-such-package" in lab("doctor", "--runs", str(tmp_path))
