"""The JSON Schema of the files, for editors: completion, hover texts and the rules that a schema can say."""

import importlib.resources
from typing import Final

FILE_NAME: Final = "caps.schema.json"


def schema_bytes() -> bytes:
    """The schema, as it lies in this package."""
    return (importlib.resources.files("outlay_sync") / FILE_NAME).read_bytes()
