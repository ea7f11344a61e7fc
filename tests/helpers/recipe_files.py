"""Recipe files: their inheritance, their stock recipes and their parameter counts."""
import ast
import contextlib
import copy
import functools
import json
from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config

from mmxattn.utils.config import build_model, fingerprint
from recipes import CONFIGS, count

COUNTS = json.loads((CONFIGS.parent / 'docs' / 'paper_tables' / 'counts.json').read_text())


@functools.lru_cache(maxsize=64)
def _read(path):
    return Config.fromfile(path)


def load(path):
    """Load a config; the result may be modified."""
    return copy.deepcopy(_read(str(path)))


def base_of(path):
    """Return the recipe that a file inherits from, or None if it is composed of files in _base_ folders."""
    [base] = [eval(line.removeprefix('_base_ = ')) for line in path.read_text().splitlines()
              if line.startswith('_base_ = ')]
    base = (path.parent / base).resolve() if isinstance(base, str) else None
    return None if base is None or base.parent.name == '_base_' else base


def stock_of(path):
    """Return the recipe at the end of the inheritance chain, in a toolbox or in this repository."""
    base = base_of(path)
    if base is None:
        return path
    return stock_of(base) if base.is_relative_to(CONFIGS) else base


def model_changes(path):
    """Return the changes of a file to the model of its base as source code, or an empty string."""
    return ''.join(ast.unparse(line.value) for line in ast.parse(path.read_text()).body
                   if isinstance(line, ast.Assign) and line.targets[0].id == 'model')


def changes_model(path):
    """Return whether a recipe or one of its bases changes the stock model."""
    if not path.is_relative_to(CONFIGS) or base_of(path) is None:
        return False
    return bool(model_changes(path)) or changes_model(base_of(path))


@contextlib.contextmanager
def skip_init():
    """Build models without initializing weights, for tests of shapes and counts."""
    with contextlib.ExitStack() as stack:
        for name in dir(torch.nn.init):
            if name.endswith('_') and not name.startswith('_'):
                stack.enter_context(mock.patch.object(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor))
        yield


@functools.cache
def _known_counts():
    """Parameters by fingerprint of the model; tests/docs/test_paper_tables.py checks them."""
    return {entry['model']: entry['parameters'] for entry in COUNTS.values()}


@functools.cache
def parameters(path):
    """Count the parameters of the model of a recipe."""
    cfg = load(path)
    known = _known_counts().get(fingerprint(Config(dict(model=cfg.model))))
    if known is not None:
        return known
    with skip_init():
        return count(build_model(cfg))


def recipe_name(path):
    """Name of a recipe relative to configs/."""
    return Path(path).relative_to(CONFIGS).as_posix()
