"""The composition root: settings, build, run, drain, telemetry."""
