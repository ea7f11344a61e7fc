"""Plugins for the blocks of a backbone."""
