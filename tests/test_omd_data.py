"""Mirror descent on the data sets that scikit-learn ships, against reference runs."""

import numpy as np
import pytest

from rlopt.agents import online
from rlopt.envs.sea import play
from rlopt.spaces import Ball

CLOSE = 1e-9  # relative
DIABETES = {
    "ogd": ("ogd", {}, 20.698813885),
    "A1-theory": ("optimistic_omd", {"L": 1.0}, 21.057680241),
    "A1-practical": ("optimistic_omd", {"constants": "practical"}, 19.916807901),
    "A3-theory": ("optimistic_omd_exp", {"alpha": 1.0}, 20.531155354),
    "A3-practical": ("optimistic_omd_exp", {"constants": "practical"}, 19.969809762),
}
CANCER = {
    "ogd": ("ogd", {}, 250.889000310),
    "A1-theory": ("optimistic_omd", {"L": 0.25}, 266.385371497),
    "A1-practical": ("optimistic_omd", {"constants": "practical"}, 251.326808627),
    # found again with Brent's method for the projection's multiplier, to 13 digits
    "A3-theory": ("optimistic_omd_exp", {"alpha": np.exp(-5.0)}, 258.480028938),
}


@pytest.mark.parametrize(("name", "constants", "total"), DIABETES.values(), ids=DIABETES)
def test_squared_errors_on_diabetes(name, constants, total):
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    A, b = X / np.linalg.norm(X, axis=1).max(), y - y.mean()
    b = b / np.abs(b).max()
    trace = play(
        online.make(name, Ball(10), G=2.0, **constants),
        lambda t, x: (A[t - 1] @ x - b[t - 1]) * A[t - 1],
        lambda t, x: 0.5 * (A[t - 1] @ x - b[t - 1]) ** 2,
        T=len(A),
    )
    assert trace.loss.sum() == pytest.approx(total, rel=CLOSE)


@pytest.mark.parametrize(("name", "constants", "total"), CANCER.values(), ids=CANCER)
def test_logistic_losses_on_breast_cancer(name, constants, total):
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    A = (X - X.mean(axis=0)) / X.std(axis=0)
    A = (2 * y - 1)[:, None] * A / np.linalg.norm(A, axis=1).max()  # labels +-1 folded in
    trace = play(
        online.make(name, Ball(30, 5.0), G=1.0, **constants),
        lambda t, x: -A[t - 1] / (1.0 + np.exp(A[t - 1] @ x)),
        lambda t, x: np.log1p(np.exp(-(A[t - 1] @ x))),
        T=len(A),
    )
    assert trace.loss.sum() == pytest.approx(total, rel=CLOSE)
