import io
import json
import re
from html.parser import HTMLParser

from PIL import Image

from mmxattn.comparison.report import print_tables, write_report
from mmxattn.comparison.report.plots import losses_of, plots


class Reader(HTMLParser):
    """Notes what a page refers to, its anchors, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.addresses = [], set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get('id'))
        self.addresses.extend(given[name] for name in ('src', 'href', 'xlink:href') if name in given)
        if tag not in ('meta', 'img', 'link', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass  # SVG's own

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def written(comparison, folder):
    write_report(comparison, folder)
    return (folder / 'report.html').read_text(), (folder / 'report.md').read_text()


def test_the_page_stands_alone(comparison, tmp_path):
    (tmp_path / 'pictures').mkdir()
    Image.new('RGB', (4, 4)).save(tmp_path / 'pictures' / 'a.png')
    comparison.looks = [dict(title='Maps', caption='Where <it> looks.', numbers={}, problems=['b: no map'],
                             pictures=[dict(caption='one', file='pictures/a.png')])]
    page, _ = written(comparison, tmp_path)
    reader = Reader(page)
    assert reader.open == []
    assert all(address.startswith(('#', 'data:image/png;base64,')) for address in reader.addresses)
    assert {address[1:] for address in reader.addresses if address.startswith('#')} >= {'how-good', 'maps', 'plots'}
    nav = re.search(r'<nav>(.*?)</nav>', page, re.S)[1]
    assert set(re.findall(r'href="#([^"]*)"', nav)) <= reader.ids
    assert 'Where &lt;it&gt; looks.' in page and 'b: no map' in page
    assert page.count('<svg') == len(plots(comparison)) == 5  # no loss was logged
    assert 'More than the model differs' in page and 'optim_wrapper.lr' in page


def test_every_number_of_the_markdown_is_in_the_json(comparison, tmp_path):
    _, text = written(comparison, tmp_path)
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


def test_half_way_there_is_a_page_too(comparison, tmp_path):
    for candidate in comparison.candidates:
        candidate.complexity, candidate.runs, candidate.differences, candidate.speed = None, [], [], []
    page, text = written(comparison, tmp_path)
    assert Reader(page).open == [] and 'FINEFPN' in page and '<svg' not in page
    assert '`model.neck.type`' in text and '**not the model**' in text


def test_losses_of_an_interrupted_run_are_one_curve(comparison, tmp_path):
    run = comparison.candidates[0].runs[0]
    for start, steps in [('1', (1, 2, 3)), ('2', (3, 4))]:
        folder = tmp_path / 'rcnn_fpn_digits-0' / start / 'vis_data'
        folder.mkdir(parents=True)
        lines = [json.dumps(dict(step=step, loss=step / 10)) for step in steps] + ['{"coco/bbox_mAP": 0.1, "step": 4}']
        (folder / 'scalars.json').write_text('\n'.join(lines))
    assert losses_of(run) == ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
    assert [caption for caption, _ in plots(comparison)].count('Training loss') == 1


def test_the_same_numbers_draw_the_same_plots(comparison):
    assert plots(comparison) == plots(comparison)


def test_the_terminal_has_the_main_numbers(comparison):
    file = io.StringIO()
    print_tables(comparison, file)
    assert '2.500 (+0.500)' in file.getvalue() and 'over 2 seeds' in file.getvalue()
