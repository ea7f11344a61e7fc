"""JSON files, written whole or not at all."""

import json

from .atomic_files import write_whole


def write_json(path, data):
    """Write a JSON file.

    Args:
        path (Path): The file.
        data (object): What :mod:`json` takes.
    """
    write_whole(path, (json.dumps(data, indent=2) + '\n').encode())
