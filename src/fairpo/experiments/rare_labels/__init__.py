"""The rare labels of eight real sets: every baseline tuned, one default of ours, one page.

- ``suite``: the sets, the labels that can be judged, the rows that choose;
- ``trials``: the settings that are tried for each method;
- ``soap``: the baseline that optimises average precision;
- ``bench``: one training, from settings to scores in a file;
- ``conduct``: all trainings of a set in their order, each taken up where a stop left it;
- ``figures``: what is claimed, and what the files say of it;
- ``page``: the same as tables.
"""
