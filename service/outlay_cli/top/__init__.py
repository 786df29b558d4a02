"""`outlay top`: spend against caps as it happens."""
