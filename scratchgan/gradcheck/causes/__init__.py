"""Causes: why a gradient is wrong. `search.diagnose` asks the rules, and a bank of known bugs."""
