"""What the server signs: each token is good for its kind, its session and its login alone."""

from itertools import product

import pytest

from pgsession.core.bound import Bound
from pgsession.dbsc.tokens import Offer, Tokens
from tests.applications import SECRET

OTHER = "another-secret-that-is-long-enough-for-it"
ANN, BOB = Bound("a" * 40, 3), Bound("b" * 40, 3)
VERIFIER = "v" * 40


@pytest.fixture
def tokens() -> Tokens:
    return Tokens([SECRET], "session")


def all_of(tokens: Tokens) -> dict[str, str]:
    return {
        "identifier": tokens.identifier(ANN),
        "offer": tokens.offer((ANN.handle, VERIFIER), ANN.login_number),
        "challenge": tokens.challenge(ANN, 1_800_000_000),
        "cookie": tokens.cookie(ANN, 1_800_000_000),
    }


def read(tokens: Tokens, kind: str, text: str) -> object:
    match kind:
        case "identifier":
            return tokens.read_identifier(text)
        case "offer":
            return tokens.read_offer(text)
        case "challenge":
            return tokens.read_challenge(ANN, text)
        case _:
            return tokens.read_cookie(ANN, text)


def test_read(tokens: Tokens) -> None:
    """Each is read as what was signed."""
    found = {kind: read(tokens, kind, text) for kind, text in all_of(tokens).items()}

    assert found == {
        "identifier": ANN,
        "offer": Offer(ANN, VERIFIER),
        "challenge": 1_800_000_000,
        "cookie": 1_800_000_000,
    }


def test_offer_without_verifier(tokens: Tokens) -> None:
    """The key of a session that was never renewed has no verifier."""
    assert tokens.read_offer(tokens.offer((ANN.handle, None), 1)) == Offer(
        Bound(ANN.handle, 1), None
    )


def test_kinds(tokens: Tokens) -> None:
    """None is good as another kind."""
    texts = all_of(tokens)
    for kind, other in product(texts, texts):
        assert (read(tokens, kind, texts[other]) is not None) is (kind == other)


@pytest.mark.parametrize("bound", [BOB, ANN._replace(login_number=4)], ids=["handle", "login"])
def test_other_session(tokens: Tokens, bound: Bound) -> None:
    """A challenge or a cookie of another session, or of an earlier login, is not good."""
    assert tokens.read_challenge(ANN, tokens.challenge(bound, 5)) is None
    assert tokens.read_cookie(ANN, tokens.cookie(bound, 5)) is None


def test_secrets(tokens: Tokens) -> None:
    """After a change of the secret what the old one has signed is good, and no other's is."""
    rotated, foreign = Tokens([OTHER, SECRET], "session"), Tokens([OTHER], "session")
    of_another_name = Tokens([SECRET], "other")
    for kind, text in all_of(tokens).items():
        assert read(rotated, kind, text) is not None
        assert read(foreign, kind, text) is None
        assert read(of_another_name, kind, text) is None


@pytest.mark.parametrize("kind", ["identifier", "offer", "challenge", "cookie"])
def test_altered(tokens: Tokens, kind: str) -> None:
    """A text with one character changed, left out or added is not good."""
    text = all_of(tokens)[kind]
    for at in range(len(text)):
        for changed in (text[:at] + "0" + text[at + 1 :], text[:at] + text[at + 1 :]):
            if changed != text:
                assert read(tokens, kind, changed) is None
    for added in (f"{text} ", f"{text}A", f"\n{text}", f"{text}é", ""):
        assert read(tokens, kind, added) is None


def test_repr(tokens: Tokens) -> None:
    """The repr shows no secret."""
    assert SECRET not in repr(vars(tokens))
