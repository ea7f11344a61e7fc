from mmengine.config import Config

from mmxattn.comparison.config_diff import Change, as_tree, config_diff, format_diff


def diff(baseline, candidate):
    return config_diff(Config(baseline), Config(candidate))


def test_equal_configs_have_no_changes():
    cfg = dict(model=dict(neck=dict(type='FPN', channels=[1, 2])), lr=0.1)
    assert diff(cfg, cfg) == []
    assert format_diff([]) == ['  no difference']


def test_replaced_component_is_listed_by_dotted_keys():
    baseline = dict(model=dict(neck=dict(type='FPN', num_outs=5, old=1), backbone=dict(depth=50)))
    candidate = dict(model=dict(neck=dict(type='FINEFPN', num_outs=5, ratio=2), backbone=dict(depth=50)),
                     custom_imports=dict(imports=['mmxattn']))
    changes = diff(baseline, candidate)
    assert changes == [
        Change('model.neck.type', "'FPN'", "'FINEFPN'"),
        Change('model.neck.old', '1', None),
        Change('model.neck.ratio', None, '2'),
        Change('custom_imports', None, "{'imports': ['mmxattn']}"),
    ]
    assert as_tree(changes) == {
        'model': {'neck': {'type': changes[0], 'old': changes[1], 'ratio': changes[2]}}, 'custom_imports': changes[3]}


def test_lists_of_equal_length_are_compared_by_index():
    baseline = dict(param_scheduler=[dict(type='LinearLR', end=500), dict(type='MultiStepLR', milestones=[8, 11])])
    candidate = dict(param_scheduler=[dict(type='LinearLR', end=50), dict(type='MultiStepLR', milestones=[8])])
    assert diff(baseline, candidate) == [
        Change('param_scheduler.0.end', '500', '50'),
        Change('param_scheduler.1.milestones', '[8, 11]', '[8]'),
    ]


def test_list_and_dict_are_compared_as_a_whole():
    assert diff(dict(model=dict(neck=dict(type='FPN'))), dict(model=dict(neck=[dict(type='FPN')]))) == [
        Change('model.neck', "{'type': 'FPN'}", "[{'type': 'FPN'}]")]


def test_changes_outside_the_model_are_marked():
    baseline = dict(model=dict(a=1), optim_wrapper=dict(lr=1), train_dataloader=dict(batch_size=2), num_classes=3)
    candidate = dict(model=dict(a=2), optim_wrapper=dict(lr=2), train_dataloader=dict(batch_size=4), num_classes=4,
                     custom_imports=dict(imports=['x']), load_from='x.pth')
    changes = diff(baseline, candidate)
    assert {change.key for change in changes if change.outside_model} == {
        'optim_wrapper.lr', 'train_dataloader.batch_size', 'load_from'}
    assert '  optim_wrapper.lr: 1 -> 2   <- outside the model' in format_diff(changes)
