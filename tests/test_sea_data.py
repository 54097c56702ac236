"""Data sets and portfolios as online tasks: the numbers of the reference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sea_rows import RELATIVES, played

from rlopt import data
from rlopt.agents import online
from rlopt.envs.sea.data import BreastCancer, Diabetes
from rlopt.envs.sea.portfolio import Portfolio
from rlopt.envs.sea.rows import Rows

# --- tables ---


@pytest.mark.parametrize(
    ("load", "shape", "signs"),
    [
        (data.diabetes, (442, 10), False),
        (data.breast_cancer, (569, 30), True),
        (data.digits, (1797, 64), True),
    ],
)
def test_tables(load: Callable[[], data.Table], shape: tuple[int, int], signs: bool) -> None:
    table = load()
    assert table.rows.shape == shape and table.targets.shape == shape[:1]
    assert np.linalg.norm(table.rows, axis=1).max() == pytest.approx(1.0, rel=1e-14)
    assert np.abs(table.targets).max() == 1.0
    assert (np.abs(table.targets) == 1.0).all() == signs
    assert load() is table
    for array in table:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_labels_mean_what_they_say() -> None:
    assert (data.breast_cancer().targets == 1.0).sum() == 357  # benign
    assert data.digits().targets[:4].tolist() == [1.0, -1.0, 1.0, -1.0]  # 0, 1, 2, 3
    assert abs(data.diabetes().targets.mean()) < 1e-15
    assert np.abs(data.breast_cancer().rows.mean(axis=0)).max() < 1e-12


# --- fixed numbers ---


def learning(task: Rows, name: str, **constants: Any) -> Callable[[np.ndarray], np.ndarray]:
    learner, told = online.make(name, task.space, **constants), False

    def act(observation: np.ndarray) -> np.ndarray:
        nonlocal told
        if told:
            gradient = task.answers(observation[None])["gradient"][0]
            learner.tell(learner.x, gradient=gradient)
        told = True
        return learner.ask()

    return act


def test_diabetes_of_the_reference() -> None:
    task = Diabetes(order="dataset")
    oracle = task.oracle()
    assert -oracle.value.value == pytest.approx(18.2791030, abs=6e-8)
    _, infos, total = played(task, learning(task, "ogd", G=2.0))
    assert -total == pytest.approx(20.698813885, rel=1e-9)
    regret = sum(info["regret"] for info in infos)
    assert regret == pytest.approx(oracle.value.value - total, rel=1e-11)
    iid = Diabetes(order="iid")
    assert iid.sigma_sq / 442 == pytest.approx(0.0784484108, rel=1e-9)
    assert abs(iid.L - 0.0824952) < 5e-8


@pytest.mark.parametrize(
    ("task", "name", "constants", "expected"),
    [
        (Diabetes(order="dataset"), "optimistic_omd", {"G": 2.0, "delta": 200.0}, 21.057680241),
        (Diabetes(order="dataset"), "optimistic_omd", {"G": 2.0, "delta": 1.0}, 19.916807901),
        # the reference plays weights 5 x: there gradients are of length 1, delta = 1 and 312.5
        (BreastCancer(order="dataset"), "ogd", {"G": 5.0}, 250.889000310),
        (BreastCancer(order="dataset"), "optimistic_omd", {"G": 5.0, "delta": 25.0}, 251.326808627),
        (
            BreastCancer(order="dataset"),
            "optimistic_omd",
            {"G": 5.0, "delta": 25.0 * 312.5},
            266.385371497,
        ),
    ],
)
def test_learners_of_the_reference(
    task: Rows, name: str, constants: dict[str, Any], expected: float
) -> None:
    total = played(task, learning(task, name, **constants))[2]
    assert -total == pytest.approx(expected, rel=1e-9)


def test_breast_cancer_of_the_reference() -> None:
    value = BreastCancer(order="dataset").oracle().value
    assert -value.value == pytest.approx(247.868973, abs=5e-7)


def test_portfolio_of_the_reference() -> None:
    task = Portfolio(relatives=RELATIVES, order="dataset")
    oracle = task.oracle()
    assert oracle.value.value == pytest.approx(2.40872607, abs=1e-8)
    assert task.best_fixed == pytest.approx([0.0, 0.09836, 0.90164], abs=5e-6)
    _, infos, total = played(task, lambda observation: np.full(3, 1.0 / 3.0))
    assert total == pytest.approx(1.8102445288, rel=1e-9)
    regret = sum(info["regret"] for info in infos)
    assert regret == pytest.approx(oracle.value.value - total, rel=1e-10)


def test_rebalancing_grows_where_no_asset_does() -> None:
    task = Portfolio(relatives=((1.0, 2.0), (1.0, 0.5)), horizon=1)
    assert task.best_fixed == pytest.approx([0.5, 0.5], abs=1e-9)
    assert task.oracle().value.value == pytest.approx(0.5 * np.log(1.5 * 0.75), rel=1e-12)
    assert task.oracle().value.exact
