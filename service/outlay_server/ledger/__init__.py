"""The write path: take what waits, load once, decide each, write once, answer all."""
