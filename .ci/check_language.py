"""Check for expressions that do not belong in technical English.

    python .ci/check_language.py [FILE ...]

Reads Markdown, YAML, TOML, text and HTML files, and the comments, docstrings, strings and names of Python files. String
literals in tests may quote anything. Without arguments, all files in the repository are checked. Prints each match as
FILE:LINE and exits with 1 if there are any.
"""
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = ('.md', '.yml', '.yaml', '.toml', '.txt', '.html', '.cfg')
EXCLUDED = ('tests/data/', '.ci/check_language.py')
EXPRESSIONS = [
    r'told', r'tells', r'anew', r'mend(?:s|ed|ing)?', r'beside', r'dear(?:er|ly)?', r'looks on', r'who(?:so)?ever',
    r'(?<!there )(?:is|are) no(?! (?:longer|more|less|better|worse|larger|smaller|faster|slower))',
    r'(?:has|have) not(?=[.,;:)]| an? | the )',
    r'gives? way', r'goes by', r'go on(?: from| with|$)', r'as it must', r'by hand', r'takes? its place', r'makers',
    r'stands? (?:beside|there|in the place)', r'in the place of', r'(?:is|are) to be had', r'thereof', r'wherein',
    r'(?:one|two) a multiply-add', r'(?:images|operations|times) a second',
]
PATTERN = re.compile(r'\b(' + '|'.join(EXPRESSIONS) + r')\b', re.IGNORECASE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers and text to check."""
    if path.suffix != '.py':
        yield from enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        return
    quotes_allowed = path.relative_to(ROOT).parts[0] == 'tests'
    previous = tokenize.NEWLINE
    with path.open('rb') as file:
        tokens = list(tokenize.tokenize(file.readline))
    for before, token in zip([tokens[0], *tokens], tokens):
        name = tokenize.tok_name[token.type]
        if name == 'COMMENT' or (name.startswith(('STRING', 'FSTRING')) and (
                not quotes_allowed or previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT))):
            yield from enumerate(token.string.splitlines(), token.start[0])
        elif name == 'NAME' and before.string in ('def', 'class'):
            yield token.start[0], token.string.replace('_', ' ')
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING):
            previous = token.type


def main(arguments: list[str]) -> int:
    files = arguments or subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                                        check=True, capture_output=True, text=True).stdout.splitlines()
    count = 0
    for name in sorted(set(files)):
        path = (ROOT / name).resolve()
        relative = path.relative_to(ROOT).as_posix()
        if not path.is_file() or not (path.suffix in (*SUFFIXES, '.py') or path.name == 'Makefile'):
            continue
        if relative.startswith(EXCLUDED):
            continue
        for number, line in prose(path):
            for match in PATTERN.finditer(line):
                print(f'{relative}:{number}: avoid {match[1]!r}: {line.strip()}')
                count += 1
    return int(count > 0)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
