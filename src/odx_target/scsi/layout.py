"""Layouts of wire formats.

A format is declared as a class. The class states the byte, bit and size of each field, as the tables in the standards do.

    class RangeDescriptor(Layout):
        size_bytes = 16
        logical_block_address: int = number(0, 8)
        number_of_logical_blocks: int = number(8, 4)

Bits outside all fields are reserved: `parse` ignores them, and `build` sets them to zero.
"""

from collections.abc import Mapping
from typing import ClassVar, Self, cast, dataclass_transform

from odx_target.binary_layout import Codec, Place, Value


class _Declaration:
    """The place and the default value of a declared field. When the class of the format is created, the default value replaces
    this object.
    """

    def __init__(self, start: int, size: int, default: Value) -> None:
        self.place = Place(start, size)
        self.default = default


def flag(byte: int, bit: int) -> bool:
    """Declare a field of one bit. Bit 7 of a byte is the most significant bit."""
    return cast("bool", _Declaration(byte * 8 + 7 - bit, 1, default=False))


def bits(byte: int, bit: int, count: int) -> int:
    """Declare an unsigned number of `count` bits.

    The number begins at `bit` of `byte`, and may extend into the following bytes.
    """
    return cast("int", _Declaration(byte * 8 + 7 - bit, count, default=0))


def number(byte: int, size_bytes: int) -> int:
    """Declare an unsigned number of whole bytes."""
    return cast("int", _Declaration(byte * 8, size_bytes * 8, default=0))


def octets(byte: int, size_bytes: int) -> bytes:
    """Declare a field of whole bytes that is not a number."""
    return cast("bytes", _Declaration(byte * 8, size_bytes * 8, default=bytes(size_bytes)))


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=True)
class Layout:
    """Base class of formats. An object has the values of all fields of a format. A field without a given value is zero."""

    size_bytes: ClassVar[int] = 0
    """Size of the format in bytes. If the class states no size, the format ends with its last field."""
    places: ClassVar[Mapping[str, Place]] = {}
    """Places of the fields by name, in the order of the fields in the format."""
    _codec: ClassVar[Codec]
    _defaults: ClassVar[Mapping[str, Value]]

    def __init_subclass__(cls) -> None:
        """Replace each declaration in a new subclass by its default value.

        Raises ValueError if fields overlap or extend beyond the end of the format.
        """
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, _Declaration)}
        places = {name: place for base in cls.__mro__[:0:-1] if issubclass(base, Layout) for name, place in base.places.items()}
        places |= {name: declaration.place for name, declaration in declared.items()}
        for name, declaration in declared.items():
            setattr(cls, name, declaration.default)
        cls.places = dict(sorted(places.items(), key=lambda item: item[1].start))
        if "size_bytes" not in vars(cls):
            end = max((-(-(place.start + place.size) // 8) for place in places.values()), default=0)
            cls.size_bytes = max(end, cls.size_bytes)
        cls._defaults = {name: getattr(cls, name) for name in cls.places}
        cls._codec = Codec(cls.size_bytes, {name: (place, type(cls._defaults[name])) for name, place in cls.places.items()})

    def __init__(self, **values: Value) -> None:
        unknown = values.keys() - self.places.keys()
        if unknown:
            raise TypeError(f"no such field: {', '.join(sorted(unknown))}")
        vars(self).update(values)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Layout) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self), *self.values().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.values().items())})"

    def values(self) -> dict[str, Value]:
        """Return the value of each field by name, in the order of the fields in the format."""
        return {**self._defaults, **vars(self)}

    def build(self) -> bytes:
        """Encode the values. Raises `construct.ConstructError` if a value does not fit into its field."""
        return self._codec.encode(self.values())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Decode the first bytes of `data`. Raises ValueError if `data` is too short."""
        if len(data) < cls.size_bytes:
            raise ValueError(f"{len(data)} bytes, of {cls.size_bytes} that are needed")
        parsed = cls.__new__(cls)  # does not check the names of the fields, unlike __init__
        vars(parsed).update(cls._codec.decode(data))
        return parsed

    @classmethod
    def parse_cut(cls, data: bytes) -> Self:
        """Decode `data`, which may be shorter than the format. Missing bytes are treated as zeros."""
        return cls.parse(data.ljust(cls.size_bytes, b"\0"))

    @classmethod
    def values_within(cls, data: bytes) -> dict[str, Value]:
        """Return the values of those fields that lie completely within `data`, by name. The value of a flag is 0 or 1, not a
        bool.
        """
        values = cls.parse_cut(data).values()
        end = len(data) * 8
        present = (name for name, place in cls.places.items() if place.start + place.size <= end)
        return {name: int(value) if isinstance(value := values[name], bool) else value for name in present}
