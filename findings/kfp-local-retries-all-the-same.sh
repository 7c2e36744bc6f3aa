#!/bin/sh
# kfp 2.17.0: a compiled pipeline that is loaded with components.load_component_from_file has a property
# `pipeline_spec`. It looks like the component's state, and it is not: the YAML is parsed anew at each
# access. So a change made there (here: no retries on a laptop, where the same error would come again) is
# lost without a word, and the local runner tries a failing step three times all the same.
# Why the guess is wrong: the returned object is a mutable protobuf message of the right type, a
# GraphComponent (a pipeline that is not compiled) does keep it, and nothing says that it is a copy.
# Seen: "retries set to 0, read back: 2" and "tries of the step: 3".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q 'kfp==2.17.0'
cat >"$folder/pipeline.py" <<'PY'
import sys
from kfp import compiler, components, dsl, local

log = sys.argv[1]

@dsl.component(install_kfp_package=False)
def fails(log: str):
    with open(log, "a") as file:
        file.write("try\n")
    raise SystemExit(2)

@dsl.pipeline(name="retried")
def retried(log: str):
    fails(log=log).set_retry(num_retries=2)

compiler.Compiler().compile(retried, f"{log}.yaml")
component = components.load_component_from_file(f"{log}.yaml")
component.pipeline_spec.root.dag.tasks["fails"].ClearField("retry_policy")
left = component.pipeline_spec.root.dag.tasks["fails"].retry_policy.max_retry_count
print(f"retries set to 0, read back: {left}")
local.init(local.SubprocessRunner(use_venv=False), raise_on_error=False)
component(log=log)
tries = len(open(log).read().splitlines())
print(f"tries of the step: {tries}")
sys.exit(0 if (left, tries) == (2, 3) else 1)
PY
cd "$folder"
PATH="$folder/venv/bin:$PATH" python pipeline.py "$folder/log" >out 2>&1 || { cat out; exit 1; }
grep -E "^(retries|tries)" out
