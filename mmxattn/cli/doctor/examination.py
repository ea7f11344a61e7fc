"""The examination: what is there, what works, and what is known of these versions."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .faults import Fault, known
from .installed import TOOLBOXES, Installed, read
from .processes import Outcome, run

__all__ = ['Examination', 'examine']

# What is tried -> its title. In this order; what others need comes first.
TRIED = {
    'torch': 'torch', 'torch_numpy': 'NumPy', 'layers': 'mmxattn.layers', 'numba': 'Numba', 'cuda': 'CUDA',
    'triton': 'Triton', 'torchvision': 'torchvision', 'mmcv_cpu': 'mmcv operators, CPU',
    'mmcv_cuda': 'mmcv operators, CUDA', 'mmdet': 'mmdet', 'mmseg': 'mmseg', 'mmpretrain': 'mmpretrain',
    'components': 'mmxattn', 'onnx': 'ONNX',
}
STATES = {'OpenMMLab': 'OpenMMLab', 'OneDL': "OneDL, OpenMMLab's maintained fork", 'both': 'both at once',
          'none': 'no toolbox'}
INSTALL = {'OpenMMLab': "pip install 'mmxattn[openmmlab]'", 'OneDL': "pip install 'mmxattn[onedl]'"}


def overwritten(installed: Installed) -> str:
    """What to say where distributions lie over each other; '' where none do."""
    doubled = [found for found in map(installed.toolbox, TOOLBOXES) if len(found) > 1]
    if installed.stack != 'both' and not doubled:
        return ''
    there = installed.of_openmmlab + installed.of_onedl
    return (f'{", ".join(there)} are installed together and have the same import names, so that files of one lie '
            f'over those of the other. Remove all of them and install one stack again:\n'
            f'  pip uninstall -y {" ".join(there)}\n'
            f'  {INSTALL["OpenMMLab"]}     # or, for OneDL: {INSTALL["OneDL"]}\n'
            '  (mmcv first, as the README says)')


def without(installed: Installed) -> str:
    """What to say where toolboxes are not there; '' where those that the parts need are."""
    missing = [name for name in ('mmengine', 'mmcv', 'mmdet', 'mmseg') if not installed.toolbox(name)]
    if not missing:
        return ''
    if len(missing) == 4:
        return f'mmxattn.layers is what works here. Recipes need a stack: {INSTALL["OpenMMLab"]}, or [onedl].'
    stack = 'OneDL' if installed.stack == 'OneDL' else 'OpenMMLab'
    return f'{", ".join(missing)} not installed, so recipes for them say so and stop: {INSTALL[stack]}.'


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        installed: distributions and versions.
        outcomes: what came of each check, by its name.
        faults: the known faults that concern these versions.
    """

    installed: Installed
    outcomes: dict[str, Outcome]
    faults: Sequence[Fault]

    def state(self, fault: Fault) -> str:
        """Of a known fault: 'mended', 'limit', 'gone' where the check says that it does no harm, or 'broken'."""
        passes = fault.check and self.outcomes[fault.check].state != 'fails'
        if fault.kind == 'mended':
            return 'mended' if passes else 'broken'
        if passes:
            return 'gone'
        return 'limit' if fault.kind == 'limit' else 'broken'

    @property
    def broken(self) -> list[str]:
        """A sentence for each thing that does not work; [] where all is well."""
        if overwritten(self.installed):
            return [overwritten(self.installed)]  # whatever else fails may come of this
        sentences = []
        if self.outcomes['torch'].state == 'absent':
            sentences.append("torch is not installed: pip install 'torch>=2.1'")
        sentences += [f'{title} fails: {self.outcomes[name].told}' for name, title in TRIED.items()
                      if self.outcomes[name].state == 'fails']
        imports = self.outcomes['components'].state != 'fails'  # else nothing is mended, and that is told already
        return sentences + [self.sentence(fault) for fault in self.faults
                            if self.state(fault) == 'broken' and (imports or fault.kind != 'mended')]

    def sentence(self, fault: Fault) -> str:
        """What to say of a fault that does harm."""
        if fault.kind == 'mended':
            return f'{fault.what}. mmxattn mends it, but not here: {self.outcomes[fault.check].told}'
        return f'{fault.what}: {fault.way}'

    def to_dict(self) -> dict:
        return dict(
            stack=self.installed.stack, versions=self.installed.table(),
            checks=[dict(name=name, title=title, state=self.outcomes[name].state, told=self.outcomes[name].told)
                    for name, title in TRIED.items()],
            faults=[dict(what=fault.what, state=self.state(fault), way=fault.way, source=fault.source,
                         check=self.outcomes[fault.check].told if fault.check else '') for fault in self.faults],
            note=without(self.installed), broken=self.broken, well=not self.broken)

    def lines(self) -> Iterator[str]:
        """The known faults and the verdict, for a person; the rest is told while it is found out."""
        if self.faults:
            yield '\nKnown of these versions'
        for fault in self.faults:
            state = self.state(fault)
            if state != 'gone':
                yield f'  {state:<8}{fault.what}' + (f' ({fault.source})' if fault.source else '')
                yield f'{"":<10}{fault.way}'
        if self.broken:
            yield '\nBroken'
            yield from (f'  {number}. {sentence}' for number, sentence in enumerate(self.broken, 1))
        else:
            yield '\nAll is well.' + (f' {without(self.installed)}' if without(self.installed) else '')


def headline(installed: Installed) -> Iterator[str]:
    """The stack and the versions, for a person."""
    yield f'Stack: {STATES[installed.stack]}'
    yield from (f'  {name:<14}{version}' for name, version in installed.table().items())


def examine(tell: Callable[[str], None] = lambda line: None, installed: Installed | None = None,
            runner: Callable[[Sequence[str]], Iterable[Outcome]] = run) -> Examination:
    """Find out what is installed, whether it works, and what is known of it.

    Args:
        tell: is given each line for a person, as soon as it is known.
        installed: distributions and versions; those of this Python by default.
        runner: runs the checks of ``checks.py``.

    Returns:
        Examination: its ``broken`` is empty where all is well.
    """
    installed = installed or read()
    faults = known(installed)
    for line in headline(installed):
        tell(line)
    tell('\nDoes it work')
    outcomes: dict[str, Outcome] = {}
    names = [*TRIED, *dict.fromkeys(fault.check for fault in faults if fault.check and fault.check not in TRIED)]
    for outcome in runner(names):
        outcomes[outcome.name] = outcome
        if outcome.name in TRIED:
            state = {'works': 'yes', 'absent': '-', 'fails': 'NO'}[outcome.state]
            tell(f'  {state:<5}{TRIED[outcome.name]:<24}{outcome.told}')
    examination = Examination(installed, outcomes, faults)
    for line in examination.lines():
        tell(line)
    return examination
