"""Tables for regression and classification: scikit-learn's copies, scaled for online learning."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np


class Table(NamedTuple):
    """A data set; the arrays are shared and read-only.

    Attributes:
        rows: features, (n, d); the longest row has length 1.
        targets: (n,), in [-1, 1]; labels are -1 or 1.
    """

    rows: np.ndarray
    targets: np.ndarray


@cache
def diabetes() -> Table:
    """442 patients, 10 features; targets centred and divided by the largest, in [-1, 1].

    Source: Efron, Hastie, Johnstone and Tibshirani 2004, from scikit-learn.

    >>> diabetes().rows.shape
    (442, 10)
    """
    from sklearn.datasets import load_diabetes

    rows, progress = load_diabetes(return_X_y=True)
    centred = progress - progress.mean()
    return _table(rows, centred / np.abs(centred).max())


@cache
def breast_cancer() -> Table:
    """569 biopsies, 30 features, standardised; labels 1 (benign) and -1 (malignant).

    Source: Wolberg, Mangasarian, Street and Street 1995, from scikit-learn.
    """
    from sklearn.datasets import load_breast_cancer

    rows, benign = load_breast_cancer(return_X_y=True)
    return _table((rows - rows.mean(axis=0)) / rows.std(axis=0), 2.0 * benign - 1.0)


@cache
def digits() -> Table:
    """1797 digits of 8 x 8 pixels; labels 1 (even) and -1 (odd).

    Source: Alpaydin and Kaynak 1998, from scikit-learn.
    """
    from sklearn.datasets import load_digits

    rows, digit = load_digits(return_X_y=True)
    return _table(rows, 1.0 - 2.0 * (digit % 2))


def _table(rows: np.ndarray, targets: np.ndarray) -> Table:
    scaled = rows / np.linalg.norm(rows, axis=1).max()
    made = Table(scaled, np.asarray(targets, dtype=np.float64))
    for array in made:
        array.flags.writeable = False
    return made
