"""Every recipe reports where to download its data if it is missing."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

import recipes
from mmxattn.datasets import sources

BY_FOLDER = {source.folder: source for source in vars(sources).values() if isinstance(source, sources.DatasetSource)}


def recipes_with_downloads():
    paths = [path for _, path in recipes.published()] + sorted((recipes.CONFIGS / 'demo').glob('*.py'))
    return [pytest.param(path, id=path.stem) for path in paths if '_digits' not in path.stem]


def innermost(dataset):
    """Unwrap a dataset. Of concatenated datasets, return the first, since it is built first."""
    while inner := dataset.get('dataset') or dataset.get('datasets'):
        dataset = inner if isinstance(inner, dict) else inner[0]
    return dataset


@pytest.mark.parametrize('path', recipes_with_downloads())
def test_missing_data_reports_download(path, tmp_path, monkeypatch):
    cfg = Config.fromfile(path)
    pytest.importorskip(cfg.default_scope)
    assert 'mmxattn' in cfg.custom_imports.imports  # registers the download hints
    monkeypatch.chdir(tmp_path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = innermost(loader.dataset)
        source = BY_FOLDER[Path(dataset.data_root).as_posix()]
        if 'Panoptic' in dataset.type:
            dataset.pipeline = []  # its transforms need panopticapi
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            with pytest.raises(sources.DatasetNotFoundError) as error:
                DATASETS.build(loader.dataset)
        assert str(error.value).startswith(f'{source.title}: {source.folder}/')
        assert source.url in str(error.value) and source.terms in str(error.value)
