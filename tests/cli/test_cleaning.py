"""What `lab clean` takes away of the checkpoints of a cell."""

from lina_lab.cli.cleaning import clean_up


def test_checkpoints_go_whether_files_or_folders_and_what_is_damaged_in_them_counts_once(study, capsys):
    study = study()
    folder = study.folder(0)
    (folder / "checkpoints" / "step-0000004.ckpt").mkdir(parents=True)
    (folder / "checkpoints" / "step-0000008.ckpt.damaged").mkdir()
    for file in ("step-0000004.ckpt/0-of-1.pt", "step-0000008.ckpt.damaged/0-of-1.pt", "step-0000012.ckpt.damaged"):
        (folder / "checkpoints" / file).write_bytes(bytes(2**20))
    clean_up(study.runs, [], sure=True)
    assert capsys.readouterr().out == f"     3.0 MiB  {folder / 'checkpoints'}\nremoved 1, 3.0 MiB\n"
    assert not (folder / "checkpoints").exists()
    assert (folder / "result.json").exists()


def test_damaged_checkpoints_of_a_cell_without_a_result_go_and_whole_ones_stay(study, capsys):
    study = study()
    folder = study.folder(0)
    (folder / "result.json").unlink()
    (folder / "checkpoints" / "step-0000008.ckpt.damaged").mkdir(parents=True)
    (folder / "checkpoints" / "step-0000004.ckpt").mkdir()
    clean_up(study.runs, [], sure=True)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-0000004.ckpt"]
