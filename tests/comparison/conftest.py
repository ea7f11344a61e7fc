from pathlib import Path

import pytest

RECIPE = """
custom_imports = dict(imports=['toy_task'])
default_scope = 'mmengine'
model = dict(type='ToyClassifier', width={width}, data_preprocessor=dict(type='ImgDataPreprocessor'))
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(type='ToyImages'),
                        sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(type='ToyImages'),
                      sampler=dict(type='DefaultSampler', shuffle=False))
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = dict()
val_evaluator = dict(type='ToyAccuracy')
optim_wrapper = dict(optimizer=dict(type='SGD', lr={lr}))
custom_hooks = [dict(type='Diary', path='{folder}/{name}.diary', leave_at={leave_at})]
"""


@pytest.fixture
def toy_recipe(tmp_path, monkeypatch):
    """Write a recipe of the toy task, which this process and the ones it starts can import; returns its path."""
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv('PYTHONPATH', here, prepend=':')

    def write(name, width=4, lr=0.1, leave_at=None):
        path = tmp_path / f'{name}.py'
        path.write_text(RECIPE.format(folder=tmp_path, name=name, width=width, lr=lr, leave_at=leave_at))
        return path

    return write


@pytest.fixture
def steps(tmp_path):
    """The training steps that a recipe has taken, over all its runs."""
    return lambda name: [int(step) for step in (tmp_path / f'{name}.diary').read_text().split()]
