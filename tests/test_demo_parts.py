"""The parts of the demo, each alone: paths, listings, digests, the catalogue, rates, the view."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from rich.console import Console

from taskmill.demo.catalogue import Catalogue
from taskmill.demo.digest import FILES, SIZE, FileChangedError, FileVersion, batches, sha256
from taskmill.demo.pace import Pace
from taskmill.demo.paths import OwnFiles, as_text, inside, printable, tag_value, top_directory
from taskmill.demo.report import Answer, as_json, as_table
from taskmill.demo.scan import read_directory
from taskmill.demo.summary import totals
from taskmill.demo.tally import Figures, Stage, Tally
from taskmill.demo.values import Counts, DuplicateGroup, Listing, Problem, Run, SeenFile, Subtree
from taskmill.demo.view import can_animate, line, picture, size_text, time_text


def ignore(_count: int, _done: int) -> None:
    pass


def version_of(path: bytes) -> FileVersion:
    found = os.lstat(path)
    return FileVersion(path, found.st_size, found.st_mtime_ns)


def file_in(folder: bytes, name: bytes, content: bytes) -> bytes:
    path = Path(os.fsdecode(folder), os.fsdecode(name))
    path.write_bytes(content)
    return bytes(path)


# --- paths ---


def test_a_name_that_is_no_text_is_shown_with_its_bytes_escaped() -> None:
    assert as_text(b"/a/\xff\n") == "/a/\\xff\n"
    assert printable(b"/a/\xff\n\x1b[31m") == "/a/\\xff\\n\\x1b[31m"
    assert printable("/a/ü ✓".encode()) == "/a/ü ✓"


def test_the_group_of_a_file_is_the_top_directory_it_is_in() -> None:
    assert top_directory(b"/r/a/b/c", b"/r") == "a"
    assert top_directory(b"/r/c", b"/r") == "."
    assert top_directory(b"/usr/lib", b"/") == "usr"


def test_a_tag_names_a_tree_as_it_reads_where_it_can() -> None:
    assert tag_value("/srv/ü".encode()) == "/srv/ü"
    odd = [b"/\xff", b"/\\xff", b"/a\n", b"/" + b"x" * 300]
    values = [tag_value(path) for path in odd]
    assert values[1] == "/\\xff"
    assert [len(value) for value in values] == [64, 5, 64, 64]


# --- listing ---


def test_a_listing_never_follows_or_opens_what_is_no_plain_file(tmp_path: Path) -> None:
    root = bytes(tmp_path)
    plain = file_in(root, b"\xff\xfe", b"x")
    os.mkfifo(root + b"/pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "below").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(root + b"/socket")
        listing = read_directory(root)
    assert [file.path for file in listing.files] == [plain]
    assert listing.subdirectories == [root + b"/below"]
    assert (listing.symlinks, listing.specials, listing.problems) == (2, 2, [])


def test_a_directory_that_became_a_symlink_or_vanished_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "swapped").symlink_to(tmp_path)
    swapped, gone = bytes(tmp_path / "swapped"), bytes(tmp_path / "gone")
    assert [problem.path for problem in read_directory(swapped).problems] == [swapped]
    assert read_directory(gone).problems == [Problem(gone, "vanished before it was read")]


def test_the_files_of_a_run_itself_are_passed_over(tmp_path: Path) -> None:
    own = OwnFiles(tmp_path / "demo.db")
    for path in (own.database, own.catalogue, own.json, own.table, tmp_path / "demo.db-wal"):
        path.touch()
    other = tmp_path / "demo.db2"
    other.touch()
    listing = read_directory(bytes(tmp_path), own.paths())
    assert [file.path for file in listing.files] == [bytes(other)]


# --- digests ---


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    content = b"taskmill" * 300_000
    path = file_in(bytes(tmp_path), b"file", content)
    read: list[int] = []
    digest = sha256(version_of(path), lambda _count, done: read.append(done))
    assert digest == hashlib.sha256(content).digest()
    assert read[-1] == len(content)
    assert len(read) > 1


def test_a_file_that_changes_while_it_is_read_has_no_digest(tmp_path: Path) -> None:
    path = file_in(bytes(tmp_path), b"file", b"before")

    def change(_count: int, _done: int) -> None:
        os.utime(path, ns=(1, 1))

    with pytest.raises(FileChangedError):
        sha256(version_of(path), change)


@pytest.mark.parametrize("become", ["pipe", "symlink", "larger", "directory"])
def test_a_file_that_is_another_by_now_is_not_read(tmp_path: Path, become: str) -> None:
    path = file_in(bytes(tmp_path), b"file", b"before")
    version = version_of(path)
    (tmp_path / "file").unlink()
    match become:
        case "pipe":
            os.mkfifo(path)
        case "symlink":
            (tmp_path / "file").symlink_to("/etc/hostname")
        case "larger":
            file_in(bytes(tmp_path), b"file", b"before and after")
        case _:
            (tmp_path / "file").mkdir()
    with pytest.raises(FileChangedError):
        sha256(version, ignore)


def test_a_task_reads_a_few_small_files_of_one_top_directory_or_a_large_one() -> None:
    small = [seen(b"/r/a/%d" % number) for number in range(FILES + 1)]
    large = [seen(b"/r/a/large", SIZE + 1), seen(b"/r/a/last"), seen(b"/r/b/first")]
    tasks = list(batches(Run(b"/r"), [*small, *large]))
    assert [len(task.files) for task in tasks] == [FILES, 1, 1, 1, 1]
    assert [task.top for task in tasks] == ["a", "a", "a", "a", "b"]
    files = [file.path for task in tasks for file in task.files]
    assert files == [file.path for file in [*small, *large]]


# --- catalogue ---


def seen(path: bytes, size: int = 5, mtime_ns: int = 1, inode: str = "") -> SeenFile:
    return SeenFile(path, size, mtime_ns, inode or f"0:{path.hex()}")


def candidates(catalogue: Catalogue, run: Run) -> list[bytes]:
    return [file.path for chunk in catalogue.candidates(run, 2) for file in chunk]


def test_only_files_that_share_a_size_and_are_not_empty_are_candidates(tmp_path: Path) -> None:
    run = Run(b"/r")
    files = [seen(b"/r/a"), seen(b"/r/b"), seen(b"/r/c"), seen(b"/r/d", 6)]
    files += [seen(b"/r/e", 0), seen(b"/r/f", 0)]
    with Catalogue(tmp_path / "c.db") as catalogue:
        catalogue.record_listing(run, Listing(files=files))
        assert candidates(catalogue, run) == [b"/r/a", b"/r/b", b"/r/c"]


def test_a_digest_is_kept_until_size_or_time_of_the_file_change(tmp_path: Path) -> None:
    pair = [seen(b"/r/a"), seen(b"/r/b")]
    with Catalogue(tmp_path / "c.db") as catalogue:
        first = Run(b"/r")
        catalogue.record_listing(first, Listing(files=pair))
        for file in pair:
            catalogue.save_digest(file.path, file.size, file.mtime_ns, b"digest")
        second = Run(b"/r")
        catalogue.record_listing(second, Listing(files=pair))
        assert candidates(catalogue, second) == []
        assert [group.paths for group in catalogue.duplicates(second)] == [[b"/r/a", b"/r/b"]]
        third = Run(b"/r")
        catalogue.record_listing(third, Listing(files=[pair[0], seen(b"/r/b", 5, 2)]))
        assert candidates(catalogue, third) == [b"/r/b"]
        assert catalogue.duplicates(third) == []


def test_a_digest_of_an_older_version_changes_nothing(tmp_path: Path) -> None:
    run = Run(b"/r")
    with Catalogue(tmp_path / "c.db") as catalogue:
        catalogue.record_listing(run, Listing(files=[seen(b"/r/a", 5, 2)]))
        catalogue.save_digest(b"/r/a", 5, 1, b"old")
        assert not catalogue.has_digest(b"/r/a", 5, 1)
        assert not catalogue.has_digest(b"/r/a", 5, 2)


def test_what_a_run_has_not_seen_below_its_root_is_forgotten(tmp_path: Path) -> None:
    old, new = Run(b"/"), Run(b"/r")
    everything = [seen(b"/r0"), seen(b"/q"), seen(b"/r/gone"), seen(b"/r/here")]
    with Catalogue(tmp_path / "c.db") as catalogue:
        catalogue.record_listing(old, Listing(files=everything))
        for file in everything:
            catalogue.save_digest(file.path, file.size, file.mtime_ns, b"digest")
        catalogue.record_listing(new, Listing(files=[seen(b"/r/here")]))
        catalogue.end_listing(new, Subtree(directories=2, symlinks=3))
        known = [f.path for f in everything if catalogue.has_digest(f.path, f.size, f.mtime_ns)]
        assert known == [b"/r0", b"/q", b"/r/here"]
        counts = catalogue.counts(new)
        assert (counts.files, counts.directories, counts.symlinks) == (1, 3, 3)


def test_times_and_inodes_beyond_64_bits_can_be_kept(tmp_path: Path) -> None:
    run, far = Run(b"/r"), 2**70
    pair = [seen(b"/r/a", 5, far, f"1:{2**64 - 1}"), seen(b"/r/b", 5, -far)]
    with Catalogue(tmp_path / "c.db") as catalogue:
        catalogue.record_listing(run, Listing(files=pair))
        assert [file for chunk in catalogue.candidates(run, 9) for file in chunk] == pair


# --- the answer ---

GROUP = DuplicateGroup(sha256="ab", size=10, paths=[b"/r/\xff\n", b"/r/b", b"/r/c"], inodes=2)
ANSWER = Answer(
    root=b"/r",
    counts=Counts(files=3, bytes=30, hard_links=1, directories=1, symlinks=0, specials=0),
    groups=[GROUP],
    problems=[Problem(b"/r/\x1b", "permission denied")],
)


def test_hard_links_are_listed_but_waste_nothing() -> None:
    assert GROUP.wasted == 10


def test_the_written_answer_is_plain_text() -> None:
    text = "\n".join(as_table(ANSWER))
    assert "\x1b" not in text
    assert "/r/\\xff\\n" in text
    assert as_json(ANSWER).isascii()


# --- what people see ---


def test_the_totals_count_one_thing_in_the_singular_and_others_in_the_plural() -> None:
    assert totals(ANSWER) == [
        "3 files, 30 B, in 1 directory",
        "1 group of duplicates, 10 B wasted",
        "1 error",
        "1 hard link to another file (nothing is wasted there)",
    ]
    counts = Counts(files=1, bytes=0, hard_links=2, directories=2, symlinks=1, specials=0)
    several = attrs.evolve(ANSWER, counts=counts, groups=[], problems=[])
    assert totals(several) == [
        "1 file, 0 B, in 2 directories",
        "0 groups of duplicates, 0 B wasted",
        "0 errors",
        "2 hard links to another file (nothing is wasted there)",
        "passed over: 1 symlink, 0 pipes, sockets and devices",
    ]


def figures(tally: Tally, *, digests: int, read: int) -> Figures:
    for _ in range(digests):
        tally.ended(Stage.DIGEST)
    tally.read(read)
    return tally.figures()


def test_the_time_left_is_the_longer_of_files_and_bytes() -> None:
    tally, pace = Tally(), Pace()
    tally.expect(Stage.SCAN, 1)
    assert pace.rates(tally.figures(), 0.0).left is None
    tally.ended(Stage.SCAN)
    tally.enter(Stage.DIGEST)
    tally.expect(Stage.DIGEST, 30, 1000)
    pace = Pace()
    pace.rates(tally.figures(), 0.0)
    rates = pace.rates(figures(tally, digests=10, read=100), 1.0)
    assert rates.tasks == pytest.approx(10)
    assert rates.left == timedelta(seconds=9)


def test_sizes_and_times_read_well() -> None:
    assert [size_text(n) for n in (0, 999, 1_400_000)] == ["0 B", "999 B", "1.4 MB"]
    assert [time_text(timedelta(seconds=n)) for n in (7, 3723)] == ["0:07", "1:02:03"]


@pytest.mark.parametrize("width", [1, 10, 40, 200])
def test_the_bars_fit_any_window(width: int) -> None:
    tally = Tally()
    tally.expect(Stage.SCAN, 1_000_000)
    tally.reading("50% of " + "x" * 300)
    console = Console(file=io.StringIO(), width=width)
    rates = Pace().rates(tally.figures(), 0.0)
    console.print(picture(tally.figures(), rates))
    lines = line(tally.figures(), rates)
    assert "scan 0/1,000,000" in lines
    assert "\x1b" not in lines


def test_a_stream_that_is_no_terminal_or_a_dumb_one_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert not can_animate(io.StringIO(), {"TERM": "xterm"})
    assert not can_animate(Terminal(), {"TERM": "dumb"})
    assert not can_animate(Terminal(), {})
    assert can_animate(Terminal(), {"TERM": "xterm"})


def test_a_root_with_a_slash_at_its_end_is_not_given_another() -> None:
    assert (inside(b"/"), inside(b"/r")) == (b"/", b"/r/")
