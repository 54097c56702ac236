"""`rlopt certify`: how far a policy's action can move, between an attained and a proved bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from rlopt.cli.say import down, fail, show, up

if TYPE_CHECKING:
    from rlopt.agents.weights import Policy
    from rlopt.theory.lipschitz.regions import Region

NORMS = ("l2", "linf")
REFUSED = 2  # exit code for what cannot be read or understood

USAGE: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which newer typers hold themselves


class OneLine(TyperCommand):
    """A command that says in one line what is wrong with its arguments, without a usage text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the command does, but for mistakes."""
        try:
            return super().parse_args(ctx, args)
        except USAGE as error:
            said = _one_line(error.format_message()).rstrip(".")
            fail(f"{said[:1].lower()}{said[1:]}; see rlopt certify --help", REFUSED)


# texts rather than numbers: a bad one gets one line, as every other mistake


def certify(
    policy: Annotated[
        Path, typer.Argument(help="A zip of Stable-Baselines3, or a state_dict (.pth).")
    ],
    norm: Annotated[
        str, typer.Option("--norm", help="l2, or linf (largest coordinate).", metavar="NORM")
    ] = "l2",
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            help='Only observations in this box: "l1,l2,...:h1,h2,...".',
            metavar="LOW:HIGH",
        ),
    ] = None,
    vecnormalize: Annotated[
        Path | None,
        typer.Option(
            "--vecnormalize",
            help="Statistics of VecNormalize (.npz or JSON: mean, var, epsilon, clip_obs), folded "
            "in. Write them with rlopt.agents.weights.export_statistics.",
            metavar="FILE",
        ),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle", help="Let --vecnormalize open a pickle, which can run any code."
        ),
    ] = False,
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation",
            help="Of the hidden layers, where the file does not tell: relu, tanh, ...",
            metavar="NAME",
        ),
    ] = None,
    action_low: Annotated[
        str | None,
        typer.Option(
            "--action-low", help="Bounds of squashed actions, where the file does not tell."
        ),
    ] = None,
    action_high: Annotated[str | None, typer.Option("--action-high", help="The same.")] = None,
    net: Annotated[
        str,
        typer.Option(
            "--net",
            help="policy, value, q (a critic), or the beginning of the names in a state_dict.",
            metavar="NET",
        ),
    ] = "policy",
    largest: Annotated[
        str | None,
        typer.Option("--max", help="End with code 1 if the bound is above it.", metavar="L"),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Seconds to spend.", metavar="SECONDS")
    ] = "60",
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write the certificate, to verify it again.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bracket how far a policy's action moves with its observation: attained below, proved above.

    Reads PPO, A2C, TRPO, SAC, TQC, TD3, DDPG, DQN and plain state_dicts.
    No pickle is opened. For discrete actions it bounds logits or Q values,
    and the difference of every two of them (the margin).

    Exit code 1: the bound is above --max. 2: a file or option cannot be used.
    """
    from rlopt.agents.weights import read, read_statistics
    from rlopt.cli.bracket import bracket, folded

    try:
        if norm not in NORMS:
            raise ValueError(f"--norm must be l2 or linf, got {norm!r}")
        limit = None if largest is None else _number("--max", largest)
        seconds = _number("--budget", budget)
        if limit is not None and limit < 0.0:
            raise ValueError(f"--max must be >= 0, got {largest}")
        if not seconds > 0.0:
            raise ValueError(f"--budget must be > 0 seconds, got {budget}")
        if save is not None and not save.parent.is_dir():  # said before the budget is spent
            raise ValueError(f"cannot write {save}: there is no folder {save.parent}")
        read_policy = read(
            policy,
            net,
            activation=activation,
            action_low=None if action_low is None else _numbers("--action-low", action_low),
            action_high=None if action_high is None else _numbers("--action-high", action_high),
        )
        statistics = None
        if vecnormalize is not None:
            statistics = read_statistics(vecnormalize, trust_pickle=trust_pickle)
        elif trust_pickle:
            raise ValueError("--trust-pickle is for --vecnormalize")
        region = None if box is None else _box(box, read_policy.network.inputs)
        question = folded(read_policy, statistics, region)
    except ValueError as error:
        fail(_one_line(str(error)), REFUSED)
    found, certificate = bracket(question, norm, seconds)
    if save is not None:
        _write(save, certificate)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        show(_report(found, read_policy))
    if limit is not None and found["upper"] > limit:
        fail(f"the bound {up(found['upper'])} is above --max {largest}")


# --- options ---


def _number(flag: str, text: str) -> float:
    from math import isfinite

    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"{flag} must be a finite number, got {text!r}")
    return value


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [_number(flag, part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(
            f"{flag} must be finite numbers with commas between, got {text!r}"
        ) from error


def _box(text: str, inputs: int) -> Region:
    import numpy as np

    from rlopt.theory.lipschitz.regions import box

    sides = text.split(":")
    if len(sides) != 2:
        raise ValueError(f'--box must be "l1,l2,...:h1,h2,...", got {text!r}')
    low, high = (np.array(_numbers("--box", side)) for side in sides)
    for side in (low, high):
        if side.shape != (inputs,):
            raise ValueError(f"--box needs {inputs} numbers on each side, got {len(side)}")
    try:
        return box(inputs, (low, high))
    except ValueError as error:
        raise ValueError(str(error).replace("region", "--box", 1)) from error


def _one_line(text: str) -> str:
    """Without line breaks and control characters, which a file may smuggle into a message."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(visible.split())


def _write(path: Path, text: str) -> None:
    from rlopt.bench.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror or error}", REFUSED)


# --- what people read ---

PROOFS = {
    "rump": "floating Cholesky with a margin for every rounding",
    "arb": "ball arithmetic",
    "outward": "interval arithmetic, rounded outwards",
    "none": "floating point, not proved",
}


def _report(found: dict[str, Any], policy: Policy) -> Any:
    """The answer, then what it rests on."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    where = "" if found["region"] is None else " in the box"
    many = policy.outputs in ("logits", "Q values")
    if found["upper"]:
        verb = "move" if many else "moves"
        most = f"{verb} at most {up(found['upper'])} per unit ({found['norm']})"
    else:
        most = f"{'do' if many else 'does'} not move"
    answer = f"For every pair of observations{where}, the {policy.outputs} {most}."
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _evidence(found, policy):
        table.add_row(name, Text(text))
    return Group(Text(answer, "bold"), "", table)


def _evidence(found: dict[str, Any], policy: Policy) -> list[tuple[str, str]]:
    from rlopt.bench import format as fmt

    names = list(
        dict.fromkeys(str(layer.activation) for layer in policy.network.layers if layer.neurons)
    )
    sizes = "-".join(str(width) for width in found["layers"])
    units = "raw observations, through the statistics and the clip of --vecnormalize"
    if found["obs_scale"] is None:
        units = "in the network's own input units: a file does not tell whether it was normalised"
    gap = f"below 1{fmt.THIN}%" if 0.0 < found["gap"] < 0.01 else fmt.percent(found["gap"])
    rows = [
        (
            "bracket",
            f"{down(found['lower'])} to {up(found['upper'])}, gap {gap}",
        ),
        ("attained at", _point(found["witness"])),
        ("proved by", f"{found['method']}, {PROOFS[found['rigorous']]}"),
        ("network", f"{sizes}, {', '.join(names) or 'linear'}"),
        ("inputs", units),
    ]
    if policy.observations < policy.network.inputs:
        rows.append(("", "the observation, then the action scaled to [-1, 1]"))
    if policy.outputs == "action":
        rows.append(("outputs", "the mean action in its own units, before any clip to the bounds"))
    if found.get("margin"):
        rows.append(("margins", _margin_text(found["margin"])))
    elif policy.outputs == "logits":
        rows.append(("margins", "none: the file does not tell which logits compete"))
    rows += [
        ("took", fmt.seconds(found["seconds"])),
        ("not covered", "the float32 rounding of the network as it is deployed"),
    ]
    return rows


def _margin_text(margins: dict[str, float]) -> str:
    """All of a few, else the largest."""
    if len(margins) <= 6:
        return ", ".join(f"{pair}: {up(value)}" for pair, value in margins.items())
    pair = max(margins, key=margins.__getitem__)
    return f"{len(margins)} pairs, at most {up(margins[pair])} ({pair}); all with --json"


def _point(witness: list[float]) -> str:
    from rlopt.bench import format as fmt

    shown = ", ".join(fmt.regret(value, 4) for value in witness[:6])
    return f"({shown}{', ...' if len(witness) > 6 else ''})"
