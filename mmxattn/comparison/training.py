"""Train one recipe to its end, going on from wherever an earlier run stopped.

The training itself is mmengine's Runner in a process of its own (runner_process.py), so that no model's state, registry
or random numbers reach the next. This side shows its progress and keeps its log.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

RESULT = 'result.json'  # written last: a folder that has it is finished
PROGRESS = '@progress '  # begins the lines of the child's output that are for the bar and not for the log


@dataclass(frozen=True)
class Training:
    """What training a recipe came to.

    Attributes:
        metrics: The final evaluation's numbers under the toolbox's names (``coco/bbox_mAP``, ``mIoU``).
        seconds: Time spent in training, data loading included and evaluation left out, over all interrupted runs.
        iterations: Number of training steps.
        checkpoint: Path of the last weights.
    """

    metrics: dict
    seconds: float
    iterations: int
    checkpoint: str


def train(cfg, folder, title):
    """Train a recipe, or hand back what an earlier run of it came to.

    Args:
        cfg (mmengine.config.Config): The recipe.
        folder (Path): Where checkpoints, logs and the result are kept; one folder a recipe.
        title (str): What to call it where it fails.

    Returns:
        Training: The result.

    Raises:
        ValueError: Training failed; the message has the last line of the log and its path.
    """
    finished = finished_training(folder)
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f'{Path(cfg.filename).stem}.py'
    cfg.dump(config)
    log = folder / 'console.log'
    command = [sys.executable, '-m', 'mmxattn.comparison.training_process', str(config), str(folder)]
    with open(log, 'a') as file, _progress_bar() as bar:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
            env={**os.environ, 'PYTHONUNBUFFERED': '1'})
        try:
            last = _follow(process.stdout, file, bar)
        except BaseException:  # Ctrl-C above all; the child gets it as well where both run in one terminal
            process.terminate()
            raise
        finally:
            status = process.wait()
    finished = finished_training(folder)
    if status != 0 or finished is None:
        raise ValueError(f'Training of {title} stopped with exit status {status}: {last!r}. The whole log is in {log}; '
                         f'run the same command again to go on from the last checkpoint.')
    return finished


def finished_training(folder):
    """The result that a folder holds, or None if training has not come to its end there."""
    try:
        result = json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None
    checkpoint = folder / Path(result['checkpoint']).name  # the folder may have been moved
    return Training(**dict(result, checkpoint=str(checkpoint))) if checkpoint.is_file() else None


def last_checkpoint(folder):
    """The checkpoint to go on from, or None.

    ``last_checkpoint`` may name a file that is gone: mmengine removes old checkpoints before it writes the new one.
    """
    note = folder / 'last_checkpoint'
    if not note.is_file():
        return None
    checkpoint = folder / Path(note.read_text().strip()).name
    return checkpoint if checkpoint.is_file() else None


def _progress_bar():
    interval = 0.5 if sys.stderr.isatty() else 15  # seconds; a log file wants a line now and then, not a film
    columns = shutil.get_terminal_size().columns  # tqdm's own look hides the bar where a terminal has no height
    return tqdm(unit='step', mininterval=interval, smoothing=0.05, ncols=columns, nrows=20,
                bar_format='  {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {remaining} left{postfix}')


def _follow(lines, file, bar):
    """Show the progress lines on the bar, put the others into the log; returns the last that says something."""
    recent = deque(maxlen=1)
    for line in lines:
        if line.startswith(PROGRESS):
            progress = json.loads(line[len(PROGRESS):])
            if bar.total is None:
                bar.reset(progress['total'])
                # What an earlier run did says nothing of this run's pace.
                bar.initial = bar.n = bar.last_print_n = progress['done'] - 1
            bar.set_postfix_str(progress['note'], refresh=False)
            bar.update(progress['done'] - bar.n)
        else:
            file.write(line)
            file.flush()
            recent.extend([line.strip()] if line.strip() else [])
    return recent[0] if recent else 'no output'
