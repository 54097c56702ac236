"""The age-structured table of the fisheries notes, 4.4: published rules, our tuned ones, the bound.

    python experiments/fisheries/age_structured.py        (some three minutes on one core)

Published values are those of the second generation of notebook outputs in boettiger-lab's
rl4fisheries, which its code at HEAD gives: 500 episodes of 1000 years, survey error .1. The first
generation was made with another recruitment and cannot be reproduced from it. "Our ramp" also
catches everything in the last year, which the published rules do not.
Writes results/age_structured.csv, .md and .png.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tables import RESULTS, described, write
from tqdm import tqdm

from rlopt.agents import make
from rlopt.envs import FuncVectorEnv
from rlopt.envs.fishery import AgeStructured
from rlopt.envs.fishery.age_oracle import RulePolicy, WeightedRamp, simulated

EPISODES, SEED = 500, 0
B_MSY = 1.045  # as the authors set it, in surveyed biomass
F_MSY = {"UM1": 0.071364, "UM2": 0.060391, "UM3": 0.059945}
RAMPS = {"UM1": (0.3684, 1.9252, 0.8), "UM2": (0.0, 3.408, 0.502), "UM3": (0.0, 9.323, 0.549)}
PUBLISHED = {
    ("UM1", "constant F"): 72.55,
    ("UM1", "DFO ramp"): 84.55,
    ("UM1", "optimised ramp"): 108.17,
    ("UM1", "PPO, biomass"): 100.81,
    ("UM1", "PPO, biomass and weight"): 101.39,
    ("UM2", "constant F"): 174.69,
    ("UM2", "DFO ramp"): 157.60,
    ("UM2", "optimised ramp"): 187.99,
    ("UM2", "PPO, biomass"): 186.83,
    ("UM2", "PPO, biomass and weight"): 154.93,
    ("UM3", "constant F"): 35.89,
    ("UM3", "DFO ramp"): 37.33,
    ("UM3", "optimised ramp"): 36.04,
    ("UM3", "PPO, biomass"): 35.71,
    ("UM3", "PPO, biomass and weight"): 61.66,
}
DIGITS = {"published": 2, "ours": 2, "standard error": 2, "difference %": 1}
ROUNDS, POPULATION, ELITE, TUNING_EPISODES = 15, 48, 8, 48  # of the cross-entropy search


def returns(env: AgeStructured, agent: Any, seed: int = SEED) -> np.ndarray:
    """Returns of an agent, (EPISODES,), through the public vector environment."""
    vector = FuncVectorEnv(env, EPISODES, regret=False)
    observation, _ = vector.reset(seed=seed)
    total = np.zeros(EPISODES)
    for _ in range(env.horizon):
        action, _ = agent.predict(observation)
        observation, reward, _, _, _ = vector.step(action)
        total += reward
    return total


def published_rules(utility: str) -> dict[str, dict[str, float]]:
    """The authors' three rules as parameters of our ramp."""
    limit, trigger, fraction = RAMPS[utility]
    return {
        "DFO ramp": {"limit": 0.4 * B_MSY, "trigger": 0.8 * B_MSY, "fraction": F_MSY[utility]},
        "optimised ramp": {"limit": limit, "trigger": trigger, "fraction": fraction},
    }


def tuned(env: AgeStructured, seed: int, poorer: WeightedRamp | None = None) -> WeightedRamp:
    """A ramp by the cross-entropy method, all candidates of a round on the same episodes.

    Coordinates: log trigger, limit / trigger, logit fraction, and the least mean weight.

    Args:
        env: the fishery.
        seed: of the search.
        poorer: the best ramp on biomass alone, when the search is for one that sees the weight too:
            what is kept if the search finds nothing better. The search does not start there, since
            near by it would miss what is better far off (UM1).
    """
    rng = np.random.default_rng(seed)
    mean, spread = np.array([0.7, 0.2, 0.0, 0.5]), np.array([1.0, 0.3, 1.5, 0.3])
    for turn in tqdm(range(ROUNDS), desc=f"{env.utility}, {'two' if poorer else 'one'} inputs"):
        points = mean + spread * rng.standard_normal((POPULATION, 4))
        points[0] = mean
        trigger = np.exp(points[:, 0])
        limit = np.clip(points[:, 1], 0.0, 1.0) * trigger
        weight = points[:, 3] * (poorer is not None)
        columns = limit, trigger, 1.0 / (1.0 + np.exp(-points[:, 2])), weight
        ramps = [WeightedRamp(*row) for row in np.stack(columns, axis=1).tolist()]
        score = simulated(env, ramps, TUNING_EPISODES, env.horizon, 1000 + turn).mean(axis=1)
        elite = points[np.argsort(-score)[:ELITE]]
        mean, spread = elite.mean(axis=0), 0.7 * elite.std(axis=0) + 0.3 * spread * 0.7
    finalists = [ramps[0]]  # the mean of the last round but one's elite
    if poorer:
        finalists.append(poorer)
    score = simulated(env, finalists, EPISODES, env.horizon, 2000).mean(axis=1)
    return finalists[int(score.argmax())]


def row(utility: str, rule: str, values: np.ndarray | None, settings: str = "") -> dict[str, Any]:
    """One line of the table; values are returns, None where only the published number is known."""
    published = PUBLISHED.get((utility, rule))
    ours = None if values is None else float(values.mean())
    return {
        "utility": utility,
        "rule": rule,
        "published": published,
        "ours": ours,
        "standard error": None if values is None else float(values.std(ddof=1) / EPISODES**0.5),
        "difference %": 100.0 * (ours / published - 1.0) if ours and published else None,
        "settings": settings,
    }


def table(utility: str) -> list[dict[str, Any]]:
    """All lines of one utility."""
    env = AgeStructured(utility=utility)
    constant = make("constant_fraction", env, fraction=F_MSY[utility])
    rows = [row(utility, "constant F", returns(env, constant), f"u={F_MSY[utility]}")]
    for rule, settings in published_rules(utility).items():
        text = ", ".join(f"{k}={v:.4g}" for k, v in settings.items())
        rows.append(row(utility, rule, returns(env, make("dfo_ramp", env, **settings)), text))
    for rule in ("PPO, biomass", "PPO, biomass and weight"):
        rows.append(row(utility, rule, None))
    for rule in ("constant_fraction", "dfo_ramp", "40-10", "constant_escapement"):
        agent: Any = make(rule, env)
        text = ", ".join(f"{k}={v:.4g}" for k, v in agent.parameters.items())
        name = f"{rule}, equilibrium reference points"
        rows.append(row(utility, name, returns(env, agent), text))
    biomass = tuned(env, 0)
    both = tuned(env, 1, biomass)
    for rule, ramp in (("our ramp, biomass", biomass), ("our ramp, biomass and weight", both)):
        text = ", ".join(f"{k}={v:.4g}" for k, v in ramp._asdict().items())
        rows.append(row(utility, rule, returns(env, RulePolicy(env, ramp)), text))
    bracket = env.oracle().value
    rows.append(row(utility, "oracle's lower end", None) | {"ours": bracket.lower})
    rows.append(row(utility, "upper bound", None) | {"ours": bracket.upper})
    return rows


def figure(rows: list[dict[str, Any]]) -> None:
    """Each rule's share of the upper bound, published beside ours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), sharex=True, layout="constrained")
    for panel, utility in zip(panels, RAMPS, strict=True):
        mine = [r for r in rows if r["utility"] == utility]
        upper = mine[-1]["ours"]
        mine = [r for r in mine[:-2] if "equilibrium" not in r["rule"]]
        place = np.arange(len(mine))[::-1]
        for key, mark, color in (("published", "D", "#EC831A"), ("ours", "o", "#2B38A0")):
            shares = [np.nan if r[key] is None else r[key] / upper for r in mine]
            panel.plot(shares, place, mark, color=color, label=key, ms=6)
        panel.axvline(1.0, color="#14181F", lw=2)
        panel.set_yticks(
            place, [r["rule"] for r in mine] if panel is panels[0] else [""] * len(mine)
        )
        panel.set_title(f"{utility}, upper bound {upper:.1f}", fontsize=10)
        panel.set_xlim(0.0, 1.05)
        panel.set_xlabel("return / upper bound")
        panel.grid(alpha=0.3)
    panels[0].legend(loc="lower left", fontsize=8)
    figure.savefig(RESULTS / "age_structured.png", dpi=110)


def main() -> None:
    """Write the table and the figure."""
    described(__doc__)
    rows = [r for utility in RAMPS for r in table(utility)]
    print(write(pd.DataFrame(rows), "age_structured", DIGITS))
    figure(rows)


if __name__ == "__main__":
    main()
