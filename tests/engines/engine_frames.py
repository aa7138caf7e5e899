"""What the tests of the engines share: names of segments, and what frames are compared by."""

import pandas as pd
import pyarrow as pa

# Names that a language sorts in another order than their bytes are.
SEGMENTS = ["web", "Web", "_till", "éclair", "shop", "Ωmega", None]


def as_bytes(frame: pd.DataFrame) -> bytes:
    """The frame as an Arrow stream, names and types included."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()
