"""Whether studies that are planned for a power of 0.8 are decided that often, with pilots of 2 and 3 seeds.

    OMP_NUM_THREADS=1 python benchmarks/power.py [--pilots 300] [--out FILE.json]

Three sizes, noise of 2 % in both designs, correlated 0.8; the gap of the designs is the same at every size, drawn from
a normal distribution about 0 whose deviation is 1, 2 or 4 times that of one pair, or 0. A plan takes the fewest seeds
up to 10 with which power is 0.8, by three reckonings: with the gap known ("known"); at the pilot's estimate
("estimate"); over all that the pilot leaves open ("expected", what `lab plan` goes by). The study has the pilot's cells
and new ones of the true gap. Planned and decided: mean power that the plan said, and share whose verdict names the
design that is ahead, with its binomial standard error. Without a difference: share of all pilots whose study, if one
was planned, tells of one; and the same for studies of as many seeds that are new throughout.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from lina_lab.analysis.decisions import better_there, study_pairs
from lina_lab.analysis.power import ENOUGH, Truth, drawn_truths, kept_values, pilot_of, right, simulated
from lina_lab.provenance import provenance

SPREAD = 0.02**2 * np.array([[1, 0.8], [0.8, 1]])
OF_PAIR = 0.02 * math.sqrt(0.4)
SIZES, MOST, DRAWS = 1e6 * 3.0 ** np.arange(3), 10, 200


def truth(gap: float, draws: int = 1) -> Truth:
    means = 3 + np.tile([gap / 2, -gap / 2], (3, 1))
    roots = np.broadcast_to(np.linalg.cholesky(SPREAD), (draws, 3, 2, 2))
    return Truth(means, np.broadcast_to(means, (draws, 3, 2)), roots, np.zeros((draws, 2, 2)))


def planned(of: Truth, first: int, done: Any) -> tuple[int, float] | None:
    """The fewest seeds with enough power, and that power."""
    for seeds in range(first, MOST + 1):
        power = right(simulated(of, seeds, done(seeds)), of, 0.95)
        if power >= ENOUGH:
            return seeds, power
    return None


def one_pilot(gap: float, seeds: int, number: int) -> dict[str, tuple[float, bool, bool]]:
    """By reckoning: the power that was planned, whether the study names the better design, and whether it names any."""
    whole = simulated(truth(gap), MOST, seed=number)
    pilot = pilot_of(study_pairs(whole[0, :, :seeds], SIZES))
    drawn = drawn_truths(pilot, pilot.x, DRAWS, number)

    def kept(count: int) -> Any:
        return kept_values(pilot, pilot.sizes, [str(n) for n in range(count)])

    plans = {
        "known": planned(truth(gap, DRAWS), 2, lambda count: None),
        "estimate": planned(drawn.with_gaps(drawn.seen), seeds, kept),
        "expected": planned(drawn, seeds, kept),
    }
    found = {}
    for name, plan in plans.items():
        if plan is not None:
            decision = int(better_there(whole[:, :, : plan[0]])[0])
            found[name] = (plan[1], decision * gap > 0, decision != 0)
    return found


def rows(pilots: int) -> list[dict[str, Any]]:
    told = []
    for seeds in (2, 3):
        for spread in (0, 1, 2, 4):
            rng = np.random.default_rng(spread)
            studies = [one_pilot(spread * OF_PAIR * rng.normal(), seeds, 1000 + n) for n in range(pilots)]
            for name in ("known", "estimate", "expected"):
                of = np.array([study[name] for study in studies if name in study], dtype=float).reshape(-1, 3)
                if not len(of):
                    continue
                share = float(of[:, 1].mean())
                told.append(
                    {
                        "pilot seeds": seeds,
                        "deviation of gaps": spread,
                        "reckoning": name,
                        "planned at all": round(len(of) / pilots, 3),
                        "planned": round(float(of[:, 0].mean()), 3),
                        "decided": round(share, 3),
                        "error": round(math.sqrt(share * (1 - share) / len(of)), 3),
                        "told of one": round(float(of[:, 2].sum()) / pilots, 3),
                    }
                )
    return told


def main(
    pilots: Annotated[int, typer.Option(help="of each kind")] = 300,
    out: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Simulate, print, and keep."""
    found = rows(pilots)
    for row in found:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if out:
        out.write_text(json.dumps({"provenance": provenance().as_json(), "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
