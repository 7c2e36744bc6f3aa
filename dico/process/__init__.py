"""The running process: exit codes, signals, progress, secrets, provenance and devices."""
