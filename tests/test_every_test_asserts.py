"""No test that compares and forgets to assert: each one asserts, or calls what does."""
import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob('test_*.py'))
RAISES = {'pytest.raises', 'pytest.warns', 'pytest.fail'}


def dotted(node):
    """``pytest.raises`` of the syntax for it; the last name where a call or an index stands before it."""
    if isinstance(node, ast.Attribute):
        return f'{dotted(node.value)}.{node.attr}'.lstrip('.')
    return node.id if isinstance(node, ast.Name) else ''


def functions(tree):
    """Every function in a file, methods and inner ones too, by name."""
    return {node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def calls(function):
    """The names of what a function calls, with and without what stands before the last dot."""
    names = {dotted(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    return names | {name.rpartition('.')[2] for name in names}


def asserts(function, helpers, seen=()):
    """Whether a function asserts: by itself, or through a helper."""
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    called = calls(function)
    if called & RAISES or any(name.startswith('assert_') for name in called):
        return True
    return any(asserts(helpers[name], helpers, (*seen, name)) for name in called & helpers.keys() if name not in seen)


SHARED = {name: function for file in [*TESTS.glob('*.py'), *TESTS.rglob('conftest.py')] if file not in FILES
          for name, function in functions(ast.parse(file.read_text())).items()}


def without_assertion(source):
    """The tests of a file that assert nothing."""
    own = functions(ast.parse(source))
    return [name for name, function in own.items()
            if name.startswith('test') and not asserts(function, {**SHARED, **own})]


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.relative_to(TESTS).as_posix())
def test_every_test_asserts(file):
    assert without_assertion(file.read_text()) == []


def test_the_search_finds_what_asserts_nothing():
    source = '''
def helper(x): assert x
def other(x): return x == 1
def test_one(): x == 1
def test_two(): other(1)
def test_three(): helper(1)
def test_four():
    with pytest.raises(ValueError): other(1)
def test_five(): torch.testing.assert_close(1, 1)
def test_six(): test_six()
'''
    assert without_assertion(source) == ['test_one', 'test_two', 'test_six']
