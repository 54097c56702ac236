"""What the commands say: tables on standard output, one line of trouble on standard error."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer


def show(renderable: Any) -> None:
    """Print a table or text."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(renderable)
        return
    # Where nobody looks (a file, a pipe) lines may be as long as the table is; none is padded.
    console = Console(width=120)
    with console.capture() as held:
        console.print(renderable)
    for line in held.get().splitlines():
        typer.echo(line.rstrip())


def fail(message: str, code: int = 1) -> NoReturn:
    """Say in one line what is wrong, and end."""
    typer.echo(f"rlopt: {message}", err=True)
    raise typer.Exit(code)


def up(value: float) -> str:
    """Four digits, rounded up."""
    return _digits(value, "ROUND_CEILING")


def down(value: float) -> str:
    """Four digits, rounded down."""
    return _digits(value, "ROUND_FLOOR")


def _digits(value: float, rounding: str) -> str:
    from decimal import Decimal

    from rlopt.bench.format import THIN, scientific

    number = Decimal(value)
    if not number.is_finite() or not number:
        return f"{value:g}"
    rounded = number.quantize(Decimal(1).scaleb(number.adjusted() - 3), rounding)
    if not -5 < rounded.adjusted() < 6:
        return scientific(float(rounded), 4)
    return f"{rounded:,f}".replace(",", THIN)
