"""`outlay demo`: a live server, metered work against a cap, a crash, and the books."""
