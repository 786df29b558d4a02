"""The Outlay service: caps on spend that hold under concurrency, over gRPC and REST."""
