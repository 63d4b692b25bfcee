"""The readers under Atheris, which lets coverage choose the mutations (pip install atheris).

    python -m tests.attack.fuzz.coverage_guided READER [-max_total_time=60] [libFuzzer's options]

Only where Atheris is installed: it has wheels for some versions of Python on Linux. What it finds
is written into the working directory as crash-..., for `python -m tests.attack.fuzz --replay`.
"""

import contextlib
import importlib
import sys
import tempfile
from pathlib import Path

PACKAGES = ["app.batch", "audio2motion", "motion2video", "weights"]


def main(arguments: list[str]) -> None:
    """Fuzz one reader until libFuzzer's options say that it is enough."""
    atheris = importlib.import_module("atheris")

    with atheris.instrument_imports(include=PACKAGES):
        from tests.attack.fuzz.corpus import good_files
        from tests.attack.fuzz.readers import READERS
        from weights.errors import VisavisError

        reader = READERS[arguments[1]]
        folder = Path(tempfile.mkdtemp(prefix="atheris-"))
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, (suffix, data) in enumerate(good_files(arguments[1])):
            (corpus / f"{number}{suffix}").write_bytes(data)
            (folder / f"good{suffix}").write_bytes(data)
            with contextlib.suppress(VisavisError):
                reader.read(folder / f"good{suffix}")
    path = folder / f"case{reader.suffixes[0]}"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(VisavisError):
            reader.read(path)

    atheris.Setup([arguments[0], str(corpus), *arguments[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
