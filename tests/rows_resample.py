"""Rows of the law table: resampling, pooling and padding."""

SMOOTH = {}
KINKED = {}
