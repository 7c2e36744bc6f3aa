"""Variables that a step's environment has on a cluster, and may have in a container here."""

# The library's own names for them, written out: `kfp dsl compile --py pipelines/dico.py` imports
# that file as ``dico``, which hides the library while the pipelines are imported.
RUN_VARIABLE = "DICO_RUN_ID"
WORK_VARIABLE = "DICO_WORK"
NODE_VARIABLE = "DICO_NODE"
CPU_REQUEST, MEMORY_REQUEST = "250m", "512Mi"

WORK = "/data"
"""Where the work volume is mounted; its folders ``store`` and ``registry`` are the defaults."""

SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "DICO_TRACK",
    "WANDB_API_KEY",
    "MLFLOW_TRACKING_TOKEN",
    "DICO_SIGNING_KEY",
    "DICO_VERIFY_KEY",
)
"""Keys of the secret, each also the name of its variable; all may be absent."""
