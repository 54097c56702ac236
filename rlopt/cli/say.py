"""What the commands say: tables on standard output, one line of trouble on standard error."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer


def show(renderable: Any) -> None:
    """Print a table or text."""
    from rich.console import Console

    # Where nobody looks (a file, a pipe) lines may be as long as the table is.
    Console(width=None if sys.stdout.isatty() else 120).print(renderable)


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

    number = Decimal(value)
    if not number.is_finite() or not number:
        return f"{value:g}"
    return f"{number.quantize(Decimal(1).scaleb(number.adjusted() - 3), rounding):f}"
