"""The page of results and its figures, from the committed tables of runs and nothing else.

`results/NAME/runs.csv` holds the runs of studies/NAME.toml, `prediction.json` beside it what was written before the
held-out ones were trained, `results/explanations/NAME.csv` the runs of studies/explanations/NAME.toml. A part whose
table is not there yet is left out of the page.

    python -m benchmarks.results            # writes docs/results.md and docs/results/
"""
