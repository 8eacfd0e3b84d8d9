"""Published values: the packaged files hold the facts, and every row is drawn or named."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from lina_lab.analysis.literature import (
    DESIGNS,
    FOLDER,
    NO_FID,
    NO_PARAMETERS,
    at_equal_samples,
    batches,
    moving_together,
    on_curves,
    published_fid,
    published_losses,
    with_reasons,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("variant", "steps", "guidance", "params", "fid"),
    [
        ("DiT-XL/2 adaLN-Zero", 400_000, "none", 675e6, 19.47),
        ("DiT-S/8 adaLN-Zero", 400_000, "none", 33e6, 153.6),
        ("MAR-H", None, "3.2 linear", 943e6, 1.55),
        ("VAR-d30", None, "1.5", 2e9, 1.97),
        ("LlamaGen-3B 24x24", None, "yes (not in README table)", 3.1e9, 2.18),
        ("division w768", 200_000, "none", 361.91e6, 13.125459),
        ("subtraction w768", 200_000, "none", 361.91e6, 15.810955),
        ("division+conv w768", 250_000, "2.5", 362.23e6, 2.845642),
        ("LINA-1.4B (final)", 1_200_000, "2.4", 1.4e9, 2.18),
    ],
)
def test_fids_are_those_of_their_sources(variant, steps, guidance, params, fid):
    rows = published_fid()
    rows = rows[(rows["variant"] == variant) & (rows["guidance"] == guidance)]
    rows = rows[rows["steps"].isna()] if steps is None else rows[rows["steps"] == steps]
    assert rows[["params", "fid"]].to_numpy().tolist() == [[params, fid]]
    assert rows["source"].iloc[0].startswith(("arXiv:", "MAR README", "VAR README", "LlamaGen README", "LINA repo"))


@pytest.mark.slow
def test_the_files_have_as_many_facts_as_were_collected():
    fid, losses = published_fid(), published_losses()
    assert (len(fid), len(losses)) == (50, 644)
    assert fid[["fid", "params"]].sum().tolist() == pytest.approx([1185.658256, 29_151_130_000])
    assert losses[["loss", "loss_se"]].sum().tolist() == pytest.approx([551.777422, 5.65653])


def test_losses_are_windows_of_5000_steps_at_the_batch_of_their_width():
    losses = published_losses()
    first = losses.iloc[0]
    assert (first["variant"], first["width"], first["step"], first["loss"]) == ("division", 768, 5000, 1.10396)
    assert (losses["samples"] == losses["step"] * losses["global_batch"]).all()
    assert batches(losses) == {768: 2048, 1024: 1536, 1536: 768}


def test_every_row_is_on_a_curve_or_has_a_reason():
    fid = published_fid()
    assert (fid["curve"].isna() == fid["left_out"].notna()).all()
    reasons = with_reasons(fid)
    assert reasons.loc[fid["params"].isna() & fid["curve"].notna(), "left_out"].tolist() == [NO_PARAMETERS] * 2
    assert len(on_curves(fid)) + reasons["left_out"].notna().sum() == len(fid)
    assert on_curves(fid)[["params", "fid"]].notna().all(axis=None)


def test_a_row_without_a_fid_is_left_out_with_that_reason():
    fid = published_fid()
    fid.loc[0, "fid"] = None
    assert with_reasons(fid)["left_out"].iloc[0] == NO_FID
    assert 0 not in on_curves(fid).index


def test_losses_are_compared_at_samples_that_every_run_logged():
    equal = at_equal_samples(published_losses())
    assert set(equal["samples"]) == {153_600_000}
    assert sorted(equal["width"].tolist()) == [768] * 4 + [1024] * 4 + [1536] * 4
    assert equal.groupby("width")["step"].unique().map(list).to_dict() == {
        768: [75_000],
        1024: [100_000],
        1536: [200_000],
    }


def test_the_designs_curves_rise_and_fall_together_as_the_caption_says():
    losses = published_losses()
    assert 0.998 <= moving_together(losses) < 0.999
    steps = range(5000, 105_000, 5000)
    rows = [
        {"variant": name, "width": 7, "step": step, "loss": (step // 5000) % 2 * sign}
        for name, sign in zip(DESIGNS, (1, 1, 1, -1), strict=True)
        for step in steps
    ]
    assert moving_together(pd.DataFrame(rows)) == pytest.approx(-1)


def test_the_files_are_packed_hatchling_takes_what_git_does_not_ignore():
    files = sorted(FOLDER.glob("*"))
    assert [file.name for file in files] == ["lina_train_loss.csv", "published_fid.csv"]
    assert FOLDER.is_relative_to(ROOT / "lina_lab")
    ignored = subprocess.run(["git", "check-ignore", *map(str, files)], capture_output=True, check=False, cwd=ROOT)
    assert ignored.stdout == b""
