"""Every recipe whose data is not there says where to get it."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

import recipes
from mmxattn.datasets import sources

BY_FOLDER = {source.folder: source for source in vars(sources).values() if isinstance(source, sources.Source)}
MADE_HERE = '_digits'  # scenes that the package draws by itself


def recipes_that_read():
    paths = [path for _, path in recipes.published()] + sorted((recipes.CONFIGS / 'demo').glob('*.py'))
    return [pytest.param(path, id=path.stem) for path in paths if MADE_HERE not in path.stem]


def first(dataset):
    """The innermost data set of wrapped and joined ones; of several the first, which is built first."""
    while inner := dataset.get('dataset') or dataset.get('datasets'):
        dataset = inner if isinstance(inner, dict) else inner[0]
    return dataset


@pytest.mark.parametrize('path', recipes_that_read())
def test_says_where_to_get_its_data(path, tmp_path, monkeypatch):
    cfg = Config.fromfile(path)
    pytest.importorskip(cfg.default_scope)
    assert 'mmxattn' in cfg.custom_imports.imports  # or nothing of this holds outside of these tests
    monkeypatch.chdir(tmp_path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = first(loader.dataset)
        source = BY_FOLDER[Path(dataset.data_root).as_posix()]
        if 'Panoptic' in dataset.type:
            dataset.pipeline = []  # built before the data is looked for, it asks for panopticapi
        with DefaultScope.overwrite_default_scope(cfg.default_scope), pytest.raises(sources.MissingData) as told:
            DATASETS.build(loader.dataset)
        assert str(told.value).startswith(f'{source.title}: {source.folder}/')
        assert source.address in str(told.value) and source.terms in str(told.value)
