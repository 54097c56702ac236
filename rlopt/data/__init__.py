"""Small data with their provenance, which `README.md` in this folder tells."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from rlopt.data.tables import Table, breast_cancer, diabetes, digits

__all__ = ["Table", "breast_cancer", "diabetes", "digits", "gpdp_training_series"]


def gpdp_training_series() -> np.ndarray:
    """The 40 yearly stocks from which the GPDP paper learns, unharvested, (40,) [biomass].

    The pairs that it fits are `(series[:-1], series[1:])`: without harvest the escapement is the
    stock. Source: Boettiger, Mangel and Munch 2015 (arXiv 1412.8081), archived data, CC0.

    >>> gpdp_training_series()[:3].round(3).tolist()
    [5.5, 5.384, 5.633]
    """
    source = resources.files(__package__) / "gpdp_training_series.csv"
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return np.array([float(row["stock"]) for row in rows])
