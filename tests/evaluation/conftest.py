import numpy as np
import pytest


@pytest.fixture
def scene():
    """Create ground truth and results from boxes (image, class, x, y, width, height[, score])."""

    def write(boxes, detections=(), images=1, classes=2, crowds=()):
        annotations = [dict(image_id=image, category_id=category, bbox=list(map(float, box)), iscrowd=crowd,
                            area=float(box[2] * box[3]))
                       for crowd, group in ((0, boxes), (1, crowds)) for image, category, *box in group]
        truth = dict(images=[dict(id=number, width=400, height=400) for number in range(1, images + 1)],
                     categories=[dict(id=number, name=f'c{number}') for number in range(1, classes + 1)],
                     annotations=[dict(entry, id=number) for number, entry in enumerate(annotations, 1)])
        return truth, [dict(image_id=image, category_id=category, bbox=list(map(float, box)), score=score)
                       for image, category, *box, score in detections]

    return write


@pytest.fixture
def random_scene(scene):
    """Create a random scene with objects of all sizes, crowds, and detections of all error types."""

    def write(seed, images=12, classes=4, spread=0.15):
        rng = np.random.RandomState(seed)
        boxes, crowds, detections = [], [], []
        for image in range(1, images + 1):
            for _ in range(rng.randint(0, 6)):
                side = rng.choice([12, 50, 150])
                box = np.array([*rng.uniform(0, 200, 2), *rng.uniform(0.7, 1.3, 2) * side])
                category = rng.randint(1, classes)  # the last class has no objects
                (crowds if rng.rand() < 0.1 else boxes).append((image, category, *box))
                for _ in range(rng.choice([0, 1, 1, 2])):
                    moved = box + rng.normal(0, spread, 4) * side
                    moved[2:] = np.maximum(moved[2:], 2)
                    named = category if rng.rand() < 0.8 else rng.randint(1, classes + 1)
                    detections.append((image, named, *moved, rng.rand()))
            for _ in range(rng.randint(0, 3)):
                detections.append((image, rng.randint(1, classes + 1), *rng.uniform(0, 200, 2),
                                   *rng.uniform(10, 100, 2), rng.rand()))
        return scene(boxes, detections, images, classes, crowds)

    return write
