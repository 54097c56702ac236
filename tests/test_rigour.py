"""Rigour in floating point: proofs against exact rational arithmetic."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from rlopt.theory.certificate import (
    Enclosed,
    exactly,
    gamma_n,
    plus,
    positive_definite,
    spectral_norm,
    times,
    up,
)

SEEDS = st.integers(0, 2**32 - 1)


def rational(matrix: np.ndarray) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in row] for row in matrix]


def exact_product(a: np.ndarray, b: np.ndarray) -> list[list[Fraction]]:
    columns = list(zip(*rational(b), strict=True))
    return [
        [sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0)) for column in columns]
        for row in rational(a)
    ]


def really_positive(matrix: np.ndarray) -> bool:
    """LDL^T in rationals of the symmetric matrix with this lower triangle."""
    M = rational(np.tril(matrix) + np.tril(matrix, -1).T)
    for k in range(len(M)):
        if M[k][k] <= 0:
            return False
        for i in range(k + 1, len(M)):
            factor = M[i][k] / M[k][k]
            for j in range(k, len(M)):
                M[i][j] -= factor * M[k][j]
    return True


def within(exact: list[list[Fraction]], enclosed: Enclosed) -> bool:
    return all(
        abs(x - Fraction(float(v))) <= Fraction(float(e))
        for row, values, errors in zip(exact, *enclosed, strict=True)
        for x, v, e in zip(row, values, errors, strict=True)
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 7), st.integers(-40, 40))
def test_a_product_lies_within_its_error(seed, n, power):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, n)) * 2.0**power, rng.normal(size=(n, 2))
    assert within(exact_product(a, b), times(exactly(a), exactly(b)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_errors_of_factors_are_inherited(seed):
    """Factors anywhere within their errors have a product within the product's."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    doubt = rng.uniform(0, 1e-3, (3, 4)), rng.uniform(0, 1e-3, (4, 2))
    signs = rng.choice([-1.0, 1.0], (3, 4)), rng.choice([-1.0, 1.0], (4, 2))
    # the exact factors differ from the given ones by less than the error that is claimed
    shifted = a + signs[0] * doubt[0], b + signs[1] * doubt[1]
    claimed = [Enclosed(m, 1.001 * d) for m, d in zip((a, b), doubt, strict=True)]
    assert within(exact_product(*shifted), times(*claimed))
    total = plus(claimed[0], claimed[0])
    assert within(rational(shifted[0] + shifted[0]), total)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 8), st.floats(-17, -9), st.integers(-30, 30))
def test_a_proof_of_positive_definiteness_is_never_wrong(seed, n, margin, power):
    """Gram matrices of rank n - 1, shifted by about what rounding makes of them."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, max(n - 1, 1))) * np.exp(rng.normal(size=(n, 1)) * 3.0)
    gram = factor @ factor.T
    sign = rng.choice([-1.0, 1.0])
    gram[np.diag_indices(n)] *= 1.0 + sign * 10.0**margin
    gram *= 2.0**power
    if positive_definite(gram):
        assert really_positive(gram)


@pytest.mark.parametrize("n", [5, 60, 200])
def test_well_conditioned_matrices_are_proved(n):
    """The margin is not so wide that nothing passes: 1e-9 of the trace a row is enough."""
    factor = np.random.default_rng(n).normal(size=(n, n - 1))
    gram = factor @ factor.T
    assert not positive_definite(gram)
    assert positive_definite(gram + 1e-9 * np.trace(gram) / n * np.eye(n))


def test_what_cannot_be_positive_definite_is_refused():
    assert not positive_definite(np.zeros((2, 2)))
    assert not positive_definite(np.array([[1.0, np.nan], [np.nan, 1.0]]))
    assert not positive_definite(-np.eye(3))
    assert not positive_definite(np.eye(2), np.inf)


def test_doubt_about_the_entries_counts():
    matrix = np.array([[1.0, 0.9], [0.9, 1.0]])
    assert positive_definite(matrix, 0.04)
    assert not positive_definite(matrix, 0.06)  # off the diagonal .96, on it .94


@settings(max_examples=80, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.integers(-60, 60))
def test_the_spectral_norm_is_proved_and_close(seed, m, n, power):
    matrix = np.random.default_rng(seed).normal(size=(m, n)) * 2.0**power
    bound = spectral_norm(matrix)
    assert np.linalg.norm(matrix, 2) <= bound * (1 + 1e-14)
    assert bound <= np.linalg.norm(matrix, 2) * (1 + 1e-11)
    # s^2 I - W W^T is positive semidefinite in rationals
    gram = exact_product(matrix, matrix.T)
    square = Fraction(bound) ** 2
    for i in range(m):
        gram[i][i] -= square
    size = float(square)
    float_gram = np.array([[-float(x) / size for x in row] for row in gram])
    assert np.linalg.eigvalsh(float_gram)[0] >= -1e-15


def test_the_spectral_norm_of_singular_and_empty_matrices():
    assert spectral_norm(np.zeros((3, 2))) == spectral_norm(np.zeros((0, 2))) == 0.0
    assert spectral_norm(np.ones((4, 9))) == pytest.approx(6.0, rel=1e-12)
    assert spectral_norm(np.diag([3.0, 3.0])) >= 3.0


def test_up_and_gamma():
    assert up(1.0) == 1.0 + 4 * 2.0**-52
    assert gamma_n(10) == pytest.approx(10 * 2.0**-53)
