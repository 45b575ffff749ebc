"""Reports: from ``metrics.json`` to one page that opens offline.

- :mod:`~fairpo.report.charts`: the pictures, data in, chart out.
- :mod:`~fairpo.report.html`: the page around them.
- :mod:`~fairpo.report.markdown`: the main table as text.

Nothing here needs torch: a report can be rendered where only the results are.
"""

from fairpo.report.html import render_report as render_report
from fairpo.report.html import write_report as write_report
