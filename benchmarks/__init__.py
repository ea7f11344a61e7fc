"""Benchmarks of layers and models. They run from a checkout and are not part of the installed package."""
