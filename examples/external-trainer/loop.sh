#!/bin/sh
# The whole study: ask, train, score, tell, until the report is written. Stop it at any time and start it again.
set -eu
here=$(dirname "$0")
while :; do
  status=0
  infusionlaw run "$here/study.toml" || status=$?
  [ $status -eq 3 ] || exit $status             # 0: the report is written; 3: it waits for results
  infusionlaw runs external runs.csv --corpora tokens # each time: a search asks for more runs in every round
  rm -f next.csv results.csv
  infusionlaw ask external next.csv
  [ -f next.csv ] || exit 3                     # no run that is left is worth its FLOPs
  python "$here/train.py" next.csv corpora external/corpus/tokenizer.json models
  for run in $(tail -n +2 next.csv | cut -d, -f1); do
    infusionlaw score "models/$run" external --run "$run" --to results.csv
  done
  infusionlaw tell external results.csv
done
