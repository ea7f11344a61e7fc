import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData

import oracles
import recipes
import rtdetr
from mmxattn.models.rtdetr.released_weights import convert_state_dict

SIZES = [(97, 131), (75, 160)]


@pytest.fixture(scope='module')
def reference():
    """Parameters, input, outputs and losses of another implementation, see tests/data/README.md."""
    return {key: torch.from_numpy(value) for key, value in np.load(oracles.DATA / 'rtdetr_small.npz').items()}


@pytest.fixture(scope='module')
def reference_model(reference):
    """Our model with the reference's parameters in eval mode."""
    model = recipes.build(rtdetr.small())
    released = {key[6:]: value for key, value in reference.items() if key.startswith('param.')}
    missing, unexpected = model.load_state_dict(convert_state_dict(released), strict=False)
    assert not unexpected and all(name.endswith('num_batches_tracked') for name in missing)
    model.train(False)
    return model


def test_agrees_with_another_implementation(reference_model, reference):
    x = reference['x0']
    with torch.no_grad():
        scores, boxes = reference_model(x, [rtdetr.sample(tuple(x.shape[2:]))] * 2, mode='tensor')
    assert scores.shape == (1, 2, 12, 5) and boxes.shape == (1, 2, 12, 4)
    assert torch.allclose(scores[0], reference['logits'], atol=1e-5)
    assert torch.allclose(boxes[0], reference['boxes'], atol=1e-5)


def test_losses_agree_with_another_implementation(reference_model, reference):
    """Classification, L1 and GIoU losses of each decoder layer and of the selected tokens, without denoising."""
    x, head = reference['x0'], reference_model.bbox_head
    height, width = x.shape[2:]
    objects = [InstanceData(
        labels=reference[f'labels{i}'],
        bboxes=bbox_cxcywh_to_xyxy(reference[f'boxes{i}']) * torch.tensor([width, height, width, height]))
        for i in (0, 1)]
    samples = [rtdetr.sample((height, width), labels=o.labels, boxes=o.bboxes) for o in objects]
    metas = [sample.metainfo for sample in samples]
    head.train()  # returns the scores of all layers
    with torch.no_grad():
        scores, boxes = reference_model(x, samples, mode='tensor')
        layers = [head.loss_by_feat_single(s, b, objects, metas) for s, b in zip(scores, boxes)]
        reference_model.training = True  # not train(), to keep the norms in eval mode
        encoded, _ = reference_model.pre_transformer(reference_model.extract_feat(x), samples)
        _, selected = reference_model.pre_decoder(**encoded, batch_data_samples=samples)
        tokens = head.loss_by_feat_single(
            selected['enc_outputs_class'], selected['enc_outputs_coord'], objects, metas)
    reference_model.train(False)
    for ours, name in zip((*layers, tokens), ('layer0', 'layer1', 'encoder')):
        ours = torch.stack([part.reshape(()) for part in ours])
        assert torch.allclose(ours, reference[f'loss.{name}'], rtol=1e-4), name


@pytest.mark.parametrize('name', ['rtdetr_r18vd_8xb2-72e_coco', 'rtdetr_r50vd_8xb2-72e_coco',
                                  'rtdetr_r18vd_fine_8xb2-72e_coco'])
def test_trains_and_predicts_with_different_odd_sizes(name):
    cfg = rtdetr.small(name)
    model = rtdetr.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, SIZES)
    loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name, p in trainable.items() if p.grad is None or not p.grad.any()]
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(name.startswith('backbone.') for name in frozen) and bool(frozen) == ('r50vd' in cfg.filename)
    model.train(False)
    with torch.no_grad():
        predictions = model.test_step(copy.deepcopy(batch))
    for prediction, (height, width) in zip(predictions, SIZES):
        found = prediction.pred_instances
        assert len(found) == 50 and torch.isfinite(found.scores).all()
        assert found.bboxes.min() >= 0 and (found.bboxes.amax(0) <= torch.tensor([width, height, width, height])).all()


def small_model(seed=0, **changes):
    return rtdetr.build(rtdetr.small(**changes), seed=seed)


def test_padding_is_masked_in_selection_and_decoder():
    model = small_model()
    model.train(False)
    shape, padded = (64, 96), (96, 128)
    masks = model.padding_masks(torch.zeros(1), [(12, 16), (3, 4)], [rtdetr.sample(shape, padded),
                                                                     rtdetr.sample(padded)])
    assert [mask.shape for mask in masks] == [(2, 12, 16), (2, 3, 4)]
    assert not masks[0][0, :8, :12].any() and masks[0][0, 8:].all() and masks[0][0, :, 12:].all()
    assert not masks[0][1].any() and not masks[1][1].any()
    maps = [torch.randn(2, 16, *size) for size in ((12, 16), (6, 8), (3, 4))]
    samples = [rtdetr.sample(shape, padded), rtdetr.sample(padded)]
    with torch.no_grad():
        results = []
        for filling in (0., 7.):  # values in the padding have no effect
            filled = [x.clone() for x in maps]
            for x, (rows, columns) in zip(filled, ((8, 12), (4, 6), (2, 3))):
                x[0, :, rows:] = filling
                x[0, :, :, columns:] = filling
            results.append(model.forward_transformer(filled, samples))
        assert torch.allclose(results[0]['hidden_states'], results[1]['hidden_states'], atol=1e-6)
    assert model.padding_masks(maps[0], [(12, 16)], [rtdetr.sample(padded)] * 2) is None


def test_missing_data_samples_mean_no_padding():
    model = small_model()
    model.train(False)
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        alone, known = model(x, mode='tensor'), model(x, [rtdetr.sample((64, 96))] * 2, mode='tensor')
    assert all(torch.equal(a, b) for a, b in zip(alone, known))


def test_trains_in_mixed_precision():
    cfg = rtdetr.small('rtdetr_r18vd_fine_8xb2-72e_coco')
    model = rtdetr.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, SIZES)
    torch.manual_seed(0)
    exact = recipes.loss(model, copy.deepcopy(batch))
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16):
        loss = recipes.loss(model, copy.deepcopy(batch))
    loss.backward()
    assert torch.isfinite(loss) and loss.item() == pytest.approx(exact.item(), rel=0.1)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_all_tokens_become_queries_if_there_are_fewer():
    cfg = rtdetr.small(queries=300)
    model = recipes.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, [(64, 64)] * 2)  # 64 + 16 + 4 tokens
    recipes.loss(model, copy.deepcopy(batch)).backward()
    model.train(False)
    with torch.no_grad():
        scores, _ = model(**model.data_preprocessor(copy.deepcopy(batch)), mode='tensor')
    assert scores.shape[2] == 84


@pytest.mark.parametrize('counts', [(0, 3), (0, 0)], ids=['one image', 'all images'])
def test_images_without_objects_have_finite_gradients(counts):
    cfg = rtdetr.small()
    model = rtdetr.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, [(96, 96)] * 2)
    for sample, count in zip(batch['data_samples'], counts):
        sample.gt_instances = sample.gt_instances[:count]
    loss = recipes.loss(model, batch)
    assert torch.isfinite(loss)
    loss.backward()
    expected_zero = ('reg_branches', 'ref_point_head', 'label_embedding', 'sampling_offsets', 'norms.0', 'self_attn')
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        if not p.grad.any():  # neither a box nor a denoising box
            assert not any(counts) and any(part in name for part in expected_zero), name


def test_denoising_queries_are_masked():
    model = small_model()
    model.train()
    boxes = torch.tensor([[2., 2, 20, 30], [9, 9, 50, 40]])
    samples = [rtdetr.sample((64, 64), labels=torch.tensor([1, 2]), boxes=boxes),
               rtdetr.sample((64, 64), labels=torch.tensor([0]), boxes=boxes[:1])]
    maps = [torch.randn(2, 16, size, size) for size in (8, 4, 2)]
    encoded, decoder_inputs = model.pre_transformer(maps, samples)
    more, head_inputs = model.pre_decoder(**encoded, batch_data_samples=samples)
    groups, noisy = head_inputs['dn_meta']['num_denoising_groups'], head_inputs['dn_meta']['num_denoising_queries']
    assert (groups, noisy) == (5, 20)  # 10 queries for two objects, a positive and a negative each
    mask = more['dn_mask']
    assert mask.shape == (noisy + rtdetr.QUERIES, ) * 2
    assert mask[noisy:, :noisy].all() and not mask[noisy:, noisy:].any()
    assert all(not mask[4 * i:4 * i + 4, 4 * i:4 * i + 4].any() for i in range(groups))
    assert mask[:4, 4:noisy].all()
    # the matching queries do not depend on the denoising queries
    with torch.no_grad():
        states = model.forward_decoder(**decoder_inputs, **more)['hidden_states'][:, :, noisy:]
        more['query'][:, :noisy] = torch.randn_like(more['query'][:, :noisy])
        again = model.forward_decoder(**decoder_inputs, **more)['hidden_states'][:, :, noisy:]
    assert torch.allclose(states, again, atol=1e-6)


def test_queries_are_the_tokens_with_the_best_scores():
    model = small_model()
    model.train(False)
    maps = [torch.randn(2, 16, size, size) for size in (8, 4, 2)]
    samples = [rtdetr.sample((64, 64))] * 2
    with torch.no_grad():
        encoded, _ = model.pre_transformer(maps, samples)
        decoder_inputs, head_inputs = model.pre_decoder(**encoded, batch_data_samples=samples)
        assert not head_inputs and decoder_inputs['dn_mask'] is None
        tokens, proposals = model.gen_encoder_output_proposals(
            encoded['memory'], None, torch.tensor(encoded['spatial_shapes']))
        scores = model.bbox_head.cls_branches[rtdetr.LAYERS](tokens).max(2)[0]
        for i in range(2):
            best = scores[i].sort(descending=True)[1][:rtdetr.QUERIES]
            assert torch.equal(decoder_inputs['query'][i], tokens[i, best])
            boxes = model.bbox_head.reg_branches[rtdetr.LAYERS](tokens[i, best]) + proposals[i, best]
            assert torch.allclose(decoder_inputs['reference_points'][i], boxes.sigmoid(), atol=1e-6)


def test_boxes_look_forward_twice():
    """The gradient of a box reaches its layer and the previous one only."""
    model = small_model(**{'decoder.num_layers': 3})
    model.train()
    maps = [torch.randn(1, 16, size, size) for size in (8, 4, 2)]
    samples = [rtdetr.sample((64, 64), labels=torch.tensor([1]), boxes=torch.tensor([[2., 2, 20, 30]]))]
    branches = model.bbox_head.reg_branches
    boxes = model.forward_transformer(maps, samples)['references']
    assert len(boxes) == 3
    for layer, box in enumerate(boxes):
        for p in model.parameters():
            p.grad = None
        box.sum().backward(retain_graph=True)
        reached = [branch[-1].bias.grad is not None and branch[-1].bias.grad.any().item() for branch in branches]
        assert reached[:3] == [i in (layer, layer - 1) for i in range(3)]


def test_only_the_last_layer_is_scored_in_inference():
    model = small_model()
    states, boxes = torch.randn(2, 1, 3, 16), list(torch.rand(2, 1, 3, 4))
    head = model.bbox_head
    scores, all_boxes = head(states, boxes)
    assert scores.shape == (2, 1, 3, 5) and torch.equal(all_boxes, torch.stack(boxes))
    head.train(False)
    last, box = head(states, boxes)
    assert torch.equal(last[0], scores[1]) and torch.equal(box[0], boxes[1])


def test_zero_init_is_the_stock_detector():
    stock = small_model(seed=1)
    ours = recipes.build(rtdetr.small('rtdetr_r18vd_fine_8xb2-72e_coco', **{'neck.zero_init': True}), seed=2)
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and all(name.startswith('neck.fine.') for name in missing)
    stock.train(False), ours.train(False)
    x = torch.rand(2, 3, 97, 131)
    samples = [rtdetr.sample((97, 131)), rtdetr.sample((60, 100), (97, 131))]
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(ours(x, samples, mode='tensor'), stock(x, samples, mode='tensor')))


def test_merged_blocks_give_the_same_detections():
    model = small_model()
    model.train(False)
    x, samples = torch.rand(1, 3, 64, 64), [rtdetr.sample((64, 64))]
    with torch.no_grad():
        before = model(x, samples, mode='tensor')
        model.neck.merge()
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(model(x, samples, mode='tensor'), before))


@pytest.mark.parametrize('name', ['rtdetr_r18vd_8xb2-72e_coco', 'rtdetr_r18vd_fine_8xb2-72e_coco'])
def test_a_few_steps_lower_the_loss(name):
    cfg = rtdetr.small(name, width=32)
    model = recipes.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, [(96, 96)] * 2, num_objects=3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(25):
        torch.manual_seed(0)  # same denoising noise
        loss = recipes.loss(model, copy.deepcopy(batch))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.85 * losses[0]  # 0.70 to 0.78 depending on the number of threads


@pytest.mark.parametrize('changes, message', [
    ({'num_feature_levels': 4}, 'num_feature_levels must equal num_levels .*, got 4 and 3'),
    ({'bbox_head.embed_dims': 32}, 'embed_dims of decoder and bbox_head must be equal, got 16 and 32'),
])
def test_components_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        recipes.build(rtdetr.small(**changes))


def test_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError, match='num_feature_levels must equal the number of maps of the neck, got 3 and 2'):
        small_model().pre_transformer([torch.zeros(1, 16, 4, 4)] * 2)
