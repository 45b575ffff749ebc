"""Reports: from ``metrics.json`` to one page that opens offline.

- :mod:`~fairpo.report.html`: reads the file, writes the page.
- :mod:`~fairpo.report.comparison`: the page of one comparison or run.
- :mod:`~fairpo.report.rows`, :mod:`~fairpo.report.verdicts`, :mod:`~fairpo.report.evidence`: what
  it says, as rows and in words.
- :mod:`~fairpo.report.charts`, :mod:`~fairpo.report.score_charts`: data in, chart out.
- :mod:`~fairpo.report.page`: templates that escape, and the runtime of the pictures.
- :mod:`~fairpo.report.markdown`: the main table as text.

Nothing here needs torch: a report can be rendered where only the results are.
"""

from fairpo.report.html import render_report as render_report
from fairpo.report.html import write_report as write_report
