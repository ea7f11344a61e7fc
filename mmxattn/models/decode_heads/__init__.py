"""Decode heads of segmentors."""
