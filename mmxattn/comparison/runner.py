"""Two or more recipes side by side: what differs, what it costs, how fast, how good, and what it looks at.

Everything is written as soon as it is known. Stopped and called again, :func:`compare` goes on from there: trainings
from their last checkpoint, and what is finished is not done twice.
"""

import functools
import hashlib
import json
import shutil
from pathlib import Path

from mmengine.device import get_device
from tqdm import tqdm

from ..profiling.benchmark import benchmark
from ..profiling.complexity import complexity
from ..profiling.environment import clock_mhz, environment
from ..profiling.inputs import made_batch, real_batches, test_batches
from ..utils.checkpoints import load_model
from ..utils.config import fingerprint, input_shape, load_config, build_untrained_model
from ..utils.errors import in_one_line
from ..visualization import look
from . import cache as earlier
from .accuracy import evaluate, paired_difference
from .config_diff import config_diff
from .options import Plan
from .report import write_report
from .result import Candidate, Comparison, Run, labels
from .training import finished_training, train

IMAGES = 16  # that inference is timed on, in turn


def compare(configs, work_dir, name='', plan=None, shape=None, options=None, say=print):
    """Compare recipes, the first of which is the one that the others are set against.

    Args:
        configs (list[str | Path]): Two or more config files, the stock one first.
        work_dir (str | Path): Trainings and evaluations are kept here, one folder a recipe and seed.
        name (str): The report goes into this folder of ``work_dir``; by default into itself.
        plan (Plan, optional): What to find out. By default no training: differences, costs, speed, and pictures of
            models with random weights.
        shape (tuple[int, int], optional): Height and width in pixels to count and to time at, on made images. By
            default the recipe's own, on its test images where they are there.
        options (dict, optional): Dotted config keys and values that replace those of every recipe.
        say (Callable[[str], object]): Takes the lines that tell what is being done.

    Returns:
        Comparison: The result, as in ``report.json``.

    Raises:
        ValueError: Fewer than two recipes, one that cannot be read, built or run on an image of that shape, a training
            that failed, a checkpoint that does not fit, or a data set that is not there. What was found before is in
            the report.
    """
    plan = plan or Plan()
    plan.check(len(configs))
    work = _Work(configs, Path(work_dir), name, plan, shape, options, say)
    say_changes(work.result.candidates, say)
    for stage in (work.costs, work.weights, work.accuracy, work.speed, work.looks):
        stage()
        work.save()
    return work.result


def say_changes(candidates, say):
    """Tell what differs from the first candidate, key by key."""
    for candidate in candidates[1:]:
        say(f'{candidate.name} differs from {candidates[0].name} in:')
        for change in candidate.changes:
            flag = '   <- not the model: the comparison is not of the part alone' if change.outside_model else ''
            say(f'  {change.key}: {_short(change.before)} -> {_short(change.after)}{flag}')
        if not candidate.changes:
            say('  nothing')


def _short(value, width=60):
    if value is None:
        return '(none)'
    return value if len(value) <= width else value[:width - 3] + '...'


class _Work:
    """A comparison in the making: each stage fills a part of the result."""

    def __init__(self, configs, work_dir, name, plan, shape, options, say):
        self.work_dir, self.folder, self.plan, self.options, self.say = work_dir, work_dir / name, plan, options, say
        self.configs = configs
        self.cfgs = [load_config(config, options) for config in configs]
        self.made_shape = tuple(shape) if shape else None
        candidates = [Candidate(Path(config).stem, str(config), fingerprint(cfg), config_diff(self.cfgs[0], cfg))
                      for config, cfg in zip(configs, self.cfgs)]
        shape = self.made_shape or input_shape(self.cfgs[0]) or self._first_image_shape()
        self.result = Comparison(
            candidates, tuple(shape), environment(self.cfgs[0].get('default_scope', 'mmengine')),
            self.cfgs[0].get('train_dataloader', {}).get('batch_size', 1))
        earlier.take_over(self.result, self.folder)

    def save(self):
        """Write the result, as report.json, and the pages made of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        earlier.set_aside(self.result, self.folder, self.say)
        write_report(self.result, self.folder)

    def costs(self):
        """Parameters and multiply-adds."""
        for candidate, cfg in zip(self.result.candidates, self.cfgs):
            if candidate.complexity is None:
                self.say(f'Counting {candidate.name} at {self.result.shape[0]}x{self.result.shape[1]} pixels')
                candidate.complexity = self._count(candidate, cfg)

    def weights(self):
        """Trained weights: those that were given, or one training a recipe and seed."""
        plan, candidates = self.plan, self.result.candidates
        for place, candidate in enumerate(candidates):
            if plan.checkpoints:
                candidate.runs = _kept(candidate, [Run(None, str(plan.checkpoints[place]))])
        if not plan.train:
            return
        number, total = 0, len(plan.seeds) * len(candidates)
        runs = [[] for _ in candidates]
        for seed in plan.seeds:  # the recipes take turns, so that an interrupted run has pairs to show
            for candidate, config, own in zip(candidates, self.configs, runs):
                number += 1
                training = self._train(config, candidate, seed, f'{number} of {total}')
                own.append(Run(seed, training.checkpoint, training))
                candidate.runs = _kept(candidate, own)
                self.save()

    def accuracy(self):
        """Metrics of each run, and the bootstrap of their differences."""
        stock = self.result.candidates[0]
        for candidate, cfg in zip(self.result.candidates, self.cfgs):
            if cfg.get('default_scope') not in ('mmdet', 'mmseg'):
                continue
            for run in candidate.runs:
                if run.accuracy is None:
                    run.accuracy = self._evaluate(cfg, candidate, run)
        for place, candidate in enumerate(self.result.candidates[1:], 1):
            stage, pairs = f'differences {place}', list(zip(stock.runs, candidate.runs))
            key = [self.plan.resamples, [[_identity(first), _identity(run)] for first, run in pairs]]
            if self._due(stage, key):
                candidate.differences = [self._difference(first.accuracy, run.accuracy) for first, run in pairs
                                         if first.accuracy and run.accuracy]
                self._done(stage, key)

    def speed(self):
        """Timings and memory."""
        key = [self.plan.modes, self.plan.batch_sizes, self.plan.turns, self._weights_key(), self.made_shape]
        if not self.plan.modes or not self._due('speed', key):
            return
        models, device = self._models(), get_device()
        tests, trains = self._timing_batches()
        optimizers = [cfg.get('optim_wrapper') for cfg in self.cfgs]
        self.result.environment['clock_mhz'] = clock_mhz()
        measured = benchmark(models, optimizers, tests, trains if all(optimizers) else [], device, self.plan.modes,
                             self.plan.turns, self.plan.budget, self.say)
        for candidate, speeds in zip(self.result.candidates, measured):
            candidate.speed = speeds
        self._done('speed', key)

    def looks(self):
        """Pictures."""
        key = [self._weights_key(), self.made_shape]
        if not self.plan.looks or not self._due('looks', key):
            return
        pictures = self.folder / 'pictures'
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir()
        batches = self._test_batches(self.cfgs[0], 1)
        found = look(self._models(), self.cfgs, batches, labels(self.result),
                     say=lambda title: self.say(f'Looked at: {title}'))
        self.result.looks = [_saved(section, pictures, place) for place, section in enumerate(found.sections, 1)]
        self._done('looks', key)

    def _count(self, candidate, cfg):
        try:
            return complexity(cfg, self.result.shape)
        except ValueError:
            raise
        except Exception as error:  # whatever a model makes of an image of this size
            raise ValueError(f'{candidate.name} cannot be run on an image of {self.result.shape[0]}x'
                             f'{self.result.shape[1]} pixels ({in_one_line(error)}): give a larger shape, '
                             f'or mend the model.') from error

    def _train(self, config, candidate, seed, place):
        cfg = load_config(config, self.options, seed)
        folder = self.work_dir / f'{candidate.name}-{fingerprint(cfg)}'
        title = candidate.name if len(self.plan.seeds) == 1 else f'{candidate.name}, seed {seed}'
        if finished_training(folder):
            self.say(f'{title} is trained already (delete {folder} to train it anew).')
        else:
            self.say(f'Training {place}: {title}')
        return train(cfg, folder, title)

    def _evaluate(self, cfg, candidate, run):
        name = f'{candidate.name}-{hashlib.sha256(str(run.checkpoint).encode()).hexdigest()[:8]}'
        folder = Path(run.checkpoint).parent / 'accuracy' if run.training else self.work_dir / 'accuracy' / name
        self.say(f'Evaluating {candidate.name}' + ('' if run.seed is None else f', seed {run.seed}'))
        with _Bar('image') as progress:
            return evaluate(cfg, run.checkpoint, folder, progress)

    def _difference(self, first, second):
        with _Bar('resample') as progress:
            intervals = paired_difference(first, second, resamples=self.plan.resamples, progress=progress)
        return {name: dict(difference=one.difference, lower=one.lower, upper=one.upper)
                for name, one in intervals.items()}

    def _models(self):
        return [load_model(cfg, candidate.runs[0].checkpoint) if candidate.runs
                else build_untrained_model(cfg).to(get_device())
                for candidate, cfg in zip(self.result.candidates, self.cfgs)]

    def _timing_batches(self):
        """Test batches by size, one list a model, and one training batch a model."""
        tests = {size: [self._test_batches(cfg, size) for cfg in self.cfgs]
                 for size in sorted({1, *self.plan.batch_sizes})}
        trains = []
        for cfg in self.cfgs:
            if self._made_images:
                trains.append(made_batch(cfg, self.result.shape, self.result.batch_size))
            elif cfg.get('train_dataloader'):
                trains.extend(real_batches(cfg.train_dataloader, 1))
        return tests, trains if len(trains) == len(self.cfgs) else []

    @functools.cached_property
    def _made_images(self):
        """Whether images have to be made; asked once, for it reads every data set."""
        self.result.made_images = bool(self.made_shape) or not all(map(_has_images, self.cfgs))
        return self.result.made_images

    def _test_batches(self, cfg, size):
        if self._made_images:
            return [made_batch(cfg, self.result.shape, size)]
        return test_batches(cfg, size, max(1, IMAGES // size))

    def _first_image_shape(self):
        batch, = test_batches(self.cfgs[0], 1, 1)
        return batch['inputs'][0].shape[-2:]

    def _weights_key(self):
        return [[candidate.fingerprint, *map(_identity, candidate.runs[:1])] for candidate in self.result.candidates]

    def _due(self, stage, key):
        return self.result.stages.get(stage) != _digest(key)

    def _done(self, stage, key):
        self.result.stages[stage] = _digest(key)


class _Bar:
    """A progress bar that is called with what is done and the total."""

    def __init__(self, unit):
        self.bar = tqdm(unit=unit, leave=False)

    def __enter__(self):
        return self.update

    def __exit__(self, *error):
        self.bar.close()

    def update(self, done, total):
        self.bar.total = total
        self.bar.update(done - self.bar.n)


def _kept(candidate, runs):
    """The runs, with the accuracy that an earlier call found for the same weights."""
    before = {_identity(run): run.accuracy for run in candidate.runs if Path(run.checkpoint).is_file()}
    for run in runs:
        run.accuracy = before.get(_identity(run))
    return runs


def _identity(run):
    """Path, size and time of the weights' file, as text."""
    status = Path(run.checkpoint).stat()
    return f'{run.checkpoint}:{status.st_size}:{status.st_mtime_ns}'


def _digest(key):
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _has_images(cfg):
    try:
        return bool(test_batches(cfg, 1, 1))
    except Exception:  # a data set that is not there fails in its own way
        return False


def _saved(section, folder, place):
    """A section as JSON takes it, its pictures written as files."""
    pictures = []
    for number, picture in enumerate(section.pictures, 1):
        path = folder / f'{place:02d}_{number:02d}.png'
        picture.image.save(path, optimize=True)
        pictures.append(dict(caption=picture.caption, file=f'{folder.name}/{path.name}'))
    return dict(title=section.title, caption=section.caption, numbers=section.numbers, problems=section.problems,
                pictures=pictures)
