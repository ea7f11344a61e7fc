"""The objects of a detection data set, COCO-style, whatever it was read from."""
import json
from pathlib import Path


class GroundTruth:
    """What a data set says is in its images, and how a model's labels and images translate into its ids.

    Args:
        dataset (BaseDataset): Of mmdet, fully initialised; only images that it hands out are taken.

    Attributes:
        coco (dict): ``images``, ``categories`` and ``annotations`` (bbox as x, y, width, height in pixels, area,
            iscrowd), without masks. Annotations are numbered from 1: to pycocotools, 0 means "no match".
        category_ids (list[int]): Category of each label.

    Raises:
        ValueError: Two images have the same ``img_id``.
    """

    def __init__(self, dataset):
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        file = _annotation_file(dataset)
        if file is None:
            self._from_instances(infos, dataset.metainfo['classes'])
        else:
            self._from_file(file, infos, list(dataset.cat_ids))
        if len(self._image_ids) != len(infos):
            raise ValueError(f'The data set has {len(infos)} images and {len(self._image_ids)} different img_id: give '
                             f'one without repeated images.')
        for number, annotation in enumerate(self.coco['annotations'], 1):
            annotation['id'] = number

    def results(self, img_id, boxes, scores, labels):
        """One image's predictions, COCO-style.

        Args:
            img_id: As the data set names the image.
            boxes (np.ndarray): (N, 4) left, top, right, bottom in pixels of the original image.
            scores (np.ndarray): (N,).
            labels (np.ndarray): (N,) int.

        Returns:
            list[dict]: ``image_id``, ``category_id``, ``bbox``, ``score``.
        """
        return [dict(image_id=self._image_ids[img_id], category_id=self.category_ids[label],
                     bbox=[left, top, right - left, bottom - top], score=score)
                for (left, top, right, bottom), score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist())]

    def _from_file(self, annotations, infos, category_ids):
        """As the file says it: mmdet's data set drops boxes that the official evaluation keeps."""
        wanted, self.category_ids = {info['img_id'] for info in infos}, category_ids
        self._image_ids = {img_id: img_id for img_id in wanted}
        self.coco = dict(
            images=[{key: image[key] for key in ('id', 'file_name', 'width', 'height') if key in image}
                    for image in annotations['images'] if image['id'] in wanted],
            categories=[dict(id=category['id'], name=category['name']) for category in annotations['categories']
                        if category['id'] in category_ids],
            annotations=[{**{key: annotation[key] for key in ('image_id', 'category_id', 'bbox', 'area')},
                          'iscrowd': annotation.get('iscrowd', 0)} for annotation in annotations['annotations']
                         if annotation['image_id'] in wanted and annotation['category_id'] in category_ids])

    def _from_instances(self, infos, classes):
        """From boxes of any data set; ``ignore_flag`` (VOC's difficult objects) becomes a crowd, as in CocoMetric."""
        self.category_ids = list(range(1, len(classes) + 1))
        self._image_ids = {info['img_id']: number for number, info in enumerate(infos, 1)}
        images, annotations = [], []
        for number, info in enumerate(infos, 1):
            images.append(dict(id=number, file_name=info['img_path'], width=info['width'], height=info['height']))
            for instance in info['instances']:
                left, top, right, bottom = (float(side) for side in instance['bbox'])
                width, height = right - left, bottom - top
                annotations.append(dict(
                    image_id=number, category_id=self.category_ids[instance['bbox_label']], area=width * height,
                    bbox=[left, top, width, height], iscrowd=int(instance['ignore_flag'])))
        categories = [dict(id=key, name=name) for key, name in zip(self.category_ids, classes)]
        self.coco = dict(images=images, categories=categories, annotations=annotations)


def _annotation_file(dataset):
    """The content of the COCO file that a data set was read from; None where it was read from something else."""
    path = Path(getattr(dataset, 'ann_file', '') or '')
    if not hasattr(dataset, 'cat_ids') or path.suffix != '.json' or not path.is_file():
        return None
    content = json.loads(path.read_text())
    boxed = all('bbox' in annotation for annotation in content['annotations'])  # not so in a panoptic file
    return content if boxed else None
