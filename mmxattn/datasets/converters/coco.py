"""COCO annotation files."""
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...utils.atomic_files import write_atomic
from .common import open_image

__all__ = ['Annotation', 'Box', 'CocoBuilder', 'ConvertedSplit', 'write_split']

Box = tuple[float, float, float, float]  # left, top, width, height in pixels


class Annotation(NamedTuple):
    """An annotated box. A label of None marks a region in which detections of every class are ignored."""
    label: str | None
    box: Box
    ignored: bool = False


class ConvertedSplit(NamedTuple):
    """A converted split: its file or folder, and counts by description. Counts are empty if it already existed."""
    path: Path
    counts: Counter[str]


class CocoBuilder:
    """Collect images and annotations of a COCO annotation file.

    Args:
        classes: Class names. The category id of ``classes[k]`` is ``k + 1``.

    Attributes:
        images: Images in COCO format.
        annotations: Annotations in COCO format.
        counts: Number of added, clipped and skipped items by description.
    """

    def __init__(self, classes: Sequence[str]):
        self.classes = classes
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.counts: Counter[str] = Counter(images=0, objects=0)

    def add_annotated_image(self, path: Path | None, name: str, annotations: Iterable[Annotation]) -> None:
        """Add an image and its annotations. Skip and count an image that is missing or unreadable.

        Args:
            path: Image file.
            name: Path relative to the image folder of the recipe, with forward slashes.
            annotations: Boxes of the image.
        """
        annotations = list(annotations)  # report malformed annotations even if the image is missing
        image = self.add_image(path, name)
        if image is not None:
            for annotation in annotations:
                self.add_annotation(image, annotation)

    def add_image(self, path: Path | None, name: str) -> dict | None:
        """Add an image without annotations.

        The size is read from the header. EXIF orientation is not applied.

        Returns:
            The image in COCO format, or None if the file is missing or unreadable.
        """
        if path is None or not path.is_file():
            self.skip('missing images')
            return None
        try:
            with open_image(path) as image:
                width, height = image.size
        except OSError:
            self.skip('unreadable images')
            return None
        self.images.append(dict(id=len(self.images) + 1, file_name=name, width=width, height=height))
        self.counts['images'] += 1
        return self.images[-1]

    def add_annotation(self, image: dict, annotation: Annotation) -> None:
        """Add an annotation. Skip and count objects of other classes and boxes outside of the image.

        COCO evaluates each class separately, so an ignored region becomes a crowd annotation of every class. mmdet
        reads crowds as ``ignored_instances``, which are not sampled as positives.
        """
        label, box, ignored = annotation
        if label is not None and label not in self.classes:
            self.skip(f'objects of class {label!r}')
            return
        clipped = self.clip(image, box)
        if clipped is None:
            return
        if label is None:
            self.counts['ignored regions'] += 1
            for category in range(len(self.classes)):
                self._append(image, category, clipped, True)
        else:
            self.counts['ignored objects' if ignored else 'objects'] += 1
            self._append(image, self.classes.index(label), clipped, ignored)

    def skip(self, description: str) -> None:
        """Count an item that is left out of the file."""
        self.counts[f'{description} (skipped)'] += 1

    def clip(self, image: dict, box: Box) -> Box | None:
        """Clip a box to its image; return None if less than one pixel remains on a side.

        mmdet drops such boxes, while pycocotools would still count them as ground truth.
        """
        left, top = max(box[0], 0), max(box[1], 0)
        width = min(box[0] + box[2], image['width']) - left
        height = min(box[1] + box[3], image['height']) - top
        if width < 1 or height < 1:
            self.skip('boxes without area in their image')
            return None
        if (left, top, width, height) != tuple(box):
            self.counts['boxes clipped to their image'] += 1
        return left, top, width, height

    def to_json(self) -> bytes:
        """Encode the annotation file."""
        categories = [dict(id=k + 1, name=name) for k, name in enumerate(self.classes)]
        return json.dumps(dict(images=self.images, annotations=self.annotations, categories=categories)).encode()

    def _append(self, image: dict, category: int, box: Box, ignored: bool) -> None:
        self.annotations.append(dict(
            id=len(self.annotations) + 1, image_id=image['id'], category_id=category + 1, bbox=list(box),
            area=box[2] * box[3], iscrowd=int(ignored)))


def write_split(path: Path, classes: Sequence[str], fill: Callable[[CocoBuilder], None],
                overwrite: bool) -> ConvertedSplit:
    """Write the annotation file of a split, unless it exists.

    Args:
        path: Annotation file.
        classes: Class names.
        fill: Function that adds the images and annotations to a :class:`CocoBuilder`.
        overwrite: Replace an existing file.

    Returns:
        The split.

    Raises:
        ValueError: If the split has no images.
    """
    if path.is_file() and not overwrite:
        return ConvertedSplit(path, Counter())
    builder = CocoBuilder(classes)
    fill(builder)
    if not builder.images:
        found = ', '.join(f'{count} {what}' for what, count in builder.counts.items() if count) or 'none are listed'
        raise ValueError(f'{path} would contain no images ({found}). Check that the archives are completely unpacked.')
    write_atomic(path, builder.to_json())
    return ConvertedSplit(path, builder.counts)
