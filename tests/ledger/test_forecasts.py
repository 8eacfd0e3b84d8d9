"""A forecast is written once, comes back as it was, and says from which data it was made."""

import hashlib
import json
from dataclasses import replace

import pytest

from lina_lab.errors import LabError
from lina_lab.ledger.forecasts import (
    CURVE,
    SCHEMA,
    CellForecast,
    Datum,
    Forecast,
    GapForecast,
    Predicted,
    data_digest,
    forecasts_of,
    forecasts_text,
    read_forecasts,
    store_forecast,
)
from lina_lab.ledger.plan import Plan
from lina_lab.provenance import Provenance

DATA = (Datum(key="b", value=2.5), Datum(key="a", value=1.0))
PLAN = Plan(name="gates@1a2b3c4d", question="", axes={}, cells=[], omitted=[], id="1a2b3c4d")


def made(second: int = 0, **changes: object) -> Forecast:
    values = {"normalization": "division", "size": "tiny"}
    predicted = Predicted(value=2.0, low=1.0, high=4.0)
    cell = CellForecast(
        key="c", values=values, seed=0, parameters=100, state="waiting", by=CURVE, cells=2, predicted=predicted
    )
    a, b = {"normalization": "division"}, {"normalization": "softmax"}
    gap = GapForecast(
        axis="normalization", a=a, b=b, size="tiny", parameters=100, seeds=(0, 1), pairs=4, predicted=predicted
    )
    whole = Forecast(
        schema=SCHEMA,
        sweep="gates",
        plan="1a2b3c4d",
        metric="val/loss",
        level=0.95,
        data_sha256=data_digest(DATA),
        data=DATA,
        cells=(cell,),
        gaps=(gap,),
        missing=(),
        provenance=Provenance(commit="c0ffee", started=f"2026-01-01T00:00:{second:02d}+00:00"),
    )
    return replace(whole, **changes)


def test_the_digest_is_of_keys_and_values_in_the_order_of_the_keys():
    assert data_digest(DATA) == hashlib.sha256(b'[["a",1.0],["b",2.5]]').hexdigest()


def test_forecasts_come_back_the_oldest_first_for_every_plan_of_the_name(tmp_path):
    stored = [store_forecast(tmp_path, made(second)) for second in (7, 3)]
    assert [path.name[:18] for path in stored] == ["20260101T000007Z-" + stored[0].name[17], stored[1].name[:18]]
    found = forecasts_of(tmp_path, PLAN)
    assert [forecast.date[-8:-6] for forecast in found] == ["03", "07"]
    assert found[1].as_json() == json.loads(json.dumps(made(7).as_json()))
    assert found[1].gaps[0].predicted.holds(4.0)


def test_a_forecast_is_never_written_again_and_another_of_the_same_second_stands_beside_it(tmp_path):
    path = store_forecast(tmp_path, made())
    before = path.stat().st_mtime_ns
    assert store_forecast(tmp_path, made()) == path
    assert path.stat().st_mtime_ns == before
    assert store_forecast(tmp_path, made(metric="fid")) != path
    assert len(forecasts_of(tmp_path, PLAN)) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [('"value": 1.0', '"value": 1.5'), ('"schema": 1', '"schema": 2'), ('"level": 0.95,', ""), ("{", "")],
)
def test_one_that_was_changed_or_is_damaged_is_named(tmp_path, old, new):
    path = store_forecast(tmp_path, made())
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(LabError, match=path.name):
        forecasts_of(tmp_path, PLAN)


def test_a_report_keeps_all_in_one_file(tmp_path):
    path = tmp_path / "forecast.json"
    assert read_forecasts(path) == ()
    path.write_text(forecasts_text([made(1), made(2)]))
    assert forecasts_text(read_forecasts(path)) == path.read_text()
    path.write_text("[{}]")
    with pytest.raises(LabError, match=r"forecast\.json: damaged"):
        read_forecasts(path)
