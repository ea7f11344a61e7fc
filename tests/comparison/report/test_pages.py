import io
import json
import re
from html.parser import HTMLParser

from PIL import Image

from mmxattn.comparison.report import print_tables, write_report
from mmxattn.comparison.report.plots import draw_plots, read_losses


class PageParser(HTMLParser):
    """Collect the addresses and ids of a page, and check that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get('id'))
        self.addresses.extend(attributes[name] for name in ('src', 'href', 'xlink:href') if name in attributes)
        if tag not in ('meta', 'img', 'link', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass  # elements of SVG

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def write(comparison, folder):
    """Write the report and return the texts of the HTML page and of the Markdown file."""
    write_report(comparison, folder)
    return (folder / 'report.html').read_text(), (folder / 'report.md').read_text()


def test_page_is_self_contained(comparison, tmp_path):
    (tmp_path / 'pictures').mkdir()
    Image.new('RGB', (4, 4)).save(tmp_path / 'pictures' / 'a.png')
    comparison.visualization = [dict(title='Maps', caption='Activation of <it>.', numbers={}, problems=['b: no map'],
                                     pictures=[dict(caption='one', file='pictures/a.png')])]
    page, text = write(comparison, tmp_path)
    parser = PageParser(page)
    assert parser.open == []
    assert all(address.startswith(('#', 'data:image/png;base64,')) for address in parser.addresses)
    nav = re.search(r'<nav>(.*?)</nav>', page, re.S)[1]
    anchors = re.findall(r'href="#([^"]*)"', nav)
    assert anchors == ['config-diff', 'complexity', 'speed', 'accuracy', 'visualization']
    assert set(anchors) <= parser.ids
    assert 'Activation of &lt;it&gt;.' in page and 'b: no map' in page
    assert page.count('<svg') == len(draw_plots(comparison)) == 5  # no loss was logged
    assert 'The recipes differ in more than the model' in page and 'optim_wrapper.lr' in page
    assert re.findall('^## (.*)', text, re.M) == [
        'Summary', 'Config diff', 'Complexity', 'Speed', 'Accuracy', 'Visualization']


def test_numbers_in_markdown_are_in_json(comparison, tmp_path):
    _, text = write(comparison, tmp_path)
    tables = json.loads((tmp_path / 'report.json').read_text())['tables']
    known = {f'{value:{form}}' for table in tables for row in table['rows'] for cell in row['cells']
             for value in cell.values() if isinstance(value, (int, float)) and not isinstance(value, bool)
             for form in (row['form'], row['form'].lstrip('+'), f'+{row["form"].lstrip("+")}', '.3f')
             if not (form.endswith('d') and isinstance(value, float))}
    known |= {cell['value'] for table in tables for row in table['rows'] for cell in row['cells']
              if isinstance(cell['value'], str)}
    rows = [line for line in text.splitlines() if line.startswith('| ') and ' --- ' not in line]
    numbers = [number for row in rows for cell in row.split('|')[2:] for number in re.findall(r'[-+]?\d+\.?\d*', cell)]
    assert len(numbers) > 100
    assert [number for number in numbers if number not in known] == []


def test_unfinished_comparison_has_a_page(comparison, tmp_path):
    for recipe in comparison.recipes:
        recipe.complexity, recipe.runs, recipe.differences, recipe.speed = None, [], [], []
    page, text = write(comparison, tmp_path)
    assert PageParser(page).open == [] and 'FINEFPN' in page and '<svg' not in page
    assert '`model.neck.type`' in text and '**outside the model**' in text


def test_losses_of_resumed_run_are_merged(comparison, tmp_path):
    run = comparison.baseline.runs[0]
    for start, steps in [('1', (1, 2, 3)), ('2', (3, 4))]:
        folder = tmp_path / 'rcnn_fpn_digits-0' / start / 'vis_data'
        folder.mkdir(parents=True)
        lines = [json.dumps(dict(step=step, loss=step / 10)) for step in steps] + ['{"coco/bbox_mAP": 0.1, "step": 4}']
        (folder / 'scalars.json').write_text('\n'.join(lines))
    assert read_losses(run) == ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
    assert [caption for caption, _ in draw_plots(comparison)].count('Training loss') == 1


def test_plots_are_deterministic(comparison):
    assert draw_plots(comparison) == draw_plots(comparison)


def test_terminal_shows_the_summary(comparison):
    file = io.StringIO()
    print_tables(comparison, file)
    assert '2.500 (+0.500)' in file.getvalue() and 'over 2 seeds' in file.getvalue()
