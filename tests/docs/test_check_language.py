""".ci/check_language.py finds its expressions in prose and ignores quotations in tests."""
import check_language
import pytest


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Check the content of one file; return the exit code and the output."""
    monkeypatch.setattr(check_language, 'ROOT', tmp_path)

    def run(name, content):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
        return check_language.main([name]), capsys.readouterr().out

    return run


@pytest.mark.parametrize('sentence, expression', [
    ('Whoever trains it is told.', 'Whoever'), ('The user is told why.', 'told'), ('5 is no list.', 'is no'),
    ('Draw the weights anew.', 'anew'), ('The line beside the text.', 'beside'), ('names that it has not.', 'has not')])
def test_expression_is_reported_with_its_line(sentence, expression, check):
    code, output = check('page.md', f'# Title\n{sentence}\n')
    assert code == 1 and output.startswith(f"page.md:2: avoid '{expression}': {sentence}")


@pytest.mark.parametrize('sentence', [
    'We recommend the amended version.', 'There is no default.', 'It is no longer needed.', 'It has not been tested.',
    'besides', 'dearth'])
def test_technical_english_passes(sentence, check):
    assert check('page.md', f'{sentence}\n') == (0, '')


def test_python_code_is_checked_but_not_string_literals_in_tests(check):
    code = "def test_what_is_told():\n    assert 'told' in x  # tells\n"
    assert check('tests/test_a.py', code)[1].splitlines() == [
        'tests/test_a.py:1: avoid \'told\': test what is told', "tests/test_a.py:2: avoid 'tells': # tells"]
    assert check('mmxattn/a.py', "x = 'The user is told.'\n")[0] == 1
    assert check('mmxattn/a.py', 'told = 1\n')[0] == 0
