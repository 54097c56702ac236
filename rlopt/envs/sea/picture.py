"""The picture of an online convex episode and its one text line.

Left: cumulative regret against the bound of optimistic mirror descent. Right: the points played in
the first two coordinates, the set's outline, and the comparator in black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlopt.envs.drawing import (
    HEIGHT,
    INK,
    LINE,
    MUTED,
    SMALL,
    WIDTH,
    Axes,
    Canvas,
    axes_at,
    canvas_of,
    decimals_of,
    margin_labels,
    name_axes,
    number,
    pixels,
    ticks,
    weight,
    words,
)
from rlopt.spaces import Ball, Product, Simplex

if TYPE_CHECKING:
    from rlopt.envs.sea.task import SEATask

History = Sequence[Mapping[str, Any]]  # the reset info, then the step infos in order

PLAYED, MOVING = "#2B38A0", "#EC831A"
MOVING_TEXT = "#A85A0B"  # dark enough to read on white
REACH = 0.61  # of the set's width, from its middle to the frame: a name fits below every point


def line(task: SEATask, history: History) -> str:
    """The state of an episode as one line of text, for terminals."""
    return "  ".join([f"round {len(history) - 1}/{task.horizon}", *_state(history)])


def draw(task: SEATask, history: History) -> np.ndarray:
    """The episode as an RGB picture of shape (420, 640, 3)."""
    if not history:
        raise ValueError("there is nothing to draw before reset()")
    canvas = canvas_of()
    _header(canvas, task, history)
    _draw_regret(axes_at(canvas, 52, 46, 214, 303), task, history)
    _draw_points(axes_at(canvas, 418, 96, 208, 208), task, history)
    return pixels(canvas)


def _series(history: History, name: str) -> np.ndarray:
    return np.array([float(step[name]) for step in history[1:]])


def _static(history: History) -> np.ndarray:
    """Regret against the best fixed point, realised where that has a closed form."""
    realised = all("regret_static" in step for step in history[1:])
    return _series(history, "regret_static" if realised else "regret_pseudo")


def _state(history: History) -> list[str]:
    """The numbers that every picture and text line opens with."""
    if len(history) < 2:
        return ["nothing played yet"]
    last = history[-1]
    shown = {"loss": float(last["loss"]), "static regret": float(_static(history)[-1])}
    if "regret_dynamic" in last:
        shown["dynamic regret"] = float(last["regret_dynamic"])
    shown["bound"] = float(last["bound_T1"])
    return [f"{name} {_digits(value)}" for name, value in shown.items()]


def _digits(value: float) -> str:
    return number(value, min(decimals_of(abs(value)), 5)) if abs(value) > 1e-9 else "0"


def _header(canvas: Canvas, task: SEATask, history: History) -> None:
    """Title, round and the state line."""
    figure = canvas.figure
    title = figure.text(
        10 / WIDTH, 396 / HEIGHT, type(task).__name__, **words(12, fontweight="bold")
    )
    right = title.get_window_extent(canvas.get_renderer()).x1
    time = f"round {len(history) - 1} of {task.horizon}"
    figure.text((right + 14) / WIDTH, 396 / HEIGHT, time, **words(9, MUTED))
    figure.text(10 / WIDTH, 371 / HEIGHT, "    ".join(_state(history)), **words(8.5))


def _draw_regret(axes: Axes, task: SEATask, history: History) -> None:
    """Regret so far; the bound is on regret to a fixed point, whatever the comparator is."""
    rounds = np.arange(1, len(history))
    curves = [("static regret", _static(history), PLAYED, PLAYED)]
    if task.comparator == "dynamic":
        moving = _series(history, "regret_dynamic")
        curves.append(("dynamic regret", moving, MOVING, MOVING_TEXT))
    bound = _series(history, "bound_T1")
    drawn = np.concatenate([[0.0], bound, *(values for _, values, _, _ in curves)])
    low, high = float(drawn.min()), float(drawn.max()) or 1.0
    axes.set_xlim(0.0, max(len(rounds), 6))
    axes.set_ylim(low - 0.06 * (high - low) if low < 0.0 else 0.0, high + 0.06 * (high - low))
    ticks(axes.xaxis, 5, integer=True)
    ticks(axes.yaxis, 6)
    name_axes(axes, "round", "regret so far")
    axes.axhline(0.0, color=INK, lw=1.2, ls="-", marker="")
    labels = []
    for name, values, color, text in curves:
        axes.plot(rounds, values, color=color, lw=weight(len(rounds)), ls="-", marker="")
        if len(values):
            labels.append((name, float(rounds[-1]), float(values[-1]), color, text))
    axes.plot(rounds, bound, color=INK, lw=1.2, ls=(0, (4, 2)), marker="")
    if len(bound):
        labels.append(("bound (dashed)", float(rounds[-1]), float(bound[-1]), INK, INK))
        margin_labels(axes, labels)


def _flat(points: np.ndarray) -> np.ndarray:
    """The first two coordinates, (n, 2); the second is 0 where there is one."""
    return np.column_stack([points[:, 0], points[:, 1] if points.shape[1] > 1 else 0.0 * points])


def _outline(task: SEATask) -> np.ndarray:
    """The set's shadow on the first two coordinates, a closed line (n, 2)."""
    space = task.space
    while isinstance(space, Product):
        space = space.parts[0]
    if isinstance(space, Ball):
        angle = np.linspace(0.0, 2.0 * np.pi, 181)
        ring = np.column_stack([np.cos(angle), np.sin(angle)])
        return np.asarray(space.radius * (ring if space.dimension > 1 else ring * [1.0, 0.0]))
    if isinstance(space, Simplex):
        corners = [[1, 0], [0, 1], [0, 0], [1, 0]] if space.dimension > 2 else [[1, 0], [0, 1]]
        return np.array(corners, float)
    (left, low), (right, high) = _flat(np.array([space.low, space.high]))
    return np.array([[left, low], [right, low], [right, high], [left, high], [left, low]])


def _draw_points(axes: Axes, task: SEATask, history: History) -> None:
    """The points played, later ones darker, and the comparator."""
    outline = _outline(task)
    low, high = outline.min(axis=0), outline.max(axis=0)
    middle, half = (low + high) / 2.0, REACH * float((high - low).max())
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    ticks(axes.xaxis, 4)
    ticks(axes.yaxis, 4)
    name_axes(axes, "$x_1$", "$x_2$" if task.space.dimension > 1 else "")
    axes.fill(*outline.T, facecolor="#F4F5F7", edgecolor=LINE, lw=1.0, zorder=0)
    marks: list[tuple[str, np.ndarray, str]] = []
    if len(history) > 1:
        played = _flat(np.array([step["x"] for step in history[1:]]))
        axes.plot(*played.T, color=PLAYED, lw=0.4, ls="-", marker="", alpha=0.25, zorder=1)
        shade = np.linspace(0.15, 1.0, len(played))
        axes.scatter(*played.T, s=9, color=PLAYED, alpha=shade, linewidths=0, zorder=2)
        axes.scatter(*played[-1:].T, s=34, color=PLAYED, linewidths=0, zorder=4)
        marks.append(("last point", played[-1], PLAYED))
    if task.foreseen:
        t = np.arange(1.0, max(len(history), 2))
        best = _flat(task.target(t))
        axes.plot(*best.T, color=INK, lw=1.2, ls="-", marker="", zorder=3)
        axes.scatter(*best[-1:].T, s=34, color=INK, marker="D", linewidths=0, zorder=3)
        marks.append(("comparator", best[-1], INK))
    marks.sort(key=lambda mark: float(mark[1][1]))
    for below, mark in zip((True, False), marks, strict=False):
        _name(axes, *mark, right=mark[1][0] > middle[0], below=below)


def _name(
    axes: Axes, text: str, place: np.ndarray, color: str, *, right: bool, below: bool
) -> None:
    """Name a mark: the lower one below, the other above, so that no name hides a mark."""
    axes.annotate(
        text,
        place,
        xytext=(5 if right else -5, -5 if below else 5),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top" if below else "bottom",
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
        **words(SMALL, color),
    )
