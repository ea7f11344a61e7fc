"""Backbones: a stock one with plugins in its blocks."""
