from mmengine.config import Config

from mmxattn.comparison.config_diff import Change, config_diff


def changes(first, second):
    return config_diff(Config(first), Config(second))


def test_the_same_recipe_differs_in_nothing():
    recipe = dict(model=dict(neck=dict(type='FPN', channels=[1, 2])), lr=0.1)
    assert changes(recipe, recipe) == []


def test_a_swapped_component_is_told_by_dotted_keys():
    stock = dict(model=dict(neck=dict(type='FPN', num_outs=5, old=1), backbone=dict(depth=50)))
    ours = dict(model=dict(neck=dict(type='FINEFPN', num_outs=5, ratio=2), backbone=dict(depth=50)),
                custom_imports=dict(imports=['mmxattn']))
    assert changes(stock, ours) == [
        Change('model.neck.type', "'FPN'", "'FINEFPN'"),
        Change('model.neck.old', '1', None),
        Change('model.neck.ratio', None, '2'),
        Change('custom_imports', None, "{'imports': ['mmxattn']}"),
    ]


def test_lists_of_one_length_are_told_by_position():
    first = dict(param_scheduler=[dict(type='LinearLR', end=500), dict(type='MultiStepLR', milestones=[8, 11])])
    second = dict(param_scheduler=[dict(type='LinearLR', end=50), dict(type='MultiStepLR', milestones=[8])])
    assert changes(first, second) == [
        Change('param_scheduler.0.end', '500', '50'),
        Change('param_scheduler.1.milestones', '[8, 11]', '[8]'),
    ]


def test_a_list_and_a_dict_in_the_same_place():
    assert changes(dict(model=dict(neck=dict(type='FPN'))), dict(model=dict(neck=[dict(type='FPN')]))) == [
        Change('model.neck', "{'type': 'FPN'}", "[{'type': 'FPN'}]")]


def test_what_is_not_the_model_is_flagged():
    first = dict(model=dict(a=1), optim_wrapper=dict(lr=1), train_dataloader=dict(batch_size=2), num_classes=3)
    second = dict(model=dict(a=2), optim_wrapper=dict(lr=2), train_dataloader=dict(batch_size=4), num_classes=4,
                  custom_imports=dict(imports=['x']), load_from='x.pth')
    assert {change.key for change in changes(first, second) if change.outside_model} == {
        'optim_wrapper.lr', 'train_dataloader.batch_size', 'load_from'}
