"""COCO-style ground truth of any detection dataset of mmdet."""
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset


class GroundTruth:
    """COCO-style ground truth of a dataset, and the conversion of predictions to its ids.

    Args:
        dataset: Fully initialized dataset of mmdet. Only the images that it yields are used.

    Attributes:
        coco: Dict of ``images``, ``categories`` and ``annotations`` (bbox as x, y, width, height in pixels, area,
            iscrowd), without masks. Annotation ids start from 1, as 0 means "no match" in pycocotools.
        category_ids: Category id of each label.

    Raises:
        ValueError: If images have the same ``img_id``.
    """

    def __init__(self, dataset: BaseDataset):
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        annotations = _load_annotation_file(dataset)
        if annotations is None:
            self._init_from_instances(infos, dataset.metainfo['classes'])
        else:
            self._init_from_file(annotations, infos, list(dataset.cat_ids))
        if len(self._image_ids) != len(infos):
            raise ValueError(f'img_id of each image must be unique, got {len(self._image_ids)} ids for {len(infos)} '
                             f'images: evaluate on a dataset without repeated images.')
        for index, annotation in enumerate(self.coco['annotations'], 1):
            annotation['id'] = index

    def to_coco_results(self, img_id: object, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[dict]:
        """Convert the predictions of one image to COCO-style results.

        Args:
            img_id: Id of the image in the dataset.
            boxes: Left, top, right, bottom in pixels of the original image; shape (N, 4).
            scores: Scores of shape (N,).
            labels: Labels of shape (N,).

        Returns:
            Dicts of ``image_id``, ``category_id``, ``bbox`` and ``score``.
        """
        return [{
            'image_id': self._image_ids[img_id],
            'category_id': self.category_ids[label],
            'bbox': [left, top, right - left, bottom - top],
            'score': score,
        } for (left, top, right, bottom), score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist())]

    def _init_from_file(self, content: dict, infos: Sequence[dict], category_ids: list[int]) -> None:
        """Take the annotations from the file, because the dataset drops boxes that COCO's evaluation keeps."""
        image_ids = {info['img_id'] for info in infos}
        self.category_ids = category_ids
        self._image_ids = {img_id: img_id for img_id in image_ids}
        self.coco = {
            'images': [{key: image[key] for key in ('id', 'file_name', 'width', 'height') if key in image}
                       for image in content['images'] if image['id'] in image_ids],
            'categories': [{'id': category['id'], 'name': category['name']} for category in content['categories']
                           if category['id'] in category_ids],
            'annotations': [{**{key: ann[key] for key in ('image_id', 'category_id', 'bbox', 'area')},
                             'iscrowd': ann.get('iscrowd', 0)} for ann in content['annotations']
                            if ann['image_id'] in image_ids and ann['category_id'] in category_ids],
        }

    def _init_from_instances(self, infos: Sequence[dict], classes: Sequence[str]) -> None:
        """Take the boxes of the dataset; ``ignore_flag`` (difficult objects of VOC) means crowd, as in CocoMetric."""
        self.category_ids = list(range(1, len(classes) + 1))
        self._image_ids = {info['img_id']: number for number, info in enumerate(infos, 1)}
        images, annotations = [], []
        for number, info in enumerate(infos, 1):
            images.append({'id': number, 'file_name': info['img_path'], 'width': info['width'],
                           'height': info['height']})
            for instance in info['instances']:
                left, top, right, bottom = (float(side) for side in instance['bbox'])
                width, height = right - left, bottom - top
                annotations.append({
                    'image_id': number, 'category_id': self.category_ids[instance['bbox_label']],
                    'area': width * height, 'bbox': [left, top, width, height],
                    'iscrowd': int(instance['ignore_flag'])})
        categories = [{'id': key, 'name': name} for key, name in zip(self.category_ids, classes)]
        self.coco = {'images': images, 'categories': categories, 'annotations': annotations}


def _load_annotation_file(dataset: BaseDataset) -> dict | None:
    """Load the COCO annotation file of a dataset; return None if there is none or it has no boxes."""
    path = Path(getattr(dataset, 'ann_file', '') or '')
    if not hasattr(dataset, 'cat_ids') or path.suffix != '.json' or not path.is_file():
        return None
    content = json.loads(path.read_text())
    has_boxes = all('bbox' in annotation for annotation in content['annotations'])  # False for panoptic files
    return content if has_boxes else None
