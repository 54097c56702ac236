"""The papers' leader and expert algorithms in a few lines each, with ask and tell, batched."""

import numpy as np

from rlopt.spaces import Ball


class OFTRL:
    """A5: x_t = Proj(-(eta_t/2)(S_{t-1} + g_{t-1})), eta_t = D^2/(nu + sum eta_s |g_s - M_s|^2)."""

    def __init__(self, space: Ball, runs: int, nu: float) -> None:
        self.space, self.nu = space, nu
        self.S = self.M = self.x = np.zeros((runs, space.dimension))
        self.paid = np.zeros((runs, 1))

    def ask(self) -> np.ndarray:
        return self.x

    def tell(self, x, loss, gradient, prox=None):
        eta = self.space.radius**2 / (self.nu + self.paid)
        self.paid = self.paid + eta * ((gradient - self.M) ** 2).sum(-1, keepdims=True)
        self.S, self.M = self.S + gradient, gradient
        eta = self.space.radius**2 / (self.nu + self.paid)
        self.x = self.space.project(-eta / 2.0 * (self.S + self.M))


class OFTL:
    """A6: x_t = Proj((lam sum_{s<t} x_s - S_{t-1} - g_{t-1})/(lam (t - 1)))."""

    def __init__(self, space: Ball, runs: int, lam: float) -> None:
        self.space, self.lam, self.t = space, lam, 0
        self.total = self.x = np.zeros((runs, space.dimension))

    def ask(self) -> np.ndarray:
        return self.x

    def tell(self, x, loss, gradient, prox=None):
        self.t += 1
        self.total = self.total + self.lam * x - gradient
        self.x = self.space.project((self.total - gradient) / (self.lam * self.t))


class Hedge:
    """A7: p_t ~ exp(-eta (l_1 + ... + l_{t-1} + weight l_{t-1}))."""

    def __init__(self, N: int, runs: int, eta: float, weight: float) -> None:
        self.eta, self.weight = eta, weight
        self.S, self.x = np.zeros((runs, N)), np.full((runs, N), 1.0 / N)

    def ask(self) -> np.ndarray:
        return self.x

    def tell(self, x, loss, gradient, prox=None):
        self.S = self.S + gradient
        score = -self.eta * (self.S + self.weight * gradient)
        score = np.exp(score - score.max(-1, keepdims=True))
        self.x = score / score.sum(-1, keepdims=True)


class TwoLayers:
    """A8: optimistic descents with doubling steps under an optimistic Hedge with movement costs."""

    def __init__(self, space: Ball, runs: int, G: float, L: float, T: int, eps: float) -> None:
        D = space.diameter
        self.N = max(int(np.ceil(0.5 * np.log2(G**2 * T / (8.0 * L**2 * D**2)))) + 1, 1)
        steps = np.sqrt(D**2 / (8.0 * G**2 * T)) * 2.0 ** np.arange(self.N)
        self.space, self.lam, self.eps = space, 2.0 * L, eps
        self.eta = np.minimum(1.0 / (8.0 * L), steps)[:, None]
        self.base = self.hat = np.zeros((runs, self.N, space.dimension))
        self.losses = np.zeros((runs, self.N))
        self.move = np.zeros((runs, self.N))
        self.x = self.base[:, 0]

    def ask(self) -> np.ndarray:
        return self.x

    def tell(self, x, loss, gradient, prox=None):
        g = gradient[:, None]
        self.losses = self.losses + (g * self.base).sum(-1) + self.lam * self.move
        self.hat = self.space.project(self.hat - self.eta * g)
        last, self.base = self.base, self.space.project(self.hat - self.eta * g)
        self.move = ((self.base - last) ** 2).sum(-1)
        score = -self.eps * (self.losses + (g * self.base).sum(-1) + self.lam * self.move)
        p = np.exp(score - score.max(-1, keepdims=True))
        self.x = ((p / p.sum(-1, keepdims=True))[..., None] * self.base).sum(1)
