"Atomic writes: the old file or the new one, on the disk before the rename."

import errno
import os

import pytest

from ftkit.files.atomic import format_bytes, is_disk_full, replacing, write_json, write_text


def make_target(folder, kind):
    "A file or a folder with old content"
    target = folder / "target"
    if kind == "folder":
        target.mkdir()
    write_old = target / "a" if kind == "folder" else target
    write_old.write_text("old")
    return target


def fill(path, kind, text="new"):
    "Write new content to a path that `replacing` has yielded"
    if kind == "folder":
        path.mkdir()
    (path / "b" if kind == "folder" else path).write_text(text)


def read_content(target):
    "File names and their texts"
    files = [target] if target.is_file() else sorted(target.iterdir())
    return {file.name: file.read_text() for file in files}


@pytest.mark.parametrize("kind, content", [("file", {"target": "new"}), ("folder", {"b": "new"})])
def test_target_is_replaced(tmp_path, kind, content):
    target = make_target(tmp_path, kind)
    with replacing(target) as temporary:
        assert temporary.parent == tmp_path and not temporary.exists()
        fill(temporary, kind)
    assert read_content(target) == content and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_error_leaves_the_target(tmp_path, kind, error):
    target = make_target(tmp_path, kind)
    before = read_content(target)
    with pytest.raises(type(error)), replacing(target) as temporary:
        fill(temporary, kind)
        raise error
    assert read_content(target) == before and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_failed_call_leaves_the_file(tmp_path, monkeypatch, name):
    def fail(*args):
        raise OSError(errno.EIO, "broken disk")

    target = make_target(tmp_path, "file")
    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="broken disk"):
        write_text(target, "new")
    assert read_content(target) == {"target": "old"} and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_content_is_flushed_before_rename(tmp_path, monkeypatch, kind):
    calls, fsync, replace = [], os.fsync, os.replace

    def record_fsync(handle):
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def record_replace(source, target):
        calls.append("rename")
        replace(source, target)

    target = make_target(tmp_path, kind)
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    with replacing(target) as temporary:
        fill(temporary, kind)
    contents = [temporary.name] if kind == "file" else ["b", temporary.name]
    assert calls == [*contents, "rename", tmp_path.name]


def test_remains_of_a_kill_are_overwritten(tmp_path):
    target = make_target(tmp_path, "file")
    with replacing(target) as temporary:
        fill(temporary, "file", "half")
        with replacing(target) as again:
            assert again == temporary and not again.exists()
            fill(again, "file")
        fill(temporary, "file", "last")
    assert read_content(target) == {"target": "last"}


def test_nan_is_no_json(tmp_path):
    target = make_target(tmp_path, "file")
    with pytest.raises(ValueError):
        write_json(target, float("nan"))
    assert read_content(target) == {"target": "old"}


@pytest.mark.parametrize(
    "count, text", [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (22_700_000, "23 MB"), (1.5e9, "1.5 GB")]
)
def test_bytes_are_readable(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    "error, full",
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (RuntimeError("PytorchStreamWriter failed writing file"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("shape mismatch"), False),
    ],
    ids=str,
)
def test_full_disk_is_recognised(error, full):
    assert is_disk_full(error) == full
