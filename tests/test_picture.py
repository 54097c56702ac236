"""The fishery picture holds for every shape of episode that a run can end in."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlopt.envs.drawing import dodge
from rlopt.envs.fishery.picture import Episode, draw, line

MSY, TIP = 0.4794, 5.0


def episode(n: int, *, scale: float = 1.0, seed: int = 1, **changes: Any) -> Episode:
    """A plausible fishery around the Allen defaults: overfished first, then kept at 6.7."""
    noise = np.random.default_rng(seed).normal(0.0, 0.05, n)
    stock, escapement = np.empty(n), np.empty(n)
    x = 7.9
    for t in range(n):
        aim = 6.7 if t > 12 else 7.3 - 0.15 * t
        stock[t], escapement[t] = x, min(x, aim)
        s = escapement[t]
        x = s * np.exp(2 * (1 - s / 8) * (s - TIP) / 8 + noise[t])
    catch = stock - escapement
    made = Episode(
        title="FisheryTipping",
        horizon=50,
        years=range(n),
        stock=stock * scale,
        escapement=escapement * scale,
        catch=catch * scale,
        regret=2.06 * scale,
        S_oracle=6.66 * scale,
        tipping_point=TIP * scale,
        msy=MSY * scale,
        B_msy=7.14 * scale,
        F_msy=0.0695,
        F=-np.log1p(-catch / stock),
    )
    return replace(made, **changes)


def collapsed(n: int) -> Episode:
    """All is caught in the third year, and nothing comes back."""
    stock = np.zeros(n)
    stock[:3] = 7.9, 7.4, 6.1
    escapement = np.zeros(n)
    escapement[:2] = 7.0, 5.4
    catch = stock - escapement
    with np.errstate(divide="ignore", invalid="ignore"):
        f = -np.log1p(-catch / stock)
    return episode(n, stock=stock, escapement=escapement, catch=catch, F=f, regret=41.3)


def undecided() -> Episode:
    """The first state after a reset: a stock, and no harvest yet."""
    nothing = np.full(1, np.nan)
    return episode(1, escapement=nothing, catch=nothing, F=nothing, regret=0.0)


def between_harvests(n: int) -> Episode:
    """What a render between two steps shows: the newest year has a stock and no harvest."""
    whole = episode(n)
    later = np.append(np.zeros(n - 1), np.nan)
    return replace(
        whole,
        escapement=whole.escapement + later,
        catch=whole.catch + later,
        F=whole.F + later,
    )


CASES = {
    "usual": episode(25, unit="t"),
    "one_year": episode(1),
    "two_years": episode(2),
    "long": episode(1000, horizon=None),
    "collapsed": collapsed(20),
    "small": episode(40, scale=0.125),
    "large": episode(40, scale=1e6),
    "hundred": episode(100, horizon=100),
    "no_tip_no_oracle": episode(25, tipping_point=None, S_oracle=None, regret=None),
    "no_msy": episode(25, B_msy=0.0, F_msy=0.0, msy=0.0),
    "low_branch": episode(25, B_msy=0.8, F_msy=0.3, tipping_point=None),
    "all_dead": episode(
        5, stock=np.zeros(5), escapement=np.zeros(5), catch=np.zeros(5), F=np.full(5, np.nan)
    ),
    "undecided": undecided(),
    "between": between_harvests(26),
    "stiff": episode(25, F=np.full(25, np.inf)),
    "long_title": episode(25, title="A fishery with $a$ very long name, " * 4),
}


@pytest.mark.parametrize("name", CASES)
def test_draws_every_episode(name: str) -> None:
    picture = draw(CASES[name])
    assert picture.shape == (420, 640, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    # all three plots and the header hold more than background
    for part in (picture[:60], picture[60:280, :400], picture[290:, :400], picture[60:, 420:]):
        assert (part != 255).any(axis=-1).mean() > 0.005


def test_same_episode_same_bytes_under_any_style() -> None:
    import matplotlib

    plain = draw(CASES["usual"])
    strange: dict[Any, Any] = {
        "font.family": "serif",
        "font.size": 20,
        "axes.facecolor": "black",
        "axes.grid": True,
        "figure.dpi": 50,
        "lines.linewidth": 9,
        "lines.marker": "x",
        "xtick.labelsize": 3,
        "ytick.right": True,
        "text.color": "green",
        "hatch.linewidth": 4,
        "figure.constrained_layout.use": True,
    }
    with matplotlib.rc_context(strange):
        styled = draw(CASES["usual"])
    np.testing.assert_array_equal(plain, styled)


def test_line_is_the_state_in_words() -> None:
    last: dict[str, Any] = {
        "stock": np.array([7.46]),
        "escapement": np.array([6.7]),
        "catch": np.array([0.76]),
        "F": np.array([0.1]),
    }
    now = episode(1, years=[25], **last)
    assert line(now) == "year 25/50  stock 7.46  escapement 6.70  catch 0.76  regret so far 2.06"
    endless = replace(now, horizon=None, regret=None, unit="t")
    assert line(endless) == "year 25  stock 7.46 t  escapement 6.70 t  catch 0.76 t"


def test_line_never_rounds_something_to_nothing() -> None:
    tiny = episode(1, catch=np.array([0.0004]), regret=0.00002)
    assert "catch 0.0004 " in line(tiny)
    assert line(tiny).endswith("regret so far 2 × 10⁻⁵")
    assert line(episode(1, scale=1e-6)).startswith("year 0/50  stock 7.9 × 10⁻⁶")


def test_line_shows_no_rounding_error_as_regret() -> None:
    assert line(episode(9, regret=4e-9)).endswith("regret so far 0.00")


def test_line_between_harvests_says_whose_catch_it_is() -> None:
    assert "escapement –  catch –" in line(undecided())
    now, before = line(between_harvests(9)), episode(9)
    assert f"year 8/50  stock {before.stock[8]:.2f}" in now
    assert f"last escapement {before.escapement[7]:.2f}  last catch {before.catch[7]:.2f}" in now


def test_labels_keep_apart_within_the_frame() -> None:
    placed = dodge([5.0, 5.0, 5.1, 99.0], 10.0, 0.0, 60.0)
    assert placed == sorted(placed)
    assert min(np.diff(placed)) >= 10.0
    assert min(placed) >= 0.0
    assert max(placed) <= 60.0


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"catch has shape \(2,\); years asks for \(1,\)"):
        episode(1, catch=np.zeros(2))
    with pytest.raises(ValueError, match="years is empty"):
        episode(1, years=[])
