"""The pages of results, from the committed tables of runs and predictions, and nothing else.

    python -m experiments.analysis            # writes docs/results/
    python -m experiments.analysis --check    # fails where a page there says something else

`evidence` reads the folders of experiments, `findings` finds their points and laws, `pages` hands what a page needs to
its template in `templates/`, which holds all of its prose.
"""
