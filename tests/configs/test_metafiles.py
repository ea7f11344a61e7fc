"""The index that ``mim search mmxattn`` reads."""
import yaml

import recipes

ROOT = recipes.CONFIGS.parent


def entries():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return {path: yaml.safe_load((ROOT / path).read_text()) for path in index['Import']}


def test_index_contains_every_metafile():
    assert set(entries()) == {f'configs/{folder}/metafile.yml' for folder in recipes.FOLDERS}


def test_every_folder_has_a_metafile():
    folders = {path.parent.relative_to(recipes.CONFIGS).as_posix() for path in recipes.CONFIGS.rglob('*.py')}
    assert {f for f in folders if f != 'demo' and '_base_' not in f} == set(recipes.FOLDERS)


def test_every_recipe_is_listed_once():
    listed = [model for file in entries().values() for model in file['Models']]
    assert sorted(m['Name'] for m in listed) == sorted(path.stem for _, path in recipes.published())
    for model in listed:
        assert (ROOT / model['Config']).stem == model['Name']
        assert (ROOT / model['Config']).is_file()


def test_linked_files_exist():
    for file in entries().values():
        [collection] = file['Collections']
        assert (ROOT / collection['README']).is_file()
        assert (ROOT / collection['Code']['URL']).is_file()
        assert all(model['In Collection'] == collection['Name'] for model in file['Models'])


def test_readmes_list_every_recipe():
    for folder in recipes.FOLDERS:
        text = (recipes.CONFIGS / folder / 'README.md').read_text()
        text = text.replace('{0,1}', '0') + text.replace('{0,1}', '1')
        for path in (recipes.CONFIGS / folder).glob('*.py'):
            assert path.name in text or '_1xb2-1x_coco.py' in path.name and '*_1xb2-1x_coco.py' in text, path
