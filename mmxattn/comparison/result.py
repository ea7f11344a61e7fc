"""The result of a comparison as objects and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..profiling.benchmark import Speed
from ..profiling.complexity import Complexity
from ..utils.atomic_files import write_json
from .accuracy import Accuracy
from .config_diff import Change
from .training import Training

FORMAT_VERSION = 2  # of report.json; reports of other versions are not reused
SHORT_METRIC_NAMES = {
    'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/bbox_mAP_75': 'AP75',
    'coco/bbox_mAP_s': 'AP_S', 'coco/bbox_mAP_m': 'AP_M', 'coco/bbox_mAP_l': 'AP_L',
    'pascal_voc/mAP': 'mAP', 'pascal_voc/AP50': 'AP50',
}


@dataclass
class Run:
    """One set of trained weights.

    Attributes:
        seed: Training seed; None for a given checkpoint.
        checkpoint: Path of the weights.
        training: Result of the training; None for a given checkpoint.
        accuracy: Accuracy of the weights; None for tasks other than detection and segmentation.
    """

    seed: int | None
    checkpoint: str
    training: Training | None = None
    accuracy: Accuracy | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metrics by short name, from ``accuracy`` or otherwise from the training's final evaluation."""
        if self.accuracy:
            return self.accuracy.metrics
        reported = self.training.metrics if self.training else {}
        return {SHORT_METRIC_NAMES.get(name, name): value for name, value in reported.items()}

    @classmethod
    def from_dict(cls, entry: dict) -> 'Run':
        """Create an instance from the output of ``dataclasses.asdict``."""
        training = Training(**entry['training']) if entry['training'] else None
        accuracy = Accuracy(**entry['accuracy']) if entry['accuracy'] else None
        return cls(entry['seed'], entry['checkpoint'], training, accuracy)


@dataclass
class RecipeResult:
    """Measurements of one recipe.

    Attributes:
        name: Name of the config file without ``.py``.
        config: Path of the config file.
        fingerprint: Fingerprint of the resolved config.
        config_diff: Changes from the baseline; empty for the baseline.
        complexity: Parameters and multiply-adds.
        speed: Timings and memory, one entry per mode.
        runs: Trained weights, one entry per seed.
        differences: Bootstrap intervals by metric, one entry per run, against the baseline's run of the same index.
    """

    name: str
    config: str
    fingerprint: str
    config_diff: list[Change] = field(default_factory=list)
    complexity: Complexity | None = None
    speed: list[Speed] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    differences: list[dict] = field(default_factory=list)

    @classmethod
    def from_dict(cls, entry: dict) -> 'RecipeResult':
        """Create an instance from the output of ``dataclasses.asdict``."""
        return cls(**{
            **entry,
            'config_diff': [Change(**change) for change in entry['config_diff']],
            'complexity': Complexity.from_dict(entry['complexity']) if entry['complexity'] else None,
            'speed': [Speed(**speed) for speed in entry['speed']],
            'runs': [Run.from_dict(run) for run in entry['runs']],
        })


@dataclass
class Comparison:
    """The result of :func:`mmxattn.comparison.compare`.

    Attributes:
        baseline: Recipe that the candidates are compared with.
        candidates: The other recipes.
        shape: Height and width in pixels at which complexity is counted.
        environment: Versions, device, threads and clock rate.
        batch_size: Batch size of timed training steps.
        synthetic_images: Whether speed was measured on synthetic images.
        visualization: Sections with title, caption, numbers, problems, and pictures (caption and file).
        stage_keys: Digest of the inputs of each finished stage. A stage is repeated when its inputs change.
    """

    baseline: RecipeResult
    candidates: list[RecipeResult]
    shape: tuple[int, int]
    environment: dict
    batch_size: int
    synthetic_images: bool = False
    visualization: list[dict] = field(default_factory=list)
    stage_keys: dict[str, str] = field(default_factory=dict)

    @property
    def recipes(self) -> list[RecipeResult]:
        """The baseline and the candidates."""
        return [self.baseline, *self.candidates]

    def save(self, path: str | Path, tables: list[dict] | None = None) -> None:
        """Write the result as JSON.

        Args:
            path: File to write.
            tables: Tables of the report, for programs that read the file. :meth:`load` ignores them.
        """
        write_json(path, {'format_version': FORMAT_VERSION, **asdict(self), 'tables': tables or []})

    @classmethod
    def load(cls, path: str | Path) -> 'Comparison':
        """Load a result written by :meth:`save`.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: If the file is damaged or of another version.
        """
        entry = json.loads(Path(path).read_text())
        if not isinstance(entry, dict) or entry.pop('format_version', None) != FORMAT_VERSION:
            raise ValueError(f'{path} must be a report of format version {FORMAT_VERSION}: run the comparison again.')
        del entry['tables']
        baseline = RecipeResult.from_dict(entry.pop('baseline'))
        candidates = [RecipeResult.from_dict(candidate) for candidate in entry.pop('candidates')]
        return cls(baseline, candidates, **{**entry, 'shape': tuple(entry['shape'])})


def short_names(comparison: Comparison) -> list[str]:
    """Return a short name for each recipe: the words of its name that not all recipes share.

    If the baseline has no such words, it is called 'baseline'. Full names are returned if short ones are ambiguous.
    """
    names = [recipe.name for recipe in comparison.recipes]
    words = [name.split('_') for name in names]
    shared = set(words[0]).intersection(*words)
    short = ['_'.join(word for word in own if word not in shared) for own in words]
    short[0] = short[0] or 'baseline'
    if all(short) and len(set(short)) == len(short):
        return short
    return names if len(set(names)) == len(names) else [f'{name} ({place})' for place, name in enumerate(names, 1)]
