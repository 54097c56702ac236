"""`python -m rlopt.cli`."""

from rlopt.cli import app

app()
