#!/bin/sh
# The whole study: ask, train, score, tell, until nothing is asked any more. Stop it at any time and start it again.
set -eu
here=$(dirname "$0")
infusionlaw run "$here/study.toml" || [ $? -eq 3 ] # 3: it waits for results
infusionlaw runs external runs.csv --corpora tokens
while rm -f next.csv && infusionlaw ask external next.csv && [ -f next.csv ]; do
  python "$here/train.py" next.csv corpora external/corpus/tokenizer.json models
  rm -f results.csv
  for run in $(tail -n +2 next.csv | cut -d, -f1); do
    infusionlaw score "models/$run" external --run "$run" --to results.csv
  done
  infusionlaw tell external results.csv
  infusionlaw run "$here/study.toml" || [ $? -eq 3 ]
done
