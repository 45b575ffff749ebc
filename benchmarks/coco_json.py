"""Read COCO annotations of the real size: wanted under 60 s and 4 GB.

The file is written here in the official structure: 118,287 images, 860,001 annotations with
polygons, about 450 MB, as ``instances_train2017.json`` is.

Run: python benchmarks/coco_json.py
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from fairpo import load_data

N_IMAGES = 118_287
N_ANNOTATIONS = 860_001
N_VALIDATION = 5_000


def write(path, n_images, n_annotations, seed):
    rng = np.random.default_rng(seed)
    images = [
        {
            "license": 3,
            "file_name": f"{number:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": f"http://farm9.staticflickr.com/8186/{number:012d}_z.jpg",
            "id": number,
        }
        for number in range(n_images)
    ]
    categories = [
        {"supercategory": "thing", "id": number, "name": f"category {number}"}
        for number in range(1, 81)
    ]
    with path.open("w") as stream:
        head = {"info": {"year": 2017}, "licenses": [], "images": images, "categories": categories}
        stream.write(json.dumps(head)[:-1] + ', "annotations": [')
        shares = rng.exponential(size=80)
        labels = rng.choice(80, n_annotations, p=shares / shares.sum()) + 1
        where = rng.integers(n_images, size=n_annotations)
        polygons = [rng.uniform(0, 640, (1, 50)).round(2).tolist() for _ in range(2000)]
        for number in range(n_annotations):
            annotation = {
                "segmentation": polygons[number % 2000],
                "area": 702.1057499999998,
                "iscrowd": 0,
                "image_id": int(where[number]),
                "bbox": [473.07, 395.93, 38.65, 28.67],
                "category_id": int(labels[number]),
                "id": number,
            }
            stream.write((", " if number else "") + json.dumps(annotation))
        stream.write("]}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "annotations"
        folder.mkdir()
        write(folder / "instances_train2017.json", N_IMAGES, N_ANNOTATIONS, 0)
        write(folder / "instances_val2017.json", N_VALIDATION, 36_781, 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        megabytes = (folder / "instances_train2017.json").stat().st_size / 1e6
        start = time.perf_counter()
        data = load_data(name)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"file                {megabytes:.0f} MB, {N_IMAGES:,} images, {N_ANNOTATIONS:,} objects")
    print(f"read and split      {seconds:.1f} s, {data.n_rows:,} rows x {data.n_labels} labels")
    print(f"peak memory         {peak:.0f} MB   ({before:.0f} MB before reading)")


if __name__ == "__main__":
    main()
