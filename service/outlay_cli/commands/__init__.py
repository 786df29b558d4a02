"""One module a command or group; each is imported only when it is run."""
