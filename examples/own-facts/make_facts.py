"""Write facts.csv: the state and the elevation of US airports, from the open package airportsdata.

pip install airportsdata==20260905
python make_facts.py
"""

import csv
from collections import Counter

import airportsdata

PER_STATE = 8  # so that guessing one large state is not often right

rows, taken = [], Counter()
for code, airport in sorted(airportsdata.load("IATA").items()):
    state = airport["subd"]
    if airport["country"] == "US" and "International" in airport["name"] and state and taken[state] < PER_STATE:
        taken[state] += 1
        rows.append((code, "airport-state", state, "airport"))
        rows.append((code, "airport-elevation", f"{round(airport['elevation'], -1):,.0f}", "airport"))

with open("facts.csv", "w", encoding="utf8", newline="") as file:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(("subject", "relation", "object", "subject_type"))
    out.writerows(rows)
