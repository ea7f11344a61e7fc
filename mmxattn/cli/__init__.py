"""Command line of mmxattn."""
