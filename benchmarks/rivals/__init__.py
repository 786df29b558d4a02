"""What people use instead, each in an environment of its own under `build/rivals`, measured by the same callers."""
