"""Files that are written whole or not at all, whenever the program is stopped."""

import json


def write_whole(path, content):
    """Write a file.

    Args:
        path (Path): The file.
        content (bytes): All of it.
    """
    draft = path.with_name(f'{path.name}.tmp')
    draft.write_bytes(content)
    draft.replace(path)


def write_json(path, data):
    """Write a JSON file.

    Args:
        path (Path): The file.
        data (object): What :mod:`json` takes.
    """
    write_whole(path, (json.dumps(data, indent=2) + '\n').encode())
