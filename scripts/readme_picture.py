"""Draw the README's picture from the results of `fairpo demo`.

Run: fairpo demo && python scripts/readme_picture.py
"""

import json
from pathlib import Path

from fairpo.report.charts import trade_off
from fairpo.report.rows import trade_off_points

metrics = json.loads(Path("runs/demo/metrics.json").read_text())
chart = trade_off(
    trade_off_points(metrics),
    "change of privileged mAP, points",
    "change of non-privileged mAP, points",
).properties(width=640, height=340, background="white")
chart.save("docs/images/demo.png", scale_factor=1.5)
