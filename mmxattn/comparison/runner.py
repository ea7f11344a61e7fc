"""Compare two or more recipes: config diff, complexity, speed, accuracy and visualization.

Results are written as soon as they are available. Interrupted comparisons resume: training continues from the last
checkpoint, and finished work is not repeated.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn
from tqdm import tqdm

from ..profiling.benchmark import benchmark
from ..profiling.complexity import Complexity, complexity
from ..profiling.environment import clock_mhz, environment
from ..utils.checkpoints import load_model
from ..utils.config import build_untrained_model, fingerprint, input_shape, load_config
from ..utils.errors import in_one_line
from ..visualization import Section, visualize
from .accuracy import Accuracy, evaluate, paired_difference
from .batches import Batches, first_image_shape
from .cache import archive_other_report, digest, file_id, restore, reuse_accuracy
from .config_diff import config_diff, format_diff
from .options import CompareOptions
from .report import write_report
from .result import Comparison, RecipeResult, Run, short_names
from .training import Training, load_finished_training, train


def compare(
    configs: Sequence[str | Path],
    work_dir: str | Path,
    name: str = '',
    options: CompareOptions | None = None,
    shape: tuple[int, int] | None = None,
    cfg_options: dict | None = None,
    log: Callable[[str], object] = print,
) -> Comparison:
    """Compare recipes with a baseline and write a report.

    Args:
        configs: Two or more config files, the baseline first.
        work_dir: Folder for training runs and evaluations, with one subfolder per recipe and seed.
        name: Subfolder of ``work_dir`` for the report. Defaults to ``work_dir`` itself.
        options: What to measure. By default nothing is trained, and speed and visualization use random weights.
        shape: Height and width in pixels for complexity and speed, on synthetic images. Defaults to the input size of
            the baseline, on its test images if they exist.
        cfg_options: Dotted config keys and values that override those of every config.
        log: Callback for progress messages.

    Returns:
        The result, as in ``report.json``.

    Raises:
        ValueError: If there are fewer than two configs, a config cannot be read, built or run at ``shape``, training
            fails, a checkpoint does not fit, or a dataset is missing. The report contains all results up to that
            point.
    """
    options = options or CompareOptions()
    options.validate(len(configs))
    return _ComparisonRunner(configs, Path(work_dir), name, options, shape, cfg_options, log).run()


class _ComparisonRunner:
    """Run the stages of a comparison, each of which fills a part of the result."""

    def __init__(
        self,
        configs: Sequence[str | Path],
        work_dir: Path,
        name: str,
        options: CompareOptions,
        shape: tuple[int, int] | None,
        cfg_options: dict | None,
        log: Callable[[str], object],
    ):
        self.configs, self.cfg_options = configs, cfg_options
        self.work_dir, self.folder = work_dir, work_dir / name
        self.options, self.log = options, log
        self.cfgs = [load_config(config, cfg_options) for config in configs]
        self.fixed_shape = tuple(shape) if shape else None
        self.result = self._init_result()
        self.batches = Batches(self.cfgs, self.result.shape, self.result.batch_size, synthetic=shape is not None)
        restore(self.result, self.folder)

    def _init_result(self) -> Comparison:
        baseline_cfg = self.cfgs[0]
        baseline, *candidates = (
            RecipeResult(Path(config).stem, str(config), fingerprint(cfg), config_diff(baseline_cfg, cfg))
            for config, cfg in zip(self.configs, self.cfgs))
        return Comparison(
            baseline=baseline,
            candidates=candidates,
            shape=self.fixed_shape or input_shape(baseline_cfg) or first_image_shape(baseline_cfg),
            environment=environment(baseline_cfg.get('default_scope', 'mmengine')),
            batch_size=baseline_cfg.get('train_dataloader', {}).get('batch_size', 1))

    def run(self) -> Comparison:
        """Run all stages, saving the result after each."""
        self.log_config_diff()
        for stage in (self.count_complexity, self.collect_weights, self.measure_accuracy, self.measure_speed,
                      self.visualize):
            stage()
            self.save()
        return self.result

    def save(self) -> None:
        """Write the report."""
        self.folder.mkdir(parents=True, exist_ok=True)
        archive_other_report(self.result, self.folder, self.log)
        write_report(self.result, self.folder)

    def log_config_diff(self) -> None:
        """Log how each candidate differs from the baseline."""
        for candidate in self.result.candidates:
            self.log(f'Config diff from {self.result.baseline.name} to {candidate.name}:')
            for line in format_diff(candidate.config_diff):
                self.log(line)

    def count_complexity(self) -> None:
        """Count parameters and multiply-adds."""
        for recipe, cfg in zip(self.result.recipes, self.cfgs):
            if recipe.complexity is None:
                self.log(f'Counting {recipe.name} at {self._size()} pixels')
                recipe.complexity = self._count(recipe, cfg)

    def collect_weights(self) -> None:
        """Use the given checkpoints, or train each recipe with each seed."""
        recipes, seeds = self.result.recipes, self.options.seeds
        for recipe, checkpoint in zip(recipes, self.options.checkpoints):
            recipe.runs = reuse_accuracy([Run(None, str(checkpoint))], recipe.runs)
        if not self.options.train:
            return
        runs: list[list[Run]] = [[] for _ in recipes]
        number, total = 0, len(seeds) * len(recipes)
        for seed in seeds:  # outer loop, so that an interrupted comparison has complete pairs
            for recipe, config, own in zip(recipes, self.configs, runs):
                number += 1
                training = self._train(config, recipe, seed, f'{number} of {total}')
                own.append(Run(seed, training.checkpoint, training))
                recipe.runs = reuse_accuracy(own, recipe.runs)
                self.save()

    def measure_accuracy(self) -> None:
        """Evaluate each run and bootstrap its difference from the baseline."""
        for recipe, cfg in zip(self.result.recipes, self.cfgs):
            if cfg.get('default_scope') in ('mmdet', 'mmseg'):
                for run in recipe.runs:
                    run.accuracy = run.accuracy or self._evaluate(cfg, recipe, run)
        for index, candidate in enumerate(self.result.candidates, 1):
            pairs = list(zip(self.result.baseline.runs, candidate.runs))
            ids = [[file_id(one.checkpoint), file_id(other.checkpoint)] for one, other in pairs]
            key = [self.options.resamples, ids]
            if self._is_outdated(f'differences {index}', key):
                candidate.differences = [self._bootstrap(one.accuracy, other.accuracy) for one, other in pairs
                                         if one.accuracy and other.accuracy]
                self._mark_finished(f'differences {index}', key)

    def measure_speed(self) -> None:
        """Measure latency, throughput, training steps and memory."""
        options = self.options
        key = [options.modes, options.batch_sizes, options.turns, self._weights_key(), self.fixed_shape]
        if not options.modes or not self._is_outdated('speed', key):
            return
        models = self._build_models()
        self.result.synthetic_images = self.batches.synthetic
        test_batches = {size: [self.batches.for_test(cfg, size) for cfg in self.cfgs]
                        for size in sorted({1, *options.batch_sizes})}
        optimizers = [cfg.get('optim_wrapper') for cfg in self.cfgs]
        train_batches = self.batches.for_training() if all(optimizers) else []
        self.result.environment['clock_mhz'] = clock_mhz()
        speeds = benchmark(models, optimizers, test_batches, train_batches, get_device(), options.modes, options.turns,
                           options.budget, self.log)
        for recipe, speed in zip(self.result.recipes, speeds):
            recipe.speed = speed
        self._mark_finished('speed', key)

    def visualize(self) -> None:
        """Visualize the models on test images."""
        key = [self._weights_key(), self.fixed_shape]
        if not self.options.visualization or not self._is_outdated('visualization', key):
            return
        pictures = self.folder / 'pictures'
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir()
        batches = self.batches.for_test(self.cfgs[0], 1)
        sections = visualize(self._build_models(), self.cfgs, batches, short_names(self.result),
                             log=lambda title: self.log(f'Visualization: {title}'))
        self.result.visualization = [_save_section(section, pictures, number)
                                     for number, section in enumerate(sections, 1)]
        self._mark_finished('visualization', key)

    def _size(self) -> str:
        return '{}x{}'.format(*self.result.shape)

    def _count(self, recipe: RecipeResult, cfg: Config) -> Complexity:
        try:
            return complexity(cfg, self.result.shape)
        except ValueError:
            raise
        except Exception as error:  # a model can raise anything for an unsuitable image size
            raise ValueError(f'{recipe.name} cannot run on an image of {self._size()} pixels ({in_one_line(error)}): '
                             f'use a larger shape, or fix the model.') from error

    def _train(self, config: str | Path, recipe: RecipeResult, seed: int, position: str) -> Training:
        cfg = load_config(config, self.cfg_options, seed)
        folder = self.work_dir / f'{recipe.name}-{fingerprint(cfg)}'
        title = recipe.name if len(self.options.seeds) == 1 else f'{recipe.name}, seed {seed}'
        if load_finished_training(folder):
            self.log(f'{title} is already trained (delete {folder} to train it again).')
        else:
            self.log(f'Training {position}: {title}')
        return train(cfg, folder, title)

    def _evaluate(self, cfg: Config, recipe: RecipeResult, run: Run) -> Accuracy:
        if run.training:
            folder = Path(run.checkpoint).parent / 'accuracy'
        else:
            folder = self.work_dir / 'accuracy' / f'{recipe.name}-{digest(run.checkpoint)[:8]}'
        self.log(f'Evaluating {recipe.name}' + ('' if run.seed is None else f', seed {run.seed}'))
        with _ProgressBar('image') as progress:
            return evaluate(cfg, run.checkpoint, folder, progress)

    def _bootstrap(self, baseline: Accuracy, candidate: Accuracy) -> dict[str, dict]:
        with _ProgressBar('resample') as progress:
            intervals = paired_difference(baseline, candidate, resamples=self.options.resamples, progress=progress)
        return {name: {'difference': interval.difference, 'lower': interval.lower, 'upper': interval.upper}
                for name, interval in intervals.items()}

    def _build_models(self) -> list[nn.Module]:
        """Build the models with the weights of their first run, or random ones if there is none."""
        return [load_model(cfg, recipe.runs[0].checkpoint) if recipe.runs else
                build_untrained_model(cfg).to(get_device()) for recipe, cfg in zip(self.result.recipes, self.cfgs)]

    def _weights_key(self) -> list[list[str]]:
        return [[recipe.fingerprint, *(file_id(run.checkpoint) for run in recipe.runs[:1])]
                for recipe in self.result.recipes]

    def _is_outdated(self, stage: str, key: list) -> bool:
        return self.result.stage_keys.get(stage) != digest(key)

    def _mark_finished(self, stage: str, key: list) -> None:
        self.result.stage_keys[stage] = digest(key)


class _ProgressBar:
    """Context manager that shows a progress bar and returns the callback that updates it."""

    def __init__(self, unit: str):
        self.bar = tqdm(unit=unit, leave=False)

    def __enter__(self) -> Callable[[int, int], None]:
        return self._update

    def __exit__(self, *error) -> None:
        self.bar.close()

    def _update(self, done: int, total: int) -> None:
        self.bar.total = total
        self.bar.update(done - self.bar.n)


def _save_section(section: Section, folder: Path, number: int) -> dict:
    """Write the pictures of a section and return the section as JSON data."""
    pictures = []
    for index, picture in enumerate(section.pictures, 1):
        path = folder / f'{number:02d}_{index:02d}.png'
        picture.image.save(path, optimize=True)
        pictures.append({'caption': picture.caption, 'file': f'{folder.name}/{path.name}'})
    return {'title': section.title, 'caption': section.caption, 'numbers': section.numbers,
            'problems': section.problems, 'pictures': pictures}
