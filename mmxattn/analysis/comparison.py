"""Two or more recipes side by side: what differs, what it costs, how good and how fast each is.

Everything is written to a JSON file as it is known. Stopped and called again, :func:`compare` goes on from there:
trainings from their last checkpoint, and what is finished is not done twice.
"""

import io
import itertools
import json
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, load_checkpoint, set_random_seed

from . import speed
from .complexity import Complexity, complexity
from .config_diff import Change, config_diff
from .recipe import build_model, fingerprint, input_shape, load_recipe
from .training import Training, finished_training, train, write_json

IMAGES = 16  # that inference is timed on, in turn
BUDGET = 45  # seconds for each of the two timings; fewer turns on a slow machine


@dataclass
class Candidate:
    """One of the recipes that are compared.

    Attributes:
        name: The config file's name without ``.py``.
        config: Its path.
        fingerprint: Changes with the resolved config.
        changes: What differs from the first recipe.
        complexity: Parameters and multiply-adds.
        training: Metrics, training time, checkpoint; None until it is trained.
        inference: Seconds for one image, one value a turn.
        training_step: Seconds for one training step, likewise.
    """

    name: str
    config: str
    fingerprint: str
    changes: list = field(default_factory=list)
    complexity: Complexity = None
    training: Training = None
    inference: list = field(default_factory=list)
    training_step: list = field(default_factory=list)

    @classmethod
    def from_dict(cls, entry):
        """The inverse of ``dataclasses.asdict``."""
        shaped = dict(entry, changes=[Change(**change) for change in entry['changes']])
        if entry['complexity']:
            shaped['complexity'] = Complexity.from_dict(entry['complexity'])
        if entry['training']:
            shaped['training'] = Training(**entry['training'])
        return cls(**shaped)


@dataclass
class Comparison:
    """The result of :func:`compare`; the first candidate is what the others are compared with.

    Attributes:
        candidates: The recipes and what is known of each.
        shape: Height and width in pixels that complexity is counted at.
        seed: The one that all were trained with.
        batch_size: Images in a timed training step.
        environment: Versions, device and threads.
    """

    candidates: list
    shape: tuple
    seed: int
    batch_size: int
    environment: dict

    def save(self, path):
        """Write it as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote."""
        entry = json.loads(Path(path).read_text())
        candidates = [Candidate.from_dict(candidate) for candidate in entry.pop('candidates')]
        return cls(candidates, **dict(entry, shape=tuple(entry['shape'])))


def compare(configs, work_dir, name='comparison', shape=None, seed=0, turns=40, options=None, say=print):
    """Compare recipes: train each, evaluate it, count it and time it against the first.

    Args:
        configs (list[str | Path]): Two or more config files, the stock one first.
        work_dir (str | Path): One folder a recipe is made here, and ``NAME.json``.
        name (str): Of the result file.
        shape (tuple[int, int], optional): Height and width in pixels to count complexity at. By default what the
            first recipe tells, else the size of its first test image.
        seed (int): Each is trained with this one.
        turns (int): How often inference is timed; a training step a quarter as often.
        options (dict, optional): Dotted config keys and values that replace those of every recipe.
        say (Callable[[str], object]): Takes the lines that tell what is being done.

    Returns:
        Comparison: The result, as in ``WORK_DIR/NAME.json``.

    Raises:
        ValueError: Fewer than two recipes, one that cannot be read or built, or a training that failed.
    """
    if len(configs) < 2:
        raise ValueError(f'A comparison takes two or more config files, the stock one first; got {len(configs)}: '
                         f'{[str(config) for config in configs]}.')
    cfgs = [load_recipe(config, options, seed) for config in configs]
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    result, path = _begin(configs, cfgs, shape, seed), work_dir / f'{name}.json'
    folders = [work_dir / f'{candidate.name}-{candidate.fingerprint}' for candidate in result.candidates]
    for candidate, folder in zip(result.candidates, folders):
        candidate.training = finished_training(folder)
        if candidate.training:
            say(f'{candidate.name} is trained already (delete {folder} to train it anew).')
    before = _earlier_result(path)
    if before is not None and _still_holds(before, result):
        return before

    _say_changes(result.candidates, say)
    for candidate, cfg in zip(result.candidates, cfgs):
        candidate.complexity = complexity(cfg, result.shape)
    for number, (candidate, cfg, folder) in enumerate(zip(result.candidates, cfgs, folders), 1):
        if candidate.training is None:
            say(f'Training {number} of {len(cfgs)}: {candidate.name}')
            candidate.training = train(cfg, folder, candidate.name)
        result.save(path)
    say(f'Timing inference and training steps, the models taking turns: {2 * BUDGET} seconds at most ...')
    _time(result.candidates, cfgs, turns)
    result.save(path)
    return result


def _begin(configs, cfgs, shape, seed):
    candidates = [Candidate(Path(config).stem, str(config), fingerprint(cfg), config_diff(cfgs[0], cfg))
                  for config, cfg in zip(configs, cfgs)]
    shape = shape or input_shape(cfgs[0]) or _first_image_shape(cfgs[0])
    return Comparison(candidates, tuple(shape), seed, cfgs[0].train_dataloader.batch_size, environment(cfgs[0]))


def _first_image_shape(cfg):
    batch, = _test_batches(cfg, 1)
    return batch['inputs'][0].shape[-2:]


def environment(cfg):
    """Versions, device and threads: what timings depend on besides the recipe.

    Args:
        cfg (mmengine.config.Config): A recipe; its scope names the toolbox.

    Returns:
        dict[str, str | int]: By name.
    """
    packages = ['torch', 'mmengine', 'mmcv', cfg.get('default_scope', 'mmengine'), 'mmxattn']
    versions = {package: import_module(package).__version__ for package in packages}
    device = torch.cuda.get_device_name() if get_device() == 'cuda' else get_device()
    return {**versions, 'device': device, 'threads': torch.get_num_threads()}


def _say_changes(candidates, say):
    for candidate in candidates[1:]:
        say(f'{candidate.name} differs from {candidates[0].name} in:')
        for change in candidate.changes:
            flag = '   <- not the model: the comparison is not of the part alone' if change.unfair else ''
            say(f'  {change.key}: {_short(change.before)} -> {_short(change.after)}{flag}')
        if not candidate.changes:
            say('  nothing')


def _short(value, width=60):
    if value is None:
        return '(none)'
    return value if len(value) <= width else value[:width - 3] + '...'


def _earlier_result(path):
    try:
        return Comparison.load(path)
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or another version's: it is made anew
        return None


def _still_holds(before, now):
    """Whether an earlier result is finished, and of the same recipes, trainings and machine."""
    def identity(comparison):
        runs = [(candidate.fingerprint, candidate.training) for candidate in comparison.candidates]
        return runs, comparison.shape, comparison.environment
    return identity(before) == identity(now) and all(candidate.training_step for candidate in before.candidates)


def _time(candidates, cfgs, turns):
    """Fill in the timings: trained weights, real images, all models in this one process."""
    device = get_device()
    timer = speed.timer_for(device)
    models, predictions, steps = [], [], []
    for candidate, cfg in zip(candidates, cfgs):
        model = build_model(cfg).to(device)
        load_checkpoint(model, candidate.training.checkpoint, map_location='cpu', logger='silent')
        models.append(model)
        predictions.append(speed.prediction(model, _test_batches(cfg, IMAGES)))
    for candidate, seconds in zip(candidates, speed.interleave(predictions, turns, budget=BUDGET, timer=timer)):
        candidate.inference = seconds
    for model, cfg in zip(models, cfgs):
        batch, = _batches(cfg.train_dataloader, 1)
        steps.append(speed.training_step(model, batch, build_optim_wrapper(model, cfg.optim_wrapper)))
    step_turns = max(1, turns // 4)
    for candidate, seconds in zip(candidates, speed.interleave(steps, step_turns, 2, budget=BUDGET, timer=timer)):
        candidate.training_step = seconds


def _test_batches(cfg, number):
    return _batches(dict(cfg.get('val_dataloader') or cfg.test_dataloader, batch_size=1), number)


def _batches(loader, number, seed=0):
    """The first batches of a data loader, the same ones each time."""
    loader = dict(loader, num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    set_random_seed(seed)  # for the augmentation
    with redirect_stdout(io.StringIO()):  # pycocotools tells that it reads annotations
        return list(itertools.islice(Runner.build_dataloader(loader, seed=seed), number))
