"""Configs written for released versions build the same models."""
import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import METRICS, init_default_scope

import recipes

FOLDER = Path(__file__).parents[1] / 'data' / 'released'
CONFIGS = sorted(FOLDER.glob('*/*.py'))
COUNTS = json.loads((FOLDER / 'parameters.json').read_text())  # of the models built by the released version


def name_of(path):
    return path.relative_to(FOLDER).with_suffix('').as_posix()


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_released_config_builds_the_same_model(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    toolbox = __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS'])
    assert recipes.count(toolbox.MODELS.build(copy.deepcopy(cfg.model))) == COUNTS[name_of(path)]
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else []
    for evaluator in evaluators[1:]:  # the first one needs the data
        assert METRICS.build(copy.deepcopy(evaluator))


def test_every_released_config_has_a_count():
    assert set(COUNTS) == {name_of(path) for path in CONFIGS}
