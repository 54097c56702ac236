"""How fast a policy's value can change with where it starts: Lipschitz constants of Q and V.

Dynamics s' = f(s, a), a policy a = mu(s), rewards r with |r(z) - r(z')| <= delta |z - z'| for
z = (s, a), and Q(z) = sum_{k<T} gamma^k r(z_k) along z_0 = z. All norms are Euclidean, A bounds the
Jacobian of f in z, B that of mu, both as spectral norms (the larger Frobenius norms will do).

z_{k+1} = (f(z_k), mu(f(z_k))) has the Jacobian [I; J_mu] J_f, of norm at most A sqrt(1 + B^2). The
triangle inequality over k gives `value_lipschitz_safe`; the other two use what is known of the
closed loop g(s) = f(s, mu(s)). Where a constant holds only on the tube that trajectories can reach,
so does the bound.

Difference from the paper: the published constant (`kind="published"`) bounds the square of a sum by
the sum of the squares. It is false: f(s, a) = s, mu = 0, r = delta s has |dQ/ds| =
delta/(1 - gamma), where it allows delta/sqrt(1 - gamma^2).
"""

from __future__ import annotations

from math import expm1, inf, log1p, sqrt
from warnings import warn

from rlopt.theory.checks import fraction, known, nonnegative, whole
from rlopt.theory.registry import bound

KINDS = ("safe", "closed_loop", "published")
SOURCE = "triangle inequality along the trajectory; our derivation"
LARGEST = 700.0  # exp of it is still a float


@bound(source=SOURCE, holds="pathwise", tight=True)
def value_lipschitz_safe(
    *, delta: float, gamma: float, A: float, B: float, T: int | None = None, of: str = "Q"
) -> float:
    """Lip(Q) <= delta (1 - rho^T)/(1 - rho) with rho = gamma A sqrt(1 + B^2).

    Args:
        delta: Lipschitz constant of the reward in (s, a), >= 0.
        gamma: discount factor, in [0, 1].
        A: Lipschitz constant of the dynamics in (s, a), >= 0.
        B: Lipschitz constant of the policy, >= 0.
        T: steps to go, >= 1, each with its reward; None for no end, and then inf if rho >= 1.
        of: "Q", or "V", which is sqrt(1 + B^2) times as large.

    Assumptions: deterministic f and mu, or f(s, a, w) with A for every w. Tight: attained by
    f = A (s + B a)/sqrt(1 + B^2), mu = B s, r = delta (s + B a)/sqrt(1 + B^2).

    >>> round(value_lipschitz_safe(delta=1.0, gamma=0.9, A=0.6, B=1.0), 5)
    4.23147
    """
    owner = "value_lipschitz_safe"
    delta, gamma, A, B = _checked(owner, delta, gamma, A, B)
    spread = sqrt(1.0 + B * B)
    value = _product(delta, _geometric(gamma * A * spread, _horizon(owner, T)))
    return _product(spread, value) if known(owner, "of", of, ("Q", "V")) == "V" else value


@bound(source=SOURCE, holds="pathwise", tight=True)
def value_lipschitz_closed_loop(
    *,
    delta: float,
    gamma: float,
    A: float,
    B: float,
    closed_loop: float,
    T: int | None = None,
    of: str = "Q",
) -> float:
    """Lip(Q) <= delta + gamma delta A sqrt(1 + B^2) (1 - q^(T-1))/(1 - q), q = gamma closed_loop.

    Lip(V) <= delta sqrt(1 + B^2) (1 - q^T)/(1 - q).

    Args:
        delta: as for `value_lipschitz_safe`, and so are gamma, A, B and T.
        gamma: see there.
        A: see there.
        B: see there.
        closed_loop: Lipschitz constant of g(s) = f(s, mu(s)), >= 0; it is never above
            A sqrt(1 + B^2), with which the bound is that of `value_lipschitz_safe`.
        T: see there; without it the bound is inf if q >= 1.
        of: "Q" or "V".

    Assumptions: as there. Tight: attained by the same example.
    """
    owner = "value_lipschitz_closed_loop"
    q = fraction(owner, "gamma", gamma) * nonnegative(owner, "closed_loop", closed_loop)
    return _looped(owner, delta, gamma, A, B, T, of, 1.0, q)


@bound(source=SOURCE, holds="pathwise")
def value_lipschitz_k_step(
    *,
    delta: float,
    gamma: float,
    A: float,
    B: float,
    c: float,
    lam: float,
    T: int | None = None,
    of: str = "Q",
) -> float:
    """Lip(Q) <= delta + gamma delta A sqrt(1 + B^2) (1 + c sum_{k=1..T-2} (gamma lam)^k).

    Lip(V) <= delta sqrt(1 + B^2) (1 + c sum_{k=1..T-1} (gamma lam)^k). For closed loops that
    contract after several steps and not after one, as most under a linear-quadratic regulator.

    Args:
        delta: as for `value_lipschitz_safe`, and so are gamma, A, B and T.
        gamma: see there.
        A: see there.
        B: see there.
        c: with lam, g applied k times has Lipschitz constant c lam^k for every k; >= 1. See
            `rlopt.theory.lipschitz.contraction`.
        lam: see c; >= 0.
        T: see there; without it the bound is inf if gamma lam >= 1.
        of: "Q" or "V".

    Assumptions: as there. Not tight for c > 1.
    """
    owner = "value_lipschitz_k_step"
    c = nonnegative(owner, "c", c)
    if c < 1.0:
        raise ValueError(f"{owner}: c must be >= 1, since c lam^0 bounds 1, got {c!r}")
    q = fraction(owner, "gamma", gamma) * nonnegative(owner, "lam", lam)
    return _looped(owner, delta, gamma, A, B, T, of, c, q)


def value_lipschitz(
    delta: float,
    gamma: float,
    A: float,
    B: float,
    T: int | None = None,
    kind: str = "safe",
    closed_loop: float | None = None,
    of: str = "Q",
) -> float:
    """A bound on the Lipschitz constant of Q, or of V.

    >>> round(value_lipschitz(1.0, 0.99, 0.6, 1.0, kind="closed_loop", closed_loop=0.5), 5)
    2.66345

    Args:
        delta: Lipschitz constant of the reward in (s, a), >= 0.
        gamma: discount factor, in [0, 1].
        A: Lipschitz constant of the dynamics in (s, a), >= 0.
        B: Lipschitz constant of the policy, >= 0.
        T: steps to go, >= 1; None for no end.
        kind: "safe" (`value_lipschitz_safe`); "closed_loop" (`value_lipschitz_closed_loop`);
            "published": delta sqrt(sum_{k<T} (gamma^2 C)^k), C = A^2 max(1, B^2), which is false
            and comes with a warning, for comparison only.
        closed_loop: Lipschitz constant of s -> f(s, mu(s)); for kind="closed_loop" only.
        of: "Q"; or "V", for V(s) = Q(s, mu(s)).

    Returns:
        The bound; inf where the sum without end diverges.

    Raises:
        ValueError: an argument out of its range, or closed_loop given or missing against `kind`.
        TypeError: an argument that is no number.

    Warns:
        UserWarning: kind="published".
    """
    owner = "value_lipschitz"
    known(owner, "kind", kind, KINDS)
    known(owner, "of", of, ("Q", "V"))
    if (closed_loop is not None) != (kind == "closed_loop"):
        raise ValueError(
            f"{owner}: closed_loop must be given for kind='closed_loop' and for no other kind, "
            f"got closed_loop={closed_loop!r} and kind={kind!r}"
        )
    delta, gamma, A, B = _checked(owner, delta, gamma, A, B)
    T = _horizon(owner, T)
    if closed_loop is not None:
        q = gamma * nonnegative(owner, "closed_loop", closed_loop)
        return _looped(owner, delta, gamma, A, B, T, of, 1.0, q)
    if kind == "safe":
        return value_lipschitz_safe(delta=delta, gamma=gamma, A=A, B=B, T=T, of=of)
    warn(
        "value_lipschitz: the published bound is false; f(s, a) = s, mu = 0, r = delta s violates "
        "it by sqrt((1 + gamma)/(1 - gamma)). Use kind='safe' or kind='closed_loop'",
        UserWarning,
        stacklevel=2,
    )
    value = _product(delta, sqrt(_geometric((gamma * A * max(1.0, B)) ** 2, T)))
    return _product(sqrt(1.0 + B * B), value) if of == "V" else value


def _looped(
    owner: str, delta: float, gamma: float, A: float, B: float, T: int | None, of: str,
    c: float, q: float,
) -> float:  # fmt: skip
    """The bound where k steps of the closed loop, discounted, move c q^k apart for k >= 1."""
    delta, gamma, A, B = _checked(owner, delta, gamma, A, B)
    T, spread = _horizon(owner, T), sqrt(1.0 + B * B)

    def steps(n: int | None) -> float:
        """1 + c (q + ... + q^(n-1))."""
        if n == 0:
            return 0.0
        return 1.0 + _product(c * q, _geometric(q, None if n is None else n - 1))

    if known(owner, "of", of, ("Q", "V")) == "V":
        return _product(delta * spread, steps(T))
    return delta + _product(gamma * delta * A * spread, steps(None if T is None else T - 1))


def _checked(
    owner: str, delta: float, gamma: float, A: float, B: float
) -> tuple[float, float, float, float]:
    return (
        nonnegative(owner, "delta", delta),
        fraction(owner, "gamma", gamma),
        nonnegative(owner, "A", A),
        nonnegative(owner, "B", B),
    )


def _horizon(owner: str, T: int | None) -> int | None:
    return None if T is None else whole(owner, "T", T, 1)


def _product(factor: float, total: float) -> float:
    """Their product; what is multiplied by 0 is 0, however long the sum."""
    return 0.0 if factor == 0.0 else factor * total


def _geometric(q: float, n: int | None) -> float:
    """1 + q + ... + q^(n-1) for q >= 0, without end for n = None; exact to rounding near q = 1."""
    if n is None:
        return 1.0 / (1.0 - q) if q < 1.0 else inf
    if n == 0:
        return 0.0
    if q < 0.5:
        return (1.0 - q**n) / (1.0 - q)
    if q == 1.0:
        return float(n)
    exponent = n * log1p(q - 1.0)
    return expm1(exponent) / (q - 1.0) if exponent < LARGEST else inf
