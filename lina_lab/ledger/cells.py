"""The ledger: one folder for each cell, the one source of truth. MLflow, tables and figures are views of it.

    runs/<key>/config.yaml     the resolved experiment
               plugins/        copies of the user's files that its designs come from: see lina_lab/plugins/load.py
               metrics.csv     step, metric, value, time (Unix seconds); rows are only appended
               state.json      how far the cell is (for people; nothing is decided from it)
               attempts/       who worked on it, and how that ended: see leases.py
               checkpoints/    to continue from
               end/            what a longer training goes on from: see ends.py
               continued.json  of such a longer one: the shorter cell, its last step, and the seconds up to there
               samples/        step-000600.png: sample grids; generated.npz: the evaluated images, in a fixed random
                               order, with their numbers; drawn-*/: those images while they are drawn
               ema.safetensors the averaged weights, once training is over
               trained.json    the seconds that it took, and the checksum of those weights
               points/         the same of steps before the last that are measured too: see cell/points.py
               merged.json     of a cell that `lab merge` added, which has no weights: see merged.py
               imported.json   of a cell that `lab import` made: where its weights come from; beside it
                               imported.safetensors, tensors of the checkpoint that the model has no place for
               data.sha256     of the data that it is trained on
               evaluations/    what lab evaluate measured: see cell/reevaluate.py
               guidance.csv    what lab guidance measured: see analysis/guidance.py
               error.txt       the traceback of a cell that failed
               result.json     written last: parameters, FLOPs, metrics, provenance. Done = a valid result.json
    runs/sweeps/<name>.json    the plan of a sweep as it last ran, and all before it: see plan.py
    runs/sweeps/<name>.forecasts/  what its cells were said to reach before they had a result: see forecasts.py

Every file but metrics.csv is written whole and then renamed, so that it is either the old one or the new one.
"""

from pathlib import Path

from lina_lab.config.experiment import SCHEMA, Experiment, cell_key, digests
from lina_lab.config.load import build, read_yaml, write_yaml
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.plugins.load import load_copies, write_copies


def create_cell(runs: Path, experiment: Experiment, key: str | None = None) -> Path:
    """The folder of an experiment's cell, made if it is not there; `key`: an older one, made from its paths.

    While the cell has no result, what does not enter its key (logging, checkpoint, execution) is what was asked for
    last; later only the paths are, whose content the key holds.
    """
    own = cell_key(experiment)
    folder = runs / (key or own)
    path = folder / "config.yaml"
    if folder.name != own:
        experiment = experiment.model_copy(update={"contents": {}})
    if (folder / "result.json").exists() and path.exists():
        text = path.read_text(encoding="utf-8")
        if all(f": {name}\n" in text for name in experiment.contents):
            return folder
        now = {name: getattr(experiment, name) for name in ("data", "evaluation", "contents")}
        experiment = read_experiment(folder).model_copy(update=now)
    write_copies(folder, digests(experiment))
    text = write_yaml({"schema": SCHEMA} | experiment.model_dump(mode="json"))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return folder


def read_experiment(folder: Path) -> Experiment:
    """The experiment of a cell.

    Raises:
        LabError: if the folder is no cell, is of another version, or was changed by hand.
    """
    path = folder / "config.yaml"
    if not path.exists():
        raise LabError(f"{folder}: is no cell: it has no config.yaml")
    document = read_yaml(path)
    schema = document.values.pop("schema", None)
    if schema != SCHEMA:
        raise LabError(f"{path}: key schema: this version of LINA Lab reads schema {SCHEMA}, not {schema}")
    load_copies(folder)
    experiment = build(document)
    if cell_key(experiment) != folder.resolve().name:
        raise LabError(
            f"{path}: was changed: it describes cell {cell_key(experiment)}, not {folder.resolve().name}; "
            "to run a changed experiment use lab train"
        )
    return experiment


def find_cell(runs: Path, name: str) -> Path:
    """The folder of a cell given by path, key or unambiguous start of a key.

    Raises:
        LabError: if there is none, or more than one.
    """
    if (Path(name) / "config.yaml").exists():
        return Path(name)
    found = sorted(p.parent for p in runs.glob("*/config.yaml") if p.parent.name.startswith(name))
    if len(found) != 1:
        keys = ", ".join(p.name for p in found)
        raise LabError(f"{name}: {f'stands for {len(found)} cells: {keys}' if found else f'no such cell in {runs}'}")
    return found[0]
