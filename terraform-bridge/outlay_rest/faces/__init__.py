"""The two published REST faces for caps: billing in cents, usage in credits.

Each addresses one budget of the key's organization through the same RPCs as everything else.
"""
