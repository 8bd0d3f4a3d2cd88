"""Binding a session to a device: the same in both stores."""

import pytest

from pgsession import Changes
from pgsession.core.bound import BindingStore, Bound, BoundDevice, as_binding_store
from pgsession.core.keys import key_digest
from pgsession.core.login import Login
from pgsession.core.store import Store
from pgsession.core.users import LoginState

KEY, OTHER = '{"kty":"EC"}', '{"kty":"RSA"}'


async def sign_in(store: BindingStore, key: str | None = None) -> tuple[str, Bound, str | None]:
    """Sign ann in; return the key, and what a device is bound to."""
    key = await store.login(key, Login("ann"), Changes())
    entry = await store.get(key)
    assert entry is not None
    assert entry.signed_in is not None
    handle, verifier = key_digest(key)
    return key, Bound(handle, entry.signed_in.login_number), verifier


@pytest.fixture
def binding(store: Store) -> BindingStore:
    return as_binding_store(store)


async def test_bind(binding: BindingStore) -> None:
    """A key that is registered is known, and in force once its browser has proved it."""
    key, bound, verifier = await sign_in(binding)

    now = await binding.bind(bound, verifier, KEY)
    assert now is not None
    device = await binding.bound_device(bound)
    assert device is not None
    assert (device.public_key, device.is_in_force) == (KEY, False)
    assert now <= device.now <= now + 60
    entry = await binding.get(key)
    assert entry is not None
    assert entry.signed_in is not None
    assert not entry.signed_in.is_bound
    assert entry.signed_in.now is not None
    assert now <= entry.signed_in.now <= now + 60
    assert [it.is_bound for it in await binding.devices("ann")] == [False]

    await binding.enforce(bound)
    await binding.enforce(bound)

    assert (await binding.bound_device(bound) or BoundDevice("", 0, is_in_force=False)).is_in_force
    assert [it.is_bound for it in await binding.devices("ann")] == [True]


async def test_unbound(binding: BindingStore) -> None:
    """A session without a key is bound to nothing, and nothing can be put in force."""
    key, bound, _ = await sign_in(binding)

    await binding.enforce(bound)

    assert await binding.bound_device(bound) is None
    entry = await binding.get(key)
    assert entry is not None
    assert entry.signed_in is not None
    assert not entry.signed_in.is_bound
    assert entry.signed_in.now is None


async def test_again(binding: BindingStore) -> None:
    """The same key may be registered twice; another one is refused, before and after the proof."""
    _, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, KEY)

    assert await binding.bind(bound, verifier, KEY) is not None
    assert await binding.bind(bound, verifier, OTHER) is None
    await binding.enforce(bound)
    assert await binding.bind(bound, verifier, OTHER) is None
    assert await binding.bind(bound, verifier, KEY) is not None
    device = await binding.bound_device(bound)
    assert device is not None
    assert device.is_in_force
    assert device.public_key == KEY


async def test_other_login(binding: BindingStore) -> None:
    """A later login ends the binding, and its registration is another one."""
    key, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, KEY)
    await binding.enforce(bound)

    key, later, verifier_later = await sign_in(binding, key)

    assert await binding.bound_device(bound) is None
    assert await binding.bound_device(later) is None
    assert await binding.bind(bound, verifier_later, KEY) is None
    assert await binding.bind(later, verifier, KEY) is None
    assert await binding.bind(later, verifier_later, OTHER) is not None


@pytest.mark.parametrize("confirms", [False, True], ids=["renewal", "confirmation"])
async def test_kept(binding: BindingStore, *, confirms: bool) -> None:
    """A renewal and a confirmation keep the binding."""
    key, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, KEY)
    await binding.enforce(bound)

    await (binding.confirm(key) if confirms else binding.renew(key))

    device = await binding.bound_device(bound)
    assert device is not None
    assert (device.public_key, device.is_in_force) == (KEY, True)


async def test_confirmed_before(binding: BindingStore) -> None:
    """A confirmation ends a registration that is not in force: the browser may not know of it."""
    key, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, OTHER)

    heir = await binding.confirm(key)

    assert await binding.bound_device(bound) is None
    assert await binding.bind(bound, verifier, OTHER) is None
    assert await binding.bind(bound, key_digest(heir)[1], KEY) is not None


async def test_login_states(binding: BindingStore) -> None:
    """The login state says whether a session is bound, once that is in force."""
    _, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, KEY)
    states = await binding.login_states([bound.handle])
    assert states == {bound.handle: LoginState(1)}

    await binding.enforce(bound)

    states = await binding.login_states([bound.handle])
    assert states == {bound.handle: LoginState(1, is_bound=True)}


async def test_dead(binding: BindingStore) -> None:
    """A session that has ended, or that never was, is bound to nothing."""
    key, bound, verifier = await sign_in(binding)
    await binding.bind(bound, verifier, KEY)
    await binding.clear(key)

    for each in (bound, Bound("x" * 40, 1)):
        assert await binding.bind(each, verifier, KEY) is None
        assert await binding.bound_device(each) is None
        await binding.enforce(each)
