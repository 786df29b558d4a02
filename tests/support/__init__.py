"""What the tests start and ask: real servers on loopback, each ended with the tests whatever happens to them."""
