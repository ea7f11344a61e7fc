"""Segmentors of mmseg, for heads that need more than the backbone's maps."""
