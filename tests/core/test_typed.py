"""Typed content: objects of a model that stand for members of a session."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from pydantic.dataclasses import dataclass as pydantic_dataclass

from pgsession import Changes, Entry, InvalidValueError, Session, SessionError, UnsupportedTypeError
from pgsession.core import typed_object
from pgsession.core.models import Reports
from pgsession.core.tracked import state_of
from tests.states import changes_of, rebase

DAY = timedelta(days=1)
PRIVATE = "hunter2"


class Size(Enum):
    """An enum."""

    SMALL = "s"
    LARGE = "l"


@dataclass
class Item:
    """A part of a cart."""

    name: str
    price: Decimal = Decimal(0)


@dataclass
class Cart:
    """A dataclass with what JSON does not have."""

    items: list[Item] = field(default_factory=list)
    since: datetime | None = None
    day: date | None = None
    number: UUID | None = None
    sizes: set[Size] = field(default_factory=set)
    counts: dict[int, int] = field(default_factory=dict)
    weight: float = 0.0


class StructCart(msgspec.Struct):
    """A Struct."""

    items: list[str] = []


class Model(pydantic.BaseModel):
    """A pydantic model with an alias, and strict."""

    model_config = pydantic.ConfigDict(strict=True)

    items: list[str] = pydantic.Field(default=[], validation_alias="in", serialization_alias="out")
    since: datetime | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator] # as pydantic documents it
    @property
    def length(self) -> int:
        return len(self.items)


@pydantic_dataclass
class ModelCart:
    """A dataclass of pydantic."""

    items: list[str] = field(default_factory=list)


@attrs.define
class AttrsCart:
    """A class of attrs."""

    items: list[str] = attrs.field(factory=list)


class DictCart(TypedDict):
    """A TypedDict."""

    items: NotRequired[list[str]]


@dataclass
class Preferences:
    """A model over the whole session."""

    theme: str = "light"
    size: int = 10
    tags: list[str] = field(default_factory=list)


@dataclass
class Owned:
    """A model without defaults for all fields."""

    owner: str
    items: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has reported nothing."""
    monkeypatch.setattr(typed_object, "_REPORTS", Reports())


def loaded(**value: Any) -> Session:
    """Return a session as it is loaded from a store."""
    return Session(Entry(json.loads(json.dumps(value)), period=DAY))


def saved(session: Session) -> Session:
    """Return the session as the next request loads it."""
    changes = changes_of(session)
    value = {} if changes.replaced else dict(state_of(session).stored.value)
    for name in changes.removed:
        del value[name]
    return Session(Entry(value | json.loads(changes.encoded or b"{}"), period=DAY))


MODELS: list[Any] = [Cart, StructCart, Model, ModelCart, AttrsCart, DictCart]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_kinds(model: Any) -> None:
    """A change deep in an object of each kind of model is saved, and read back as the same."""
    session = loaded(other=1)
    made = session.typed(model, "cart")
    if model is DictCart:
        made["items"] = ["pen"]
    else:
        made.items.append(Item("pen") if model is Cart else "pen")

    again = saved(session)

    assert again.typed(model, "cart") == made
    assert type(again.typed(model, "cart")) is type(made)
    assert again["other"] == 1
    assert not again.modified


def test_types() -> None:
    """What JSON does not have is written as text, and read back as it was."""
    session = loaded()
    made = session.typed(Cart, "cart")
    made.items.append(Item("pen", Decimal("1.10")))
    made.since, made.day = datetime(2026, 1, 2, 3, tzinfo=UTC), date(2026, 1, 2)
    made.number, made.sizes = UUID(int=7), {Size.SMALL, Size.LARGE}
    made.counts, made.weight = {1: 10**30}, 1e300

    again = saved(session)

    assert again.typed(Cart, "cart") == made
    assert again["cart"]["since"] == "2026-01-02T03:00:00Z"


def test_adapter() -> None:
    """A TypeAdapter is a model; the default that was given is saved once it is changed."""
    numbers = pydantic.TypeAdapter(list[int])
    session = loaded()
    session.typed(numbers, "numbers", default=[1]).append(2)

    assert saved(session).typed(numbers, "numbers") == [1, 2]


def test_old_pydantic() -> None:
    """An adapter of a pydantic that is too old is a clear error, not content that does not fit."""

    class Adapter:
        def validate_json(self, data: str | bytes, /) -> int:
            return len(data)

        def dump_python(self, instance: Any, /) -> Any:
            return instance

    with pytest.raises(SessionError, match=r"2\.11"):
        loaded(n=1).typed(Adapter(), "n")


def test_list() -> None:
    """A list of dataclasses is a model, and is made empty."""
    session = loaded()
    session.typed(list[Item], "items").append(Item("pen"))

    assert saved(session).typed(list[Item], "items") == [Item("pen")]


@pytest.mark.parametrize("name", ["cart", None], ids=["a member", "the whole session"])
def test_defaults_are_not_written(name: str | None) -> None:
    """Defaults that were only read are no change."""
    session = loaded(other=1)

    assert session.typed(Cart, name) == Cart()
    assert not session.modified
    assert changes_of(session) == Changes()
    assert session == {"other": 1}


def test_same_object() -> None:
    """A second call returns the same object, also after a save."""
    session = loaded(cart={"items": []})
    first = session.typed(Cart, "cart")
    first.items.append(Item("pen"))

    assert session.typed(Cart, "cart") is first
    state_of(session).acknowledge(changes_of(session), is_new=False)
    assert session.typed(Cart, "cart") is first
    assert not session.modified
    first.items.append(Item("ink"))
    assert session.modified


def test_set_back() -> None:
    """A value that was set back is no change."""
    session = loaded(cart={"items": ["pen"], "gone": 1})
    made = session.typed(StructCart, "cart")
    made.items.append("ink")
    made.items.pop()

    assert changes_of(session) == Changes()


def test_set_to_default() -> None:
    """A field that is set to the default that it has is no change, at any depth."""
    session = loaded(cart={"items": [{"name": "pen"}]})
    made = session.typed(Cart, "cart")
    made.weight, made.items[0].price = 0.0, Decimal(0)

    assert changes_of(session) == Changes()


def test_whole_by_field() -> None:
    """Over the whole session only the fields that differ are written."""
    session = loaded(theme="dark", size=12, cart=[1])
    made = session.typed(Preferences)
    made.size = 14

    changes = changes_of(session)

    assert dict(changes.set) == {"size": 14}
    assert not changes.removed


def test_whole_removes() -> None:
    """A key that is taken out of a TypedDict over the whole session is removed from that."""
    session = loaded(items=["pen"], other=1)
    del session.typed(DictCart)["items"]

    changes = changes_of(session)

    assert changes.removed == {"items"}
    assert not changes.set


def test_unchanged_overwrites_nothing() -> None:
    """An object that was not changed does not overwrite what the handler did to the mapping."""
    session = loaded(cart={"items": ["pen"]}, theme="dark")
    session.typed(StructCart, "cart")
    session.typed(Preferences)
    session["cart"]["items"].append("ink")
    session["theme"] = "red"

    assert dict(changes_of(session).set) == {"cart": {"items": ["pen", "ink"]}, "theme": "red"}


REPLACED: dict[str, Callable[[Session], object]] = {
    "assigned": lambda session: session.__setitem__("cart", {"items": ["ink"]}),
    "deleted": lambda session: session.__delitem__("cart"),
    "popped": lambda session: session.pop("cart"),
    "cleared": lambda session: session.clear(),
    "logged out": lambda session: session.logout(),
}


@pytest.mark.parametrize("how", REPLACED)
@pytest.mark.parametrize("is_before", [True, False], ids=["changed before", "changed after"])
def test_replaced(how: str, is_before: bool) -> None:
    """Once the handler has replaced the member, the object belongs to the session no more."""
    session, expected = loaded(cart={"items": ["pen"]}), loaded(cart={"items": ["pen"]})
    made = session.typed(StructCart, "cart")
    if is_before:
        made.items.append("late")
    REPLACED[how](session)
    if not is_before:
        made.items.append("late")
    REPLACED[how](expected)

    assert changes_of(session) == changes_of(expected)
    assert session == expected
    assert session.typed(StructCart, "cart") is not made


REMOVED: dict[str, Callable[[Session], object]] = {
    "popped": lambda session: session.pop("cart"),
    "deleted": lambda session: session.__delitem__("cart"),
    "popped as an item": lambda session: session.popitem(),
}


@pytest.mark.parametrize("how", REMOVED)
def test_default_is_removed(how: str) -> None:
    """What was changed in an object of defaults is a member that can be removed."""
    session = loaded(other=1)
    made = session.typed(StructCart, "cart")
    made.items.append("pen")

    REMOVED[how](session)
    made.items.append("late")

    assert changes_of(session) == Changes()
    assert session == {"other": 1}
    assert session.typed(StructCart, "cart") is not made


def test_default_that_is_not_changed_is_removed() -> None:
    """An object of defaults belongs to the session no more once its member was popped."""
    session = loaded()
    made = session.typed(StructCart, "cart")

    assert session.pop("cart", None) is None
    made.items.append("late")

    assert changes_of(session) == Changes()


def test_setdefault() -> None:
    """`setdefault` finds the member of an object of defaults that was changed."""
    session = loaded()
    session.typed(StructCart, "cart").items.append("pen")

    assert session.setdefault("cart", {}) == {"items": ["pen"]}


@pytest.mark.parametrize("how", ["cleared", "logged out"])
def test_default_is_not_kept(how: str) -> None:
    """An object of defaults that was changed does not come back after clear() and logout()."""
    session = loaded(other=1)
    made = session.typed(StructCart, "cart")
    made.items.append("pen")
    REPLACED[how](session)

    changes_of(session)

    assert session == {}


def test_login_keeps() -> None:
    """A login keeps what was changed in an object of a member that it names, and that goes on."""
    session = loaded(other=1, prefs={"items": []})
    made, gone = session.typed(StructCart, "cart"), session.typed(StructCart, "prefs")
    made.items.append("pen")
    gone.items.append("pen")

    session.login("ann", keep=["cart"])
    made.items.append("ink")
    gone.items.append("ink")

    changes_of(session)
    assert session == {"cart": {"items": ["pen", "ink"]}}
    assert session.typed(StructCart, "cart") is made


def test_login_keeps_default() -> None:
    """A login that keeps a member which is absent keeps its object too."""
    session = loaded(other=1)
    made = session.typed(StructCart, "cart")

    session.login("ann", keep=iter(["cart"]))
    made.items.append("pen")

    changes_of(session)
    assert session == {"cart": {"items": ["pen"]}}
    assert session.typed(StructCart, "cart") is made


RELOADED: list[Any] = [
    pytest.param(model, id=model.__name__) for model in [*MODELS, dict[str, list[str]]]
]


@pytest.mark.parametrize("model", RELOADED)
def test_reload(model: Any) -> None:
    """A reload gives an object what it loads: it stays the same object."""
    as_items = model is Cart
    one, two = ([{"name": "pen"}], [{"name": "ink"}]) if as_items else (["pen"], ["ink"])
    session = loaded(cart={"items": one})
    made = session.typed(model, "cart")

    rebase(session, Entry({"cart": {"items": two}}, period=DAY))

    assert session.typed(model, "cart") is made
    assert made == loaded(cart={"items": two}).typed(model, "cart")
    assert not session.modified


def test_reload_keeps_changes() -> None:
    """A reload keeps what was changed in an object and not saved; fields are merged one by one."""
    session = loaded(theme="dark", size=1)
    made = session.typed(Preferences)
    made.theme = "red"

    rebase(session, Entry({"theme": "blue", "size": 2}, period=DAY))

    assert made == Preferences("red", 2)
    assert dict(changes_of(session).set) == {"theme": "red"}


def test_reload_removed() -> None:
    """After a reload without the member, an object has its defaults, or is made anew."""
    session = loaded(cart={"items": ["pen"]}, owned={"owner": "ann"}, tags=["a"])
    cart, owned = session.typed(StructCart, "cart"), session.typed(Owned, "owned")
    tags = session.typed(tuple[str, ...], "tags", default=())

    rebase(session, Entry({"tags": ["b"]}, period=DAY))

    assert cart.items == []
    assert session.typed(Owned, "owned", default=None) is None
    assert owned.owner == "ann"
    assert tags == ("a",)
    assert session.typed(tuple[str, ...], "tags") == ("b",)


def test_restore() -> None:
    """What a failed block did to an object is undone in it, also to one that fits nothing now."""
    session = loaded(cart={"items": ["pen"]})
    made, added = session.typed(StructCart, "cart"), session.typed(StructCart, "added")
    before = state_of(session).snapshot(session)
    made.items = [object()]  # type: ignore[list-item] # a mistake of the handler
    added.items.append("ink")

    state_of(session).restore(session, before)

    assert (made.items, added.items) == (["pen"], [])
    assert not session.modified
    made.items.append("ink")
    assert changes_of(session).set == {"cart": {"items": ["pen", "ink"]}}


def test_restore_hidden() -> None:
    """What a failed block did to a part that is not stored is undone too."""
    session = loaded(cart={"shown": 1})
    made = session.typed(Excluding, "cart")
    before = state_of(session).snapshot(session)
    made.hidden = 9

    state_of(session).restore(session, before)

    assert made.hidden == 0
    assert not session.modified


def test_default() -> None:
    """Of a default that was given, each session gets a copy; None is returned and not kept."""
    session = loaded()
    given = Owned("ann")

    assert session.typed(Owned, "owned", default=None) is None
    made = session.typed(Owned, "owned", default=given)
    assert made == given
    made.items.append("pen")
    assert session.typed(Owned, "owned", default=None) is made
    assert given == Owned("ann")
    assert dict(changes_of(session).set) == {"owned": {"owner": "ann", "items": ["pen"]}}


class Required(TypedDict):
    """A TypedDict with a key that must be there."""

    owner: str


@pytest.mark.parametrize("model", [Owned, Required])
def test_no_default(model: Any) -> None:
    """A model that needs arguments is an error that asks for a default."""
    with pytest.raises(SessionError, match="a default, such as"):
        loaded().typed(model, "owned")


def test_default_cannot_be_stored() -> None:
    """A default that cannot be written is an error at once."""
    with pytest.raises(UnsupportedTypeError, match="The default of StructCart"):
        loaded().typed(StructCart, "cart", default=StructCart([object()]))  # type: ignore[list-item] # a mistake


def test_no_fields() -> None:
    """A model without fields needs a name."""
    with pytest.raises(SessionError, match="the name of a member"):
        loaded().typed(list[int])


@dataclass(frozen=True)
class Frozen:
    """A model whose objects can be hashed."""


class NoModel:
    """A class that is no model."""


WRONG: list[Any] = [
    pytest.param(3, "an object of int is no model", id="a number"),
    pytest.param("cart", r'session\.typed\(Cart, "cart"\)', id="a name"),
    pytest.param(StructCart(), "the class StructCart, not an object", id="an object"),
    pytest.param(Size.SMALL, "an object of Size is no model", id="an enum"),
    pytest.param(Frozen(), "the class Frozen, not an object", id="hashable"),
    pytest.param(Owned("ann"), "the class Owned, not an object", id="unhashable"),
    pytest.param(NoModel, "NoModel is no model", id="a class"),
]


@pytest.mark.parametrize(("model", "message"), WRONG)
def test_no_model(model: Any, message: str) -> None:
    """What is no model is an error at the first call that says what to write."""
    with pytest.raises(UnsupportedTypeError, match=message):
        loaded(cart={}).typed(model, "cart")


class Older(msgspec.Struct, forbid_unknown_fields=True):
    """A model that refuses what it does not know."""

    items: list[int] = []


@dataclass
class Careful:
    """A model whose own check shows a value."""

    name: str = ""

    def __post_init__(self) -> None:
        if self.name:
            raise ValueError(f"Expected `{self.name}`")


@dataclass
class Careless:
    """A model whose own code fails."""

    name: str = ""

    def __post_init__(self) -> None:
        if self.name:
            raise KeyError(self.name)


@dataclass
class Choice:
    """A model with an enum."""

    size: Size = Size.SMALL


class Numbers(pydantic.BaseModel):
    """A pydantic model of numbers."""

    items: list[int] = []


class Failing(pydantic.BaseModel):
    """A pydantic model whose own code fails."""

    name: str = ""

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, name: str) -> str:
        if name:
            raise KeyError(name)
        return name


class Keyed(pydantic.BaseModel):
    """A pydantic model with keys of the content."""

    counts: dict[str, int] = {}


@pydantic_dataclass(config=pydantic.ConfigDict(extra="forbid"))
class Inner:
    """A dataclass of pydantic that refuses what it does not know."""

    n: int = 0


class Closed(pydantic.BaseModel):
    """A pydantic model with a part."""

    inner: Inner = pydantic.Field(default_factory=Inner)


MISFITS: list[Any] = [
    pytest.param(
        Older,
        {"items": [1, PRIVATE]},
        'session["cart"]["items"][1]: Expected `int`, got `str`',
        id="type",
    ),
    pytest.param(Older, {PRIVATE: 1}, 'session["cart"]: a value that', id="unknown field"),
    pytest.param(Owned, {}, "Object missing required field `owner`", id="missing"),
    pytest.param(Choice, {"size": PRIVATE}, '["size"]: a value that', id="enum"),
    pytest.param(Careful, {"name": PRIVATE}, 'session["cart"]: a value that', id="own check"),
    pytest.param(Careless, {"name": PRIVATE}, 'session["cart"]: KeyError', id="own error"),
    pytest.param(Numbers, {"items": [PRIVATE]}, '["items"][0]: int_parsing', id="pydantic"),
    pytest.param(Cart, None, "got `null`", id="None"),
    pytest.param(Failing, {"name": PRIVATE}, 'session["cart"]: KeyError', id="own, pydantic"),
    pytest.param(Keyed, {"counts": {PRIVATE: "x"}}, '["counts"][...]: int', id="a key"),
    pytest.param(
        Closed, {"inner": {PRIVATE: 1}}, '["inner"][...]: unexpected', id="unknown, pydantic"
    ),
]


@pytest.mark.parametrize(("model", "content", "reason"), MISFITS)
def test_misfit(model: Any, content: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Content that does not fit is reported once, without a value, and treated as absent."""
    default = Owned("ann") if model is Owned else model()
    for _ in range(2):
        session = loaded(cart=content)
        assert session.typed(model, "cart", default=default) == default
        assert not session.modified
        assert session == {"cart": content}

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pgsession", logging.WARNING)
    assert model.__name__ in record.message
    assert reason in record.message
    assert PRIVATE not in record.message


def test_misfits_alike(caplog: pytest.LogCaptureFixture) -> None:
    """Misfits that differ in the index of a list are one; others are reported each."""
    for content in ({"items": ["x"]}, {"items": [1, "x"]}, {"items": 7}):
        loaded(cart=content).typed(Older, "cart")

    assert len(caplog.records) == 2


def test_misfit_is_overwritten() -> None:
    """The next change overwrites a member that does not fit, all of it."""
    session = loaded(other=1, cart="?")
    session.typed(StructCart, "cart").items.append("pen")

    assert dict(changes_of(session).set) == {"cart": {"items": ["pen"]}}


def test_misfit_beside_others() -> None:
    """Over the whole session, a member that does not fit leaves the others as they are."""
    session = loaded(theme=7, size=5)
    made = session.typed(Preferences)

    assert made == Preferences("light", 5)
    made.tags.append("new")
    assert dict(changes_of(session).set) == {"tags": ["new"]}
    made.theme = "dark"
    assert dict(changes_of(session).set) == {"theme": "dark", "tags": ["new"]}


class Range(pydantic.BaseModel):
    """A model whose fields must fit each other."""

    low: int = 0
    high: int = 9

    @pydantic.model_validator(mode="after")
    def check(self) -> "Range":
        if self.low > self.high:
            raise ValueError
        return self


def test_misfit_together() -> None:
    """Members that do not fit each other are treated as absent; the next change replaces all."""
    session = loaded(low=8, high=7)
    made = session.typed(Range)

    assert made == Range()
    made.high = 5
    assert saved(session).typed(Range) == Range(low=0, high=5)


class Secret(pydantic.BaseModel):
    """A model with a part that is not stored."""

    token: pydantic.SecretStr = pydantic.SecretStr("")
    scope: str = ""


class Excluding(pydantic.BaseModel):
    """A model with a part that is excluded."""

    shown: int = 0
    hidden: int = pydantic.Field(default=0, exclude=True)


class Extra(pydantic.BaseModel):
    """A model that allows any field."""

    model_config = pydantic.ConfigDict(extra="allow")

    theme: str = ""


@attrs.define
class Private:
    """A class with a private attribute."""

    shown: int = 0
    _hidden: int = 0


class Cat(pydantic.BaseModel):
    """One of two models with the same fields."""

    name: str = ""


class Dog(pydantic.BaseModel):
    """The other one."""

    name: str = ""


class Owner(pydantic.BaseModel):
    """A model with a union."""

    pet: Cat | Dog = Cat()


@attrs.define(eq=False)
class NoEquality:
    """A class without an equality."""

    shown: list[str] = attrs.field(factory=list)
    _hidden: int = 0


LOSSY: list[Any] = [
    pytest.param(Secret, {}, "cart", {"token": pydantic.SecretStr(PRIVATE)}, id="secret"),
    pytest.param(Secret, {"token": PRIVATE}, "cart", {"scope": "x"}, id="secret, not touched"),
    pytest.param(Excluding, {}, "cart", {"shown": 1, "hidden": 2}, id="excluded"),
    pytest.param(Excluding, {"hidden": 7}, "cart", {"shown": 1}, id="excluded, not touched"),
    pytest.param(Excluding, {"hidden": 7}, "cart", {"hidden": 8}, id="excluded alone"),
    pytest.param(Secret, {"token": "x"}, "cart", {"token": pydantic.SecretStr("y")}, id="alone"),
    pytest.param(Private, {}, "cart", {"shown": 1, "_hidden": 2}, id="private"),
    pytest.param(Private, {}, "cart", {"_hidden": 2}, id="private alone"),
    pytest.param(Owner, {}, "cart", {"pet": Dog(name=PRIVATE)}, id="another class"),
    pytest.param(Extra, {}, None, {"theme": "x", "more": PRIVATE}, id="extra, whole session"),
    pytest.param(NoEquality, {}, "cart", {"shown": ["x"], "_hidden": 2}, id="no equality"),
]


@pytest.mark.parametrize(("model", "content", "name", "changed"), LOSSY)
def test_not_stored(
    model: Any, content: dict[str, Any], name: str | None, changed: dict[str, Any]
) -> None:
    """An object that would not be read back equal is an error, and what is stored stays."""
    session = loaded(cart=content)
    made = session.typed(model, name)
    for field_name, value in changed.items():
        setattr(made, field_name, value)

    with pytest.raises(UnsupportedTypeError, match=f"{model.__name__}.*excludes") as caught:
        changes_of(session)

    assert PRIVATE not in str(caught.value)
    assert session == {"cart": content}


@pytest.mark.parametrize("model", [Secret, Excluding, Private])
def test_hidden_is_read(model: Any) -> None:
    """A model with a part that is not stored can be read, and its other parts changed."""
    session = loaded(cart={"hidden": 7, "token": "x"})
    session.typed(model, "cart")
    assert changes_of(session) == Changes()

    session = loaded()
    made = session.typed(model, "cart")
    setattr(made, "scope" if model is Secret else "shown", "x" if model is Secret else 1)
    state_of(session).acknowledge(changes_of(session), is_new=False)
    assert not session.modified


class Unequal(msgspec.Struct, eq=False):
    """A class whose equality fails."""

    items: list[str] = []

    def __eq__(self, other: object) -> bool:
        raise LookupError

    __hash__ = None  # type: ignore[assignment] # as its objects can be changed


def test_equality_fails() -> None:
    """An object that cannot be compared is not stored."""
    session = loaded()
    session.typed(Unequal, "cart").items.append("x")

    with pytest.raises(UnsupportedTypeError, match="Unequal"):
        changes_of(session)


def test_default_is_not_stored() -> None:
    """A default that would not be read back equal is an error at once."""
    with pytest.raises(UnsupportedTypeError, match="The default of Secret"):
        loaded().typed(Secret, "cart", default=Secret(token=pydantic.SecretStr(PRIVATE)))


class Plain(msgspec.Struct, eq=False):
    """A class without an equality."""

    items: list[NoEquality] = []


class Cached(pydantic.BaseModel):
    """A model that has computed something."""

    items: tuple[str, ...] = ()

    @cached_property
    def length(self) -> int:
        return len(self.items)


@dataclass(eq=False)
class Slotless:
    """A dataclass without an equality, that has computed something."""

    items: list[str] = field(default_factory=list)

    @cached_property
    def length(self) -> int:
        return len(self.items)


ALIKE: list[Any] = [
    pytest.param(Plain, [NoEquality(["pen"])], id="no equality, nested"),
    pytest.param(Cached, ("pen",), id="computed"),
    pytest.param(Slotless, ["pen"], id="computed, no equality"),
    pytest.param(StructCart, ("pen",), id="a tuple for a list"),
]


@pytest.mark.parametrize(("model", "items"), ALIKE)
def test_alike(model: Any, items: Any) -> None:
    """An object that is read back with the same parts is stored."""
    session = loaded()
    made = session.typed(model, "cart")
    made.items = items
    assert getattr(made, "length", 1) == 1

    assert len(saved(session).typed(model, "cart").items) == 1


@dataclass
class Totals:
    """Another model of a cart."""

    items: list[str] = field(default_factory=list)
    coupon: str = ""


@dataclass
class Shop:
    """A model over the whole session, with a cart."""

    cart: Totals = field(default_factory=Totals)
    theme: str = "light"


@dataclass
class Sizes:
    """A model over the whole session that shares a field with `Preferences`."""

    size: int = 10
    lang: str = "en"


def change_cart(session: Session) -> None:
    session.typed(StructCart, "cart").items.append("pen")


def change_totals(session: Session) -> None:
    session.typed(Totals, "cart").coupon = "x"


def change_shop(session: Session) -> None:
    session.typed(Shop).cart.coupon = "y"


def change_size(session: Session) -> None:
    session.typed(Preferences).size = 1


def change_sizes(session: Session) -> None:
    session.typed(Sizes).size = 2


CONFLICTS: list[Any] = [
    pytest.param(change_cart, change_totals, ["StructCart", "Totals", "cart"], id="one member"),
    pytest.param(change_cart, change_shop, ["StructCart", "Shop", "cart"], id="whole and member"),
    pytest.param(change_size, change_sizes, ["Preferences", "Sizes", "size"], id="two wholes"),
]


@pytest.mark.parametrize(("one", "other", "names"), CONFLICTS)
def test_conflict(
    one: Callable[[Session], None], other: Callable[[Session], None], names: list[str]
) -> None:
    """Two objects that have both changed a member are an error that names both and the member."""
    session = loaded(cart={"items": []}, size=5)
    for model, name in ((StructCart, "cart"), (Totals, "cart"), (Shop, None), (Sizes, None)):
        session.typed(model, name)
    session.typed(Preferences)
    one(session)
    other(session)

    with pytest.raises(SessionError, match="have both changed") as caught:
        changes_of(session)

    assert all(name in str(caught.value) for name in names)
    assert session == {"cart": {"items": []}, "size": 5}


def test_shared() -> None:
    """An object has what another one of the same member has changed, once that is written."""
    session = loaded(cart={"items": []}, size=5)
    cart, totals = session.typed(StructCart, "cart"), session.typed(Totals, "cart")
    shop, sizes = session.typed(Shop), session.typed(Sizes)
    cart.items.append("pen")
    sizes.lang, shop.theme = "de", "dark"
    assert session.modified

    totals.coupon = "x"
    changes_of(session)
    shop.cart.coupon = "y"

    changes_of(session)
    assert cart.items == totals.items == shop.cart.items == ["pen"]
    assert totals.coupon == "y"
    assert session == {
        "cart": {"items": ["pen"], "coupon": "y"},
        "size": 5,
        "lang": "de",
        "theme": "dark",
    }


def test_same_change() -> None:
    """Two objects that have changed a member alike are no conflict."""
    session = loaded(size=5)
    one, other = session.typed(Preferences), session.typed(Sizes)
    one.size = other.size = 7

    assert dict(changes_of(session).set) == {"size": 7}
    other.size = 8
    changes_of(session)
    assert one.size == session["size"] == 8


def test_shared_with_immutable() -> None:
    """An object that cannot be given new content is made anew."""
    session = loaded(tags=["a"])
    session.typed(tuple[str, ...], "tags")
    session.typed(list[str], "tags").append("b")

    changes_of(session)

    assert session.typed(tuple[str, ...], "tags") == ("a", "b")


def test_shared_list() -> None:
    """A list is given what another object of its member has changed."""
    session = loaded(tags=["a"])
    tags = session.typed(list[str], "tags")
    session.typed(pydantic.TypeAdapter(list[str]), "tags").append("b")

    changes_of(session)

    assert tags == ["a", "b"]


def test_adapter_made_anew() -> None:
    """A TypeAdapter of the same type gives the same object, and of another type another one."""
    session = loaded(numbers=[1])
    numbers = session.typed(pydantic.TypeAdapter(list[int]), "numbers")

    assert session.typed(pydantic.TypeAdapter(list[int]), "numbers") is numbers
    assert session.typed(pydantic.TypeAdapter(set[int]), "numbers") == {1}


def test_root_model() -> None:
    """A RootModel has no fields that could be members."""
    with pytest.raises(SessionError, match="the name of a member"):
        loaded().typed(pydantic.RootModel[list[int]])


def test_cannot_be_read_again() -> None:
    """A change that the model would not accept is an error when the session is saved."""
    session = loaded(cart={"items": []})
    session.typed(StructCart, "cart").items.append(7)  # type: ignore[arg-type] # a mistake

    assert session.modified
    assert not state_of(session).is_unchanged(session)
    with pytest.raises(UnsupportedTypeError, match=r'\["items"\]\[0\]: Expected `str`'):
        changes_of(session)
    assert session == {"cart": {"items": []}}


def test_cannot_be_written() -> None:
    """A part that is no JSON is an error that names the model and shows no value."""
    session = loaded()
    session.typed(dict[str, Any], "cart")["x"] = Session

    with pytest.raises(UnsupportedTypeError, match="cannot write as JSON") as caught:
        changes_of(session)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("value", [math.nan, math.inf, "\0", "\ud800"])
def test_cannot_be_stored(value: Any) -> None:
    """The rules of JSON hold: the error names the path."""
    session = loaded()
    session.typed(dict[str, Any], "cart")["x"] = value

    with pytest.raises(InvalidValueError, match=r'session\["cart"\]\["x"\]'):
        changes_of(session)


def test_nan_default() -> None:
    """A default that cannot be stored may be read, and a change to it is an error."""
    session = loaded()
    made = session.typed(dict[str, Any], "cart", default={"x": math.nan})
    assert changes_of(session) == Changes()
    made["y"] = 1

    with pytest.raises(InvalidValueError):
        changes_of(session)


def test_negative_zero() -> None:
    """A negative zero is saved as zero, which it is no change from."""
    session = loaded(cart={})
    made = session.typed(Cart, "cart")
    made.weight = -0.0
    assert changes_of(session) == Changes()
    made.items.append(Item("pen"))

    assert math.copysign(1, saved(session).typed(Cart, "cart").weight) == 1


def test_text_of_a_subclass() -> None:
    """A text of a subclass of str is saved as text."""

    class Markup(str):
        __slots__ = ()

    session = loaded()
    session.typed(StructCart, "cart").items.append(Markup("<b>"))

    assert saved(session).typed(StructCart, "cart").items == ["<b>"]


def test_tagged() -> None:
    """A tagged Struct over the whole session keeps its tag there, and omits its defaults."""

    class Tagged(msgspec.Struct, tag_field="kind", tag="t", omit_defaults=True):
        size: int = 1

    session = loaded(size=2, kind="t")
    session.typed(Tagged).size = 1

    changes = changes_of(session)
    assert (dict(changes.set), set(changes.removed)) == ({}, {"size"})


def test_taken() -> None:
    """A member that was taken is gone, with what was changed in its object."""
    session = loaded(cart={"items": []})
    made = session.typed(StructCart, "cart")
    made.items.append("pen")

    assert state_of(session).is_unsaved(session, "cart")
    state_of(session).forget(session, "cart")
    made.items.append("ink")
    assert changes_of(session) == Changes()


def test_large() -> None:
    """A member of a large session is read as an object, and the others stay text."""
    value = {"cart": {"items": ["x" * 5_000]}, "other": ["y" * 70_000]}
    from pgsession.core.large import read_value  # noqa: PLC0415 - here alone

    session = Session(Entry(read_value(json.dumps(value)), period=DAY))
    made = session.typed(StructCart, "cart")
    assert not session.modified
    made.items.append("pen")

    assert list(changes_of(session).set) == ["cart"]


def test_read_after_change() -> None:
    """An object that is read after another has changed its member shows that."""
    session = loaded(cart={"items": []})
    session.typed(StructCart, "cart").items.append("pen")

    assert session.typed(DictCart, "cart") == {"items": ["pen"]}


@pytest.mark.parametrize("odd", [10**30, "\ud800", math.nan])
def test_odd_default(odd: Any) -> None:
    """A default with a part that is not plain is no change, and a change beside it is found."""
    session = loaded()
    made = session.typed(dict[str, Any], "cart", default={"x": odd, "y": None})

    assert not session.modified
    made["y"] = math.nan
    assert session.modified


def test_frozen() -> None:
    """A reload gives a frozen object its new content too."""

    @dataclass(frozen=True, slots=True)
    class Frozen:
        items: tuple[str, ...] = ()

    session = loaded(cart={"items": ["pen"]})
    made = session.typed(Frozen, "cart")

    rebase(session, Entry({"cart": {"items": ["ink"]}}, period=DAY))

    assert made.items == ("ink",)
    assert session.typed(Frozen, "cart") is made
