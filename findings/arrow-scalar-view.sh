#!/bin/sh
# pyarrow 26.0.1.
# BinaryScalar.as_buffer is documented as "a view over this value". Of a memory-mapped Arrow file one
# would take it for a view of the mapped bytes, and its address for the value's place in the file. The
# value is copied: its address is elsewhere, and a place computed of it is wrong without an error. The
# place is told by the array's buffers() and offset alone.
# Seen: data at 296 of 608 bytes by buffers(), outside of the file by as_buffer().
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pyarrow as pa

table = pa.table({"bytes": pa.array([b"x" * 100] * 3, pa.binary())})
with pa.ipc.new_stream("t.arrow", table.schema) as writer:
    writer.write_table(table)
source = pa.memory_map("t.arrow")
start = source.read_buffer(1).address
source.seek(0)
column = next(iter(pa.ipc.open_stream(source))).column("bytes")
by_buffers = column.buffers()[2].address - start
by_scalar = column[0].as_buffer().address - start
size = source.size()
print("pyarrow", pa.__version__, "file of", size, "bytes; data at", by_buffers, "by buffers(),",
      "inside" if 0 <= by_scalar < size else "outside", "of the file by as_buffer()")
assert 0 <= by_buffers < size, "not mapped any more"
assert not 0 <= by_scalar < size, "as_buffer is a view of the mapped file now"
PYTHON
