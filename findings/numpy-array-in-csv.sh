#!/bin/sh
# pandas 3.1.1, NumPy 2.4.6, Python 3.11.
# A column of NumPy arrays, as read from Parquet, is written to CSV as NumPy prints it: without commas.
# ast.literal_eval, the usual way back, takes that for Python's joining of adjacent literals: it raises
# nothing and gives ONE text of all captions. One would expect two texts, or a SyntaxError.
# Seen: cell "['a dog' 'a cat']", read back as ['a doga cat'].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pandas==3.1.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import csv

import numpy as np
import pandas as pd

table = pd.DataFrame({"image": ["a.jpg"], "captions": [np.array(["a dog", "a cat"])]})
table.to_csv("captions.csv", index=False)
with open("captions.csv", newline="") as file:
    cell = next(csv.DictReader(file))["captions"]
read = ast.literal_eval(cell)
print("pandas", pd.__version__, "numpy", np.__version__, "cell", repr(cell), "read back", read)
assert cell == "['a dog' 'a cat']", "written in another way now"
assert read == ["a doga cat"], "read in another way now"
PYTHON
