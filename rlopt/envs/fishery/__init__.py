"""Harvested stocks with growth maps, tipping points and exact oracles."""
