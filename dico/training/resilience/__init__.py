"""Training that survives: checkpoints, resumption, divergence guards and the watchdog."""
