"""What clients ask answers to be: pydantic models of every kind that schemas are made from.

Texts, numbers and lists are bounded: the demo model has no idea what these are about, and the constraint ends them.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

Text = Annotated[str, Field(max_length=12)]
Seat = Annotated[int, Field(ge=1, le=99)]


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Address(BaseModel):
    """Where somebody lives."""

    street: Text
    country: Literal["NO", "FR"]


class Person(BaseModel):
    """Nested, optional, enumerated, lists."""

    name: Text
    age: int = Field(ge=0, le=120, description="in years")
    nickname: Text | None = None
    favourite: Colour
    address: Address
    work: Address | None = None
    likes: list[Colour] = Field(max_length=3)


class Chain(BaseModel):
    """Recursive through an optional property. The demo model never leaves one out, if it isn't made to."""

    link: Colour
    next: Chain | None


class Folder(BaseModel):
    """Recursive through a list."""

    name: Text
    folders: list[Folder] = Field(max_length=1)


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: int = Field(ge=1, le=99)


class Square(BaseModel):
    kind: Literal["square"]
    side: int = Field(ge=1, le=99)
    colour: Colour | None = None


class Drawing(BaseModel):
    """A discriminated union, in a list and alone."""

    shapes: list[Annotated[Circle | Square, Field(discriminator="kind")]] = Field(min_length=1, max_length=3)
    frame: Circle | Square = Field(discriminator="kind")


class Booking(BaseModel):
    """Values that JSON has no types for."""

    id: UUID
    day: date
    seats: tuple[Seat, Seat]
    colour: Literal["red", "green", 7] | None
    code: str = Field(pattern=r"^[A-Z]{3}-\d{2}$")
    paid: bool


class Unordered(BaseModel):
    """With the keyword `uniqueItems`, which no grammar can enforce."""

    colours: set[Colour]


SHAPES: list[type[BaseModel]] = [Person, Folder, Drawing, Booking]
"""Those that the demo model brings to an end by itself."""
