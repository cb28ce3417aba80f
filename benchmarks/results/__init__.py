"""The page of results and its figures, from the committed tables of runs and nothing else.

`results/reference.csv` holds the runs of studies/reference.toml, `results/explanations/NAME.csv` those of
studies/explanations/NAME.toml, `results/predictions/` what was written before the held-out runs were trained. A part
whose table is not there yet is left out of the page.

    python -m benchmarks.results            # writes docs/results.md and docs/results/
"""
