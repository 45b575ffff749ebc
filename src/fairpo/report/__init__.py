"""Reports: from the figures of a folder to one page that opens offline.

- :mod:`~fairpo.report.html`, :mod:`~fairpo.report.markdown`, :mod:`~fairpo.report.figures`: the
  page, its tables as text, its pictures as files; :mod:`~fairpo.report.files` reads.
- :mod:`~fairpo.report.comparison`, :mod:`~fairpo.report.variants`: the page of one comparison or
  run, and that of a study of several variants.
- :mod:`~fairpo.report.language_models`: the page of a comparison of language models, with its
  ``language_rows``, ``language_verdicts``, ``language_markdown`` and ``rate_charts``.
- :mod:`~fairpo.report.rows`, :mod:`~fairpo.report.verdicts`, :mod:`~fairpo.report.evidence`,
  :mod:`~fairpo.report.sweep`: what it says, as rows and in words.
- :mod:`~fairpo.report.charts`, :mod:`~fairpo.report.score_charts`,
  :mod:`~fairpo.report.variant_charts`: data in, chart out.
- :mod:`~fairpo.report.markdown_text`: tables and words that cannot break out of Markdown.
- :mod:`~fairpo.report.page`: templates that escape, and the runtime of the pictures.

Nothing here needs torch: a report can be rendered where only the results are.
"""

from fairpo.report.figures import write_figures as write_figures
from fairpo.report.html import render_report as render_report
from fairpo.report.html import write_report as write_report
from fairpo.report.markdown import write_markdown as write_markdown
