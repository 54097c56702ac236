"""Training sets and control simulations of the GPDP paper, for the tables of this folder.

Boettiger, Mangel and Munch 2015: a stock of 10, Allen's growth with lognormal noise (sigma .05),
49 harvests, catches added up without discount. What is learnt from: 40 stocks from 5.5 on,
unharvested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlopt.theory.noise import LognormalNoise
from rlopt.theory.stock import Allen

GROWTH, SIGMA = Allen(r=2.0, K=8.0, C=5.0), 0.05  # the paper's state of nature
GRID = np.linspace(0.0, 15.0, 50)  # its nodes of stocks and harvests
START = 10.0  # stock of the first harvest [biomass]
HARVESTS = 49  # the paper's OptTime = 50 counts the stocks
COLLAPSED = 1.0  # [biomass]; any threshold in [.1, 5) gives the published policies the same share
STOCKS, FIRST = 40, 5.5  # of a training set: how many, and the first [biomass]


def training_set(seed: int) -> np.ndarray:
    """The stocks of one unharvested run, (STOCKS,) [biomass]."""
    noise, rng = LognormalNoise(SIGMA), np.random.default_rng(seed)
    stocks = [FIRST]
    for _ in range(STOCKS - 1):
        stock = np.array(stocks[-1])
        stocks.append(float(noise.sample(rng, GROWTH(stock), stock)))
    return np.array(stocks)


class Controls(NamedTuple):
    """Simulated replicates of one policy.

    Attributes:
        catch: (n,) sum of the catches [biomass].
        stock: (n,) what is there after the last harvest and growth [biomass].
    """

    catch: np.ndarray
    stock: np.ndarray

    @property
    def collapsed(self) -> float:
        """Share of replicates whose last stock is at most COLLAPSED."""
        return float((self.stock <= COLLAPSED).mean())

    @property
    def error(self) -> float:
        """Standard error of the mean catch [biomass]."""
        return float(self.catch.std(ddof=1) / np.sqrt(len(self.catch)))


def resimulate(
    growth: Callable[[np.ndarray], np.ndarray],
    sigma: float,
    escapement: Callable[[np.ndarray], np.ndarray],
    n: int,
    seed: int,
) -> Controls:
    """Manage n replicates of the stock by one policy; all policies meet the same noise.

    Args:
        growth: escapements (n,) -> median next stocks (n,) [biomass].
        sigma: standard deviation of the lognormal noise's logarithm.
        escapement: stocks (n,) -> what is left of them (n,), in [0, stock] [biomass].
        n: replicates.
        seed: of the noise.
    """
    noise = np.exp(sigma * np.random.default_rng(seed).standard_normal((HARVESTS, n)))
    stock, catch = np.full(n, START), np.zeros(n)
    for factor in noise:
        left = escapement(stock)
        catch += stock - left
        stock = factor * growth(left)
    return Controls(catch, stock)
