"""Rows of the law table: normalisation layers."""

SMOOTH = {}
KINKED = {}
