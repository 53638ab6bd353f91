"""Measure how much memory and time the import of a large feature pickle takes.

    python benchmarks/import_memory.py --gigabytes 4 --protocol 4

The pickle is laid out as the published MOSEI file (unaligned, 500 steps of audio and video) and is
streamed to a temporary folder, as the store is; both are deleted. Memory is the peak of the
importing process above that of a process that has imported ``mien.data.store_writer`` and done
nothing.
"""

import argparse
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np

_SHAPES = {"audio": (500, 74), "vision": (500, 35), "text": (50, 768)}
_CLIP_BYTES = 4 * sum(steps * size for steps, size in _SHAPES.values())
_SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}
_GLOBAL = "numpy._core.{}\n{}\n"


def main() -> None:
    """Make the pickle, import it in a process of its own, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--protocol", type=int, default=4, choices=(2, 3, 4, 5))
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if free < 3 * options.gigabytes * 1e9:
        sys.exit(f"{free / 1e9:.1f} GB of disk are free, {3 * options.gigabytes:.1f} are needed")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.gigabytes, options.protocol)


def measure(folder: Path, gigabytes: float, protocol: int) -> None:
    file, store, empty = folder / "large.pkl", folder / "store", folder / "none"
    write_pickle(file, int(gigabytes * 1e9), protocol)
    bare, _ = start_child(empty, empty)
    peak, seconds = start_child(file, store)
    size = file.stat().st_size / 1e6
    print(f"pickle: {size / 1e3:.2f} GB, protocol {protocol}")
    print(f"peak above a bare interpreter: {peak - bare:.0f} MB ({peak:.0f} - {bare:.0f})")
    print(f"time: {seconds:.1f} s, {size / seconds:.0f} MB/s")


def start_child(file: Path, store: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", str(file), str(store)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = done.stdout.split()
    return float(peak), float(seconds)


def run_child(file: Path, store: Path) -> None:
    from mien.corpora.published.reader import read_published
    from mien.data.store_writer import write_store

    start = time.perf_counter()
    if file.exists():
        write_store(read_published(file, "mosei"), store)
    seconds = time.perf_counter() - start
    print(find_peak(), seconds)


def find_peak() -> float:
    """Return the most megabytes that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent, under Linux
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # in kilobytes but on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def write_pickle(path: Path, size: int, protocol: int) -> None:
    block = np.random.default_rng(0).normal(size=1 << 21).astype("<f4").tobytes()
    tokens = np.array([[101, *range(1000, 1048), 102], [1] * 50, [0] * 50], "<f4").tobytes()
    with path.open("wb") as file:
        file.write(b"\x80" + bytes([protocol]) + b"}(")
        for split, share in _SHARES.items():
            count = max(1, int(size * share / _CLIP_BYTES))
            file.write(dump(split) + b"}(")
            for key, value in small_values(split, count).items():
                file.write(dump(key) + dump(value))
            file.write(dump("text_bert"))
            file.writelines(array_pieces((count, 3, 50), tokens, protocol))
            for key, shape in _SHAPES.items():
                file.write(dump(key))
                file.writelines(array_pieces((count, *shape), block, protocol))
            file.write(b"u")
        file.write(b"u.")


def small_values(split: str, count: int) -> dict[str, list[object]]:
    generator = np.random.default_rng(1)
    return {
        "id": [f"{split}$_${row}" for row in range(count)],
        "raw_text": [f"this is what is said in clip {row}" for row in range(count)],
        "regression_labels": generator.uniform(-3, 3, count).tolist(),
        "audio_lengths": generator.integers(400, 501, count).tolist(),
        "vision_lengths": generator.integers(400, 501, count).tolist(),
    }


def dump(value: object) -> bytes:
    """Return the instructions that build a plain value; no memo, so they stand anywhere."""
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, tuple):
        return b"(" + b"".join(map(dump, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(dump, value)) + b"e"
    raise TypeError(f"no instructions for {value!r}")


def array_pieces(shape: tuple[int, ...], block: bytes, protocol: int) -> Iterator[bytes]:
    size = 4 * int(np.prod([int(axis) for axis in shape]))
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R(K\x03" + dump("<") + b"NNN"
    dtype += dump(-1) + dump(-1) + b"K\x00tb"
    if protocol == 5:
        yield b"c" + _GLOBAL.format("numeric", "_frombuffer").encode() + b"(\x96"
        yield struct.pack("<Q", size)
        yield from payload(size, block)
        yield dtype + dump(shape) + dump("C") + b"tR"
        return
    bytes_b = b"c_codecs\nencode\n" + dump("b") + dump("latin1") + b"\x86R"
    yield b"c" + _GLOBAL.format("multiarray", "_reconstruct").encode() + b"cnumpy\nndarray\nK\x00"
    yield b"\x85" + (bytes_b if protocol == 2 else b"C\x01b") + b"\x87R(K\x01"
    yield dump(shape) + dtype + b"\x89"
    if protocol == 2:
        text = block.decode("latin-1").encode()
        whole, rest = divmod(size, len(block))
        tail = block[:rest].decode("latin-1").encode()
        length = whole * len(text) + len(tail)
        yield b"c_codecs\nencode\nX" + pack_length(length)
        yield from repeat(text, whole)
        yield tail + dump("latin1") + b"\x86R"
    else:
        yield b"\x8e" + struct.pack("<Q", size) if protocol == 4 else b"B" + pack_length(size)
        yield from payload(size, block)
    yield b"tb"


def pack_length(length: int) -> bytes:
    if length >= 1 << 32:
        sys.exit("protocols 2 and 3 hold arrays of less than 4 GB; say fewer --gigabytes")
    return struct.pack("<I", length)


def payload(size: int, block: bytes) -> Iterator[bytes]:
    whole, rest = divmod(size, len(block))
    yield from repeat(block, whole)
    yield block[:rest]


def check_small() -> None:
    """Make sure that what is written here is what Python's own pickle would read."""
    for protocol in (2, 3, 4, 5):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.pkl"
            write_pickle(path, 4_000_000, protocol)
            value = pickle.loads(path.read_bytes())
            if value["test"]["audio"].shape[1:] != _SHAPES["audio"]:
                sys.exit(f"protocol {protocol} is written wrongly")


if __name__ == "__main__":
    if "--child" not in sys.argv:
        check_small()
    main()
