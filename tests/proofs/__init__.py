"""Proofs of what the service promises in the face of crashes: programs of their own, with a fast form as tests."""
