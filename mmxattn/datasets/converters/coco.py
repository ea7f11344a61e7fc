"""COCO annotation files: how they are filled, and written."""
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ...utils.atomic_files import write_atomic

__all__ = ['Box', 'CocoFile', 'Part', 'write_split']

Box = tuple[float, float, float, float]  # left, top, width, height in pixels


class Part(NamedTuple):
    """A part of a data set that is ready: what it lies in, and how many of what; no counts: it was there already."""
    path: Path
    counts: Counter


class CocoFile:
    """A COCO annotation file in the making, with a count of what went into it and what was left out.

    Args:
        classes: their names; category k + 1 is ``classes[k]``.

    Attributes:
        images, annotations: as COCO has them.
        counts: what -> how many.
    """

    def __init__(self, classes: Sequence[str]):
        self.classes = classes
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.counts: Counter[str] = Counter(images=0, objects=0)

    def add_image(self, path: Path | None, name: str) -> dict | None:
        """Add an image.

        Args:
            path: the file; its header tells the size, as the pixels lie in it: EXIF's orientation is not applied.
            name: from the folder that the recipe takes images from, with forward slashes.

        Returns:
            The image to which objects can be added; None where there is no such file or its header cannot be read.
        """
        if path is None or not path.is_file():
            self.leave_out('images that are not there')
            return None
        try:
            with Image.open(path) as image:
                width, height = image.size
        except OSError:
            self.leave_out('images that cannot be read')
            return None
        self.images.append(dict(id=len(self.images) + 1, file_name=name, width=width, height=height))
        self.counts['images'] += 1
        return self.images[-1]

    def add_object(self, image: dict, name: str, box: Box, ignored: bool = False) -> None:
        """Add an object of class ``name``; if ``ignored``, it is neither to be found nor wrong to find."""
        inside = self.inside(image, box)
        if inside is not None:
            self.counts['objects to ignore' if ignored else 'objects'] += 1
            self.append(image, self.classes.index(name), inside, ignored)

    def add_ignored_region(self, image: dict, box: Box) -> None:
        """Add a region in which detections of any class are ignored.

        COCO's evaluation ignores class by class, so the region becomes a crowd of each. mmdet's data sets read crowds
        as ``ignored_instances``, which no sampler takes for objects.
        """
        inside = self.inside(image, box)
        if inside is not None:
            self.counts['ignored regions'] += 1
            for label in range(len(self.classes)):
                self.append(image, label, inside, True)

    def leave_out(self, what: str) -> None:
        """Count something that does not go into the file."""
        self.counts[f'{what} (left out)'] += 1

    def inside(self, image: dict, box: Box) -> Box | None:
        """The part of a box that lies in its image; None where that is less than a pixel wide or high.

        mmdet's data sets drop such boxes, while pycocotools would go on asking for them.
        """
        left, top = max(box[0], 0), max(box[1], 0)
        width = min(box[0] + box[2], image['width']) - left
        height = min(box[1] + box[3], image['height']) - top
        if width < 1 or height < 1:
            self.leave_out('boxes without area in their image')
            return None
        if (left, top, width, height) != tuple(box):
            self.counts['boxes cut at the border of their image'] += 1
        return left, top, width, height

    def append(self, image: dict, label: int, box: Box, ignored: bool) -> None:
        self.annotations.append(dict(
            id=len(self.annotations) + 1, image_id=image['id'], category_id=label + 1, bbox=list(box),
            area=box[2] * box[3], iscrowd=int(ignored)))

    def content(self) -> bytes:
        """The file."""
        categories = [dict(id=k + 1, name=name) for k, name in enumerate(self.classes)]
        return json.dumps(dict(images=self.images, annotations=self.annotations, categories=categories)).encode()


def write_split(path: Path, classes: Sequence[str], fill: Callable[[CocoFile], None], overwrite: bool) -> Part:
    """Write the annotation file of one split.

    Args:
        path: the file; where it is there, and ``overwrite`` is not set, nothing is done.
        classes: their names.
        fill: puts images and objects into a :class:`CocoFile`.
        overwrite: make it anew.

    Raises:
        ValueError: no image was found.
    """
    if path.is_file() and not overwrite:
        return Part(path, Counter())
    coco = CocoFile(classes)
    fill(coco)
    if not coco.images:
        told = ', '.join(f'{count} {what}' for what, count in coco.counts.items() if count) or 'none is listed'
        raise ValueError(f'{path} would be without images ({told}): see whether the archives were unpacked to the end.')
    write_atomic(path, coco.content())
    return Part(path, coco.counts)
