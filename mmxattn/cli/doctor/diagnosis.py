"""The diagnosis: installed versions, results of the checks, and known issues."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .installed import TOOLBOXES, Installed, read_installed
from .known_issues import KnownIssue, find_issues
from .runner import CheckResult, run_checks

__all__ = ['Diagnosis', 'diagnose']

# Checks and their titles, those that others depend on first.
TITLES = {
    'torch': 'torch', 'torch_numpy': 'NumPy', 'layers': 'mmxattn.layers', 'numba': 'Numba', 'cuda': 'CUDA',
    'triton': 'Triton', 'torchvision': 'torchvision', 'mmcv_cpu': 'mmcv operators, CPU',
    'mmcv_cuda': 'mmcv operators, CUDA', 'mmdet': 'mmdet', 'mmseg': 'mmseg', 'mmpretrain': 'mmpretrain',
    'components': 'mmxattn', 'onnx': 'ONNX',
}
STACKS = {'OpenMMLab': 'OpenMMLab', 'OneDL': "OneDL, OpenMMLab's maintained fork", 'both': 'OpenMMLab and OneDL',
          'none': 'no toolbox'}
INSTALL = {'OpenMMLab': "pip install 'mmxattn[openmmlab]'", 'OneDL': "pip install 'mmxattn[onedl]'"}


@dataclass(frozen=True)
class Diagnosis:
    """Result of :func:`diagnose`.

    Attributes:
        installed: Installed distributions.
        results: Result of each check by name.
        issues: Known issues of the installed versions.
    """

    installed: Installed
    results: dict[str, CheckResult]
    issues: Sequence[KnownIssue]

    def state(self, issue: KnownIssue) -> str:
        """Return 'patched', 'limitation', 'inactive' (the check shows no effect) or 'broken'."""
        passed = issue.check and self.results[issue.check].state != 'failed'
        if issue.kind == 'patched':
            return 'patched' if passed else 'broken'
        if passed:
            return 'inactive'
        return 'limitation' if issue.kind == 'limitation' else 'broken'

    @property
    def problems(self) -> list[str]:
        """What does not work. Empty if everything works."""
        if conflict := stack_conflict(self.installed):
            return [conflict]  # the likely cause of all other failures
        problems = []
        if self.results['torch'].state == 'skipped':
            problems.append("torch is not installed: pip install 'torch>=2.1'")
        problems += [f'{title} failed: {self.results[name].message}' for name, title in TITLES.items()
                     if self.results[name].state == 'failed']
        imports = self.results['components'].state != 'failed'  # otherwise no patch is applied
        return problems + [self._describe(issue) for issue in self.issues
                           if self.state(issue) == 'broken' and (imports or issue.kind != 'patched')]

    def _describe(self, issue: KnownIssue) -> str:
        if issue.kind == 'patched':
            return f"{issue.description}. mmxattn's patch has no effect: {self.results[issue.check].message}"
        return f'{issue.description}: {issue.fix}'

    def to_dict(self) -> dict:
        """Return the diagnosis as plain data."""
        return dict(
            stack=self.installed.stack, versions=self.installed.table(),
            checks=[dict(name=name, title=title, state=self.results[name].state, message=self.results[name].message)
                    for name, title in TITLES.items()],
            known_issues=[dict(description=issue.description, state=self.state(issue), fix=issue.fix,
                               source=issue.source, message=self.results[issue.check].message if issue.check else '')
                          for issue in self.issues],
            missing=missing_toolboxes(self.installed), problems=self.problems, healthy=not self.problems)

    def lines(self) -> Iterator[str]:
        """Format the known issues and the verdict."""
        if self.issues:
            yield '\nKnown issues of these versions'
        for issue in self.issues:
            state = self.state(issue)
            if state != 'inactive':
                yield f'  {state:<12}{issue.description}' + (f' ({issue.source})' if issue.source else '')
                yield f'{"":<14}{issue.fix}'
        if self.problems:
            yield '\nProblems'
            yield from (f'  {number}. {problem}' for number, problem in enumerate(self.problems, 1))
        else:
            yield f'\nEverything works. {missing_toolboxes(self.installed)}'.rstrip()


def stack_conflict(installed: Installed) -> str:
    """Describe distributions that overwrite each other. Empty if there are none."""
    duplicated = any(len(installed.toolbox(name)) > 1 for name in TOOLBOXES)
    if installed.stack != 'both' and not duplicated:
        return ''
    names = installed.openmmlab + installed.onedl
    return (f'{", ".join(names)} are installed together, but share import names and have overwritten files of each '
            f'other. Remove all of them and install one stack, mmcv first (see the README):\n'
            f'  pip uninstall -y {" ".join(names)}\n'
            f'  {INSTALL["OpenMMLab"]}     # or, for OneDL: {INSTALL["OneDL"]}')


def missing_toolboxes(installed: Installed) -> str:
    """Describe missing toolboxes. Empty if all that the components need are installed."""
    missing = [name for name in ('mmengine', 'mmcv', 'mmdet', 'mmseg') if not installed.toolbox(name)]
    if not missing:
        return ''
    if len(missing) == 4:
        return f'Only mmxattn.layers can be used. Configs need a toolbox stack: {INSTALL["OpenMMLab"]} (or [onedl]).'
    stack = 'OneDL' if installed.stack == 'OneDL' else 'OpenMMLab'
    return f'{", ".join(missing)} not installed, so their configs cannot be used: {INSTALL[stack]}.'


def diagnose(log: Callable[[str], None] = lambda line: None, installed: Installed | None = None,
             runner: Callable[[Sequence[str]], Iterable[CheckResult]] = run_checks) -> Diagnosis:
    """Diagnose an installation.

    Args:
        log: Called with each line of the report as soon as it is known.
        installed: Installed distributions. By default, those of this Python.
        runner: Runs checks of ``checks.py``.

    Returns:
        The diagnosis.
    """
    installed = installed or read_installed()
    log(f'Stack: {STACKS[installed.stack]}')
    for name, version in installed.table().items():
        log(f'  {name:<14}{version}')
    log('\nChecks')
    issues = find_issues(installed)
    results: dict[str, CheckResult] = {}
    for result in runner(list(dict.fromkeys([*TITLES, *(issue.check for issue in issues if issue.check)]))):
        results[result.name] = result
        if result.name in TITLES:
            symbol = {'passed': 'ok', 'skipped': '-', 'failed': 'FAIL'}[result.state]
            log(f'  {symbol:<6}{TITLES[result.name]:<24}{result.message}')
    diagnosis = Diagnosis(installed, results, issues)
    for line in diagnosis.lines():
        log(line)
    return diagnosis
