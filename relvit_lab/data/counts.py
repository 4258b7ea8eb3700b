"""§4 (data sets): how many images there are, and whether that is as many as were published."""

from collections.abc import Mapping

from relvit_lab.data.base import FileSet


def count_note(name: str, found: Mapping[str, int], published: Mapping[str, int]) -> tuple[str, ...]:
    """Both are {split: images}. () where they agree, else a note: a reduced set looks the same as a damaged copy."""
    if dict(found) == dict(published):
        return ()
    return (f"{name}: {_words(found)} images, where {_words(published)} are published",)


def summary(found: FileSet, fresh: bool) -> str:
    """What is where, on one line, with how many images; then the notes. fresh: it was downloaded just now."""
    splits = {"training": found.train, "val": found.val, found.test_split: found.test}
    counts = {split: len(files) for split, files in splits.items() if files is not None}
    place = f"{found.name} is {'now in' if fresh else 'there already:'} {found.root} ({_words(counts)} images)"
    return "\n".join((place, *found.notes))


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())
