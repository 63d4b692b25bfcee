"""The rows of a manifest out of JSON Lines, CSV or Parquet, as words and values.

A manifest may come from a visitor: its bytes, rows and the size of each row are bounded before
memory is taken for them, in Parquet also what a few bytes unpack to.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from app.batch import storage
from weights.errors import DependencyError, InputError, LimitError
from weights.installation import how_to_add

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import FileMetaData

MAX_BYTES = 128 << 20
MAX_ROWS = 200_000
_MAX_ROW = 1 << 20  # characters
_MAX_WORDS = 1_000
_MAX_DEPTH = 8
_MAX_UNPACKED = 256 << 20
_BATCH = 256

Row = tuple[int, "Mapping[str, Any] | InputError"]


def read_rows(address: str) -> Iterator[Row]:
    """(row, values) of every row, or what is wrong with it; rows count from 1.

    Raises InputError for a file that is no manifest, LimitError for one that is too large,
    MediaError for one that cannot be read.
    """
    suffix = os.path.splitext(address)[1].lower()
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    if suffix not in readers:
        raise InputError(f"got the manifest {address}; wanted .jsonl, .csv or .parquet")
    for row, values in readers[suffix](storage.read_bytes(address, MAX_BYTES), address):
        if row > MAX_ROWS:
            raise LimitError(f"the manifest {address} has more than {MAX_ROWS} rows; cut it up")
        yield row, values


def _text(data: bytes, address: str) -> io.StringIO:
    try:
        return io.StringIO(data.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise InputError(f"the manifest {address} is not UTF-8 text: {error}") from error


def _json_lines(data: bytes, address: str) -> Iterator[Row]:
    row = 0
    for line in _text(data, address):
        if not line.strip():
            continue
        row += 1
        if len(line) > _MAX_ROW:
            yield row, _too_long()
            continue
        try:
            values = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            yield row, InputError(f"it is not JSON ({error})")
            continue
        wrong = InputError(f"got {type(values).__name__}; wanted an object of words and values")
        yield row, values if isinstance(values, dict) else wrong


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _too_long() -> InputError:
    return InputError(f"it has more than {_MAX_ROW} characters")


def _csv(data: bytes, address: str) -> Iterator[Row]:
    spent = 0

    def lines() -> Iterator[str]:
        # A quoted value may go on over lines, but not over the whole file.
        nonlocal spent
        for line in _text(data, address):
            spent += len(line)
            if spent > _MAX_ROW:
                raise csv.Error(f"more than {_MAX_ROW} characters")
            yield line

    reader = csv.reader(lines(), strict=True)
    row = 0
    try:
        header = next(reader, [])
        if len(header) > _MAX_WORDS or len(set(header)) < len(header):
            raise InputError(
                f"the first line of {address} has {len(header)} words, some of them twice; "
                "wanted each once"
            )
        for values in reader:
            spent = 0
            if not values:
                continue
            row += 1
            if len(values) > len(header):
                yield row, InputError("it has more values than the first line has words")
                continue
            yield row, {n: v for n, v in zip(header, values, strict=False) if v}
    except csv.Error as error:
        yield row + 1, InputError(f"it is not CSV ({error})")


# -- Parquet -----------------------------------------------------------------------------------


def _parquet(data: bytes, address: str) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError(
            f"a Parquet manifest needs pyarrow: {how_to_add('parquet')}, or use .jsonl"
        ) from error
    row = 0
    try:
        stored = parquet.read_metadata(pyarrow.BufferReader(data))
        texts = _check_parquet(stored, address)
        # A text that many rows share is there once in memory, as it is in the file.
        with parquet.ParquetFile(pyarrow.BufferReader(data), read_dictionary=texts) as file:
            for batch in file.iter_batches(_BATCH, use_threads=False):
                columns = [_plain(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    row += 1
                    yield row, dict(zip(batch.schema.names, values, strict=True))
    # Its readers raise whatever a damaged file happens to run into.
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        problem = str(error).strip().partition("\n")[0]
        raise InputError(f"the manifest {address} is not Parquet: {problem}") from error


def _check_parquet(stored: "FileMetaData", address: str) -> list[str]:
    """The columns of texts. Raises LimitError for more than is read."""
    if stored.num_rows > MAX_ROWS or stored.num_columns > _MAX_WORDS:
        raise LimitError(
            f"the manifest {address} has {stored.num_rows} rows of {stored.num_columns} columns; "
            f"at most {MAX_ROWS} rows of {_MAX_WORDS} are read"
        )
    # Not the sum over columns: pyarrow ends the process when it is asked of a damaged one.
    unpacked = sum(stored.row_group(i).total_byte_size for i in range(stored.num_row_groups))
    if unpacked > _MAX_UNPACKED:
        raise LimitError(
            f"the manifest {address} unpacks to {unpacked} bytes; at most {_MAX_UNPACKED} are read"
        )
    described = [stored.schema.column(i) for i in range(stored.num_columns)]
    return [c.path for c in described if c.physical_type == "BYTE_ARRAY"]


def _plain(column: "pyarrow.Array", depth: int = 0) -> list[Any]:
    """A column as Python values; equal texts of a dictionary are one object.

    Raises ValueError for what is nested deeper than any word of a row is.
    """
    from pyarrow import types

    if depth > _MAX_DEPTH:
        raise ValueError("its values are nested too deeply")
    kind = column.type
    if types.is_dictionary(kind):
        words = column.dictionary.to_pylist()
        if max((len(word) for word in words if word is not None), default=0) > _MAX_ROW:
            raise ValueError(f"it has a text of more than {_MAX_ROW} characters")
        return [None if i is None else words[i] for i in column.indices.to_pylist()]
    if types.is_list(kind) or types.is_large_list(kind):
        items, ends = _plain(column.values, depth + 1), column.offsets.to_pylist()
        known = column.is_valid().to_pylist()
        return [items[ends[i] : ends[i + 1]] if there else None for i, there in enumerate(known)]
    if types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        parts = [_plain(part, depth + 1) for part in column.flatten()]
        known = column.is_valid().to_pylist()
        return [
            {name: part[i] for name, part in zip(names, parts, strict=True)} if there else None
            for i, there in enumerate(known)
        ]
    if types.is_nested(kind):
        raise ValueError(f"it holds {kind}")
    return column.to_pylist()
