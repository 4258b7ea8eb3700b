"""A list of named things that a user can add to from a notebook."""

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from relvit_lab.common.errors import RelvitError, nearest


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Entries by name, in the order in which they were added (the order of columns in tables). meant: other words for
    an entry, each with the name that people mean by it."""

    def __init__(self, kind: str, entries: tuple[Entry, ...] = (), meant: Mapping[str, str] | None = None):
        self.kind, self.meant = kind, meant
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> Entry:
        """Add an entry, or replace the one of the same name (a notebook cell runs more than once)."""
        self._entries[entry.name] = entry
        return entry

    def get(self, name: str) -> Entry:
        """The entry of that name. Raises RelvitError, naming the nearest, where there is none."""
        try:
            return self._entries[name]
        except KeyError:
            raise RelvitError(f"unknown {self.kind} '{name}': {nearest(name, self._entries, self.meant)}") from None

    __getitem__ = get

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
