"""What a comparison comes to, as objects and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..profiling.benchmark import Speed
from ..profiling.complexity import Complexity
from ..utils.json_files import write_json
from .accuracy import Accuracy
from .config_diff import Change
from .training import Training

TOOLBOX_NAMES = {  # the toolboxes' names for what papers call otherwise
    'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/bbox_mAP_75': 'AP75',
    'coco/bbox_mAP_s': 'AP_S', 'coco/bbox_mAP_m': 'AP_M', 'coco/bbox_mAP_l': 'AP_L',
    'pascal_voc/mAP': 'mAP', 'pascal_voc/AP50': 'AP50',
}


@dataclass
class Run:
    """One set of trained weights of a recipe.

    Attributes:
        seed: It was trained with; None where the weights were given.
        checkpoint: Path of the weights.
        training: How training went; None where the weights were given.
        accuracy: What it scores; None for a task that is neither detection nor segmentation.
    """

    seed: int
    checkpoint: str
    training: Training = None
    accuracy: Accuracy = None

    @property
    def metrics(self):
        """By short name: the accuracy's, else what the recipe's own evaluator said."""
        if self.accuracy:
            return self.accuracy.metrics
        reported = self.training.metrics if self.training else {}
        return {TOOLBOX_NAMES.get(name, name): value for name, value in reported.items()}


@dataclass
class Candidate:
    """One of the recipes that are compared.

    Attributes:
        name: The config file's name without ``.py``.
        config: Its path.
        fingerprint: Changes with the resolved config.
        changes: What differs from the first recipe.
        complexity: Parameters, multiply-adds, and what has no rule.
        speed: Timings and memory, one entry a mode.
        runs: Trained weights, one entry a seed.
        differences: One entry a run, against the first recipe's run of the same place: metric -> bootstrap interval.
    """

    name: str
    config: str
    fingerprint: str
    changes: list = field(default_factory=list)
    complexity: Complexity = None
    speed: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    differences: list = field(default_factory=list)

    @classmethod
    def from_dict(cls, entry):
        """The inverse of ``dataclasses.asdict``."""
        return cls(**dict(
            entry,
            changes=[Change(**change) for change in entry['changes']],
            complexity=Complexity.from_dict(entry['complexity']) if entry['complexity'] else None,
            speed=[Speed(**speed) for speed in entry['speed']],
            runs=[_run(run) for run in entry['runs']]))


def _run(entry):
    training = Training(**entry['training']) if entry['training'] else None
    accuracy = Accuracy.from_dict(entry['accuracy']) if entry['accuracy'] else None
    return Run(entry['seed'], entry['checkpoint'], training, accuracy)


@dataclass
class Comparison:
    """The result of :func:`mmxattn.comparison.compare`; the others are compared with the first candidate.

    Attributes:
        candidates: The recipes and what is known of each.
        shape: Height and width in pixels that complexity is counted at.
        environment: Versions, device, threads and clocks.
        batch_size: Images in a timed training step.
        made_images: Whether timing was done on made images, as the data set was not there.
        looks: Sections of pictures: title, caption, numbers, problems, pictures with caption and file.
        stages: For each part that is done what it depends on, so that it is done anew when that changes.
    """

    candidates: list
    shape: tuple
    environment: dict
    batch_size: int
    made_images: bool = False
    looks: list = field(default_factory=list)
    stages: dict = field(default_factory=dict)

    def save(self, path, tables=()):
        """Write it as JSON, whole or not at all.

        Args:
            path (str | Path): The file.
            tables (list[dict]): The tables that a report shows of it; they are written with it, not read back.
        """
        write_json(Path(path), dict(asdict(self), tables=list(tables)))

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError, ValueError, KeyError, TypeError: There is none, or it is of another version.
        """
        entry = json.loads(Path(path).read_text())
        entry.pop('tables')
        candidates = [Candidate.from_dict(candidate) for candidate in entry.pop('candidates')]
        return cls(candidates, **dict(entry, shape=tuple(entry['shape'])))


def labels(comparison):
    """Column heads: of each config's name the words that not all of them share; a first one without any is 'stock'.

    Args:
        comparison (Comparison): Its candidates' names are used.

    Returns:
        list[str]: The whole names where nothing short tells them apart.
    """
    names = [candidate.name for candidate in comparison.candidates]
    words = [name.split('_') for name in names]
    shared = set(words[0]).intersection(*words)
    short = ['_'.join(word for word in own if word not in shared) for own in words]
    short[0] = short[0] or 'stock'
    if all(short) and len(set(short)) == len(short):
        return short
    return names if len(set(names)) == len(names) else [f'{name} ({place})' for place, name in enumerate(names, 1)]
