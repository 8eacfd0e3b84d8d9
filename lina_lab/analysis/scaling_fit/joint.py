"""One surface for several designs: y = E + A_k x^-alpha_k + B_k d^-beta_k of design k, with one floor E.

Where exponents are shared, a coefficient of its own is a factor of efficiency: B_k = B f^beta is B (d / f)^-beta, so
that design k needs f times the data of the first design; A_k likewise f times the parameters. Both are identified where
x and d vary separately. Where training FLOPs go with x d, their product is the factor of compute at every budget.

The fit is least squares in log y: models are compared by the ratio of their likelihoods. All terms but the floor are
exp of something linear in the parameters.
Shapes: R rows (starts or resamples), n points, T terms, K designs, p parameters.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lina_lab.analysis.scaling_fit.fits import FORMS, Form, prepare
from lina_lab.analysis.scaling_fit.profiles import of_squares
from lina_lab.analysis.scaling_fit.solver import CHUNK, NEVER, STEEPEST, Array, Bounds, Local, descend, places

FLOORS = (0.0, 0.5, 0.8, 0.95, 0.99)
"""Starts: shares of the lowest y."""
TOLERANCE = 1e-7
"""Of parameters in resamples."""

Own = frozenset[str]
"""The parameters that a design has for itself; the others are the first design's."""


class Levels(NamedTuple):
    """What a design may have of its own, from nothing to everything."""

    same: Own
    factor: Own
    """One factor: on d for a surface, on x for a curve."""
    factors: Own
    """A factor on every column."""
    exponents: Own
    """Exponents, too."""
    floor: Own
    """Factors, and a floor."""
    everything: Own


def levels(form: str) -> Levels:
    """Of a form with a floor."""
    names = FORMS[form].names
    coefficients = frozenset(name for name in names if name.isupper() and name != "E")
    return Levels(
        same=frozenset(),
        factor=frozenset(names[-2:-1]),
        factors=coefficients,
        exponents=frozenset(names) - {"E"},
        floor=coefficients | {"E"},
        everything=frozenset(names),
    )


class Data(NamedTuple):
    """Values of several designs."""

    form: str
    x: Array
    """# (n, columns)"""
    y: Array
    """# (n,)"""
    design: NDArray[np.intp]
    """The number of each point's design, from 0, which others are compared with.  # (n,)"""

    @property
    def num_designs(self) -> int:
        return int(self.design.max()) + 1


class JointProblem(NamedTuple):
    """log ŷ = log(floor θ + Σ_t exp(terms_t θ)), by least squares."""

    floor: Array
    """# (n, p)"""
    terms: Array
    """# (T, n, p)"""
    target: Array
    """log y about its mean.  # (R or 1, n)"""

    def rows(self, index: NDArray[np.intp]) -> "JointProblem":
        """The problem of some rows alone."""
        return self if len(self.target) == 1 else self._replace(target=self.target[index])

    def curve(self, parameters: Array) -> tuple[Array, Array]:
        """Every term, and log ŷ.  # (T, R, n), (R, n)"""
        terms = np.exp(parameters @ self.terms.transpose(0, 2, 1))
        return terms, np.log(parameters @ self.floor.T + terms.sum(axis=0))

    def objective(self, parameters: Array) -> Array:
        """Half the sum of squares.  # (R,)"""
        return ((self.target - self.curve(parameters)[1]) ** 2).sum(axis=1) / 2

    def local(self, parameters: Array) -> Local:
        """Value, gradient and the Gauss-Newton Hessian."""
        terms, curve = self.curve(parameters)
        slopes, residuals = self.slopes(terms, curve), self.target - curve
        across = slopes.transpose(0, 2, 1)
        squares = across @ slopes
        gradient = -(across @ residuals[:, :, None])[:, :, 0]
        return Local(value=(residuals**2).sum(axis=1) / 2, gradient=gradient, hessian=squares, majorizer=squares.copy())

    def slopes(self, terms: Array, curve: Array) -> Array:
        """d log ŷ / d parameter.  # (R, n, p)"""
        slopes: Array = self.floor + sum(
            term[:, :, None] * basis for term, basis in zip(terms, self.terms, strict=True)
        )
        slopes *= np.exp(-curve)[:, :, None]
        return slopes


class Model(NamedTuple):
    """Which parameter every design has in every role, and the problem with them."""

    own: tuple[Own, ...]
    """Of every design; nothing of the first."""
    place: NDArray[np.intp]
    """Of each name of the form, in its order.  # (names, K)"""
    problem: JointProblem
    bounds: Bounds
    scale: tuple[Array, float]
    """Means of log x and of log y."""


class JointFit(NamedTuple):
    """A model with its optimum."""

    model: Model
    at: Array
    """About the means of log x and log y.  # (p,)"""
    squares: float
    """Of log residuals, summed."""


def model(data: Data, own: Sequence[Own]) -> Model:
    """The model in which each design has some parameters of its own, the first design all that are shared."""
    form = FORMS[data.form]
    plain, scale = prepare(data.form, data.x, data.y, None)
    place = np.empty((len(form.names), len(own)), dtype=np.intp)
    count = 0
    for row, name in enumerate(form.names):
        for design, names in enumerate(own):
            place[row, design] = count if not design or name in names else place[row, 0]
            count += int(not design or name in names)
    of_point, index = place[:, data.design], np.arange(len(data.y))  # (names, n)
    floor = np.zeros((len(data.y), count))
    floor[index, of_point[0]] = 1
    terms = np.zeros((len(form.terms) - 1, len(data.y), count))
    low, high = np.full(count, NEVER), np.full(count, -NEVER)
    low[place[0]], high[place[0]] = 0, np.inf
    for term, (at, column) in zip(terms, list(places(form.terms))[1:], strict=True):
        term[index, of_point[at]] = 1
        term[index, of_point[at + 1]] = -plain.u[:, column]
        low[place[at + 1]], high[place[at + 1]] = 0, STEEPEST
    return Model(
        own=tuple(own),
        place=place,
        problem=JointProblem(floor=floor, terms=terms, target=plain.target),
        bounds=Bounds(low[None], high[None]),
        scale=(scale.x, scale.y),
    )


def first_fit(data: Data) -> JointFit:
    """The surface that serves all designs alike.

    Raises:
        ValueError: if it cannot be fitted to these sizes, or something is not positive.
    """
    begin = of_squares(data.form, data.x, data.y)[0].at[0].copy()
    begin[0] = math.exp(begin[0])
    return _settled(model(data, [levels(data.form).same] * data.num_designs), begin)


def richer(data: Data, simple: JointFit, own: Sequence[Own]) -> JointFit:
    """The optimum of a richer model, found from a simpler one's."""
    rich = model(data, own)
    return _settled(rich, simple.at[came_from(simple.model, rich)])


def came_from(simple: Model, rich: Model) -> NDArray[np.intp]:
    """The parameter of the simpler model from which each of the richer one starts.  # (p of rich,)"""
    source = np.empty(int(rich.place.max()) + 1, dtype=np.intp)
    source[rich.place.ravel()[::-1]] = simple.place.ravel()[::-1]
    return source


def _settled(one: Model, begin: Array) -> JointFit:
    """The lowest optimum from a start, and from it with other floors."""
    starts = np.repeat(begin[None], len(FLOORS) + 1, axis=0)
    starts[1:, one.place[0]] = np.array(FLOORS)[:, None] * math.exp(one.problem.target.min())
    held = holding_floor(one, starts[:, one.place[0]])
    reached = descend(one.problem, descend(held.problem, starts, held.bounds), one.bounds)
    values = one.problem.objective(reached)
    best = int(values.argmin())
    return JointFit(model=one, at=reached[best], squares=2 * float(values[best]))


def holding_floor(one: Model, floors: Array) -> Model:
    """The model with its floors held, in every row.

    floors: (R, K), or (R,) of one floor for all, over the geometric mean of y.
    """
    floors = floors if floors.ndim == 2 else np.repeat(floors[:, None], one.place.shape[1], axis=1)
    low, high = (np.repeat(side, len(floors), axis=0) for side in one.bounds)
    low[:, one.place[0]] = high[:, one.place[0]] = floors
    return one._replace(bounds=Bounds(low, high))


def refitted(one: Model, target: Array, begin: Array) -> tuple[Array, Array]:
    """The optima of rows of log y, about its mean, and their sums of squares.  # (R, p), (R,)"""
    problem = one.problem._replace(target=target)
    at = np.empty((len(target), one.bounds.low.shape[1]))
    for first in range(0, len(target), CHUNK):
        index = np.arange(first, min(first + CHUNK, len(target)))
        start = begin if len(begin) == 1 else begin[index]
        start = np.repeat(start, len(index), axis=0) if len(start) == 1 else start
        at[index] = descend(problem.rows(index), start, one.bounds, tolerance=TOLERANCE)
    return at, 2 * problem.objective(at)


def factors(form: Form, one: Model, at: Array) -> Array:
    """f of every column and design: it needs f times as much of it as the first.  # (..., columns, K)

    Of a model that shares exponents; 1 where a coefficient is shared.
    """
    columns = []
    for place, column in list(places(form.terms))[1:]:
        if column is not None:
            coefficients, exponent = at[..., one.place[place]], at[..., one.place[place + 1, :1]]
            with np.errstate(divide="ignore", invalid="ignore"):
                log = np.nan_to_num((coefficients - coefficients[..., :1]) / exponent)
            columns.append(np.exp(np.clip(log, -700, 700)))
    return np.stack(columns, axis=-2)


def own_units(form: Form, fitted: JointFit) -> Array:
    """Every parameter of every design in the units of x and y.  # (names, K)"""
    mean_x, mean_y = fitted.model.scale
    values: Array = fitted.at[fitted.model.place]
    values[0] *= math.exp(mean_y)
    for place, column in list(places(form.terms))[1:]:
        values[place] = np.exp(values[place] + mean_y + values[place + 1] * mean_x[column])
    return values


def as_data(form: str, x: ArrayLike, y: ArrayLike, design: ArrayLike) -> Data:
    """Arrays as they are needed."""
    points = np.asarray(x, dtype=float)
    return Data(
        form=form,
        x=points.reshape(len(points), -1),
        y=np.asarray(y, dtype=float),
        design=np.asarray(design, dtype=np.intp),
    )
