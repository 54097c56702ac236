"""Suites, trials, leaderboards and reports."""
