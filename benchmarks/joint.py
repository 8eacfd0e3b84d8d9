"""How often `lab fit --joint` claims another exponent where there is none, and how often its factors hold the truth.

    OMP_NUM_THREADS=1 PYTHONPATH=tests/analysis/scaling_fit python benchmarks/joint.py [--studies 20] [--out FILE.json]

Studies of known truth are those of tests/analysis/scaling_fit/joint_studies.py: two designs, 4 sizes, 4 lengths and 3
seeds (12 clusters), and 3, 3 and 2 (6 clusters). `±` is the binomial standard error of a rate.
"""

import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from joint_studies import FACTOR, SCENARIOS, Shape, study

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.efficiency import EXPONENT, Joint, joint
from lina_lab.provenance import provenance

SHAPES = (Shape(4, 4, 3), Shape(3, 3, 2))
DRAWS = 100


def rate(hits: list[bool]) -> dict[str, float]:
    """A share with its standard error."""
    share = sum(hits) / len(hits)
    return {"rate": round(share, 4), "±": round(math.sqrt(share * (1 - share) / len(hits)), 4)}


def below(p: float | None) -> bool:
    return p is not None and p < 0.05


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def summary(found: list[Joint], factor: float | None) -> dict[str, Any]:
    """Rates over studies; coverage where the truth is a factor."""
    each = [one.designs[0] for one in found]
    rates: dict[str, Any] = {
        "says": dict(Counter(str(one.says) for one in each)),
        "says another exponent": rate([one.says == EXPONENT for one in each]),
        "p of factors against exponents below 0.05": rate([below(one.tests.exponents.p) for one in each]),
        "the same beside a floor of its own": rate([below(one.tests.exponents_beside_floor.p) for one in each]),
        "p of no difference below 0.05": rate([below(one.tests.difference.p) for one in each]),
    }
    if factor is not None:
        rates |= {
            "factor of data alone: holds": rate([holds(one.factor, factor) for one in each]),
            "factor of data alone: median width of its logarithm": float(
                np.median([math.log(one.factor.high / one.factor.low) for one in each])
            ),
            "factor of parameters: holds": rate([holds(one.factors[0], 1.0) for one in each]),
            "factor of data: holds": rate([holds(one.factors[1], factor) for one in each]),
            "factor of compute: holds": rate([holds(one.product, factor) for one in each]),
        }
    return rates


def main(studies: int = 20, out: Annotated[Path | None, typer.Option()] = None) -> None:
    results = []
    begin = time.process_time()
    for number, (scenario, words) in enumerate(SCENARIOS.items()):
        for shape in SHAPES:
            rngs = [np.random.default_rng([seed, number, *shape]) for seed in range(studies)]
            found = [joint(*study(scenario, shape, rng, DRAWS)) for rng in rngs]
            factor = {"no difference": 1.0, "floors differ": None, "another exponent": None}.get(scenario, FACTOR)
            results.append({"scenario": scenario, "truth": words, **shape._asdict(), "studies": studies})
            results[-1] |= summary(found, factor)
            print(json.dumps(results[-1], ensure_ascii=False), flush=True)
            seconds = round((time.process_time() - begin) / studies / len(results), 3)
            found_so_far = {"processor seconds a study": seconds, "draws": DRAWS, "results": results}
            if out is not None:
                out.write_text(json.dumps(found_so_far | {"provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
