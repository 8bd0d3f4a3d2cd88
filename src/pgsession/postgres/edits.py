"""Edits of a batch: which statements make them, and what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from pgsession.errors import SessionError, ValueTooLargeError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.failures import LockedRowError
from pgsession.postgres.locked_rows import LOCKED, Locked
from pgsession.postgres.rows import Edit, Edited
from pgsession.postgres.statements.editing import Editing, Standing

_T = TypeVar("_T")

#: Any statement of `Editing`.
_Work: TypeAlias = Callable[[Connection, Sequence[Any]], Awaitable[Sequence[Any]]]

#: Runs one statement for some calls, and commits it where that is due.
Run: TypeAlias = Callable[[_Work, Sequence[Any]], Awaitable[Sequence[Any]]]

#: What became of an edit: it is made, its key is dead, its row is locked, or it is refused.
Answer: TypeAlias = Edited | Locked | SessionError | None

#: What is known of a row whose edit was not made; None for a dead key.
_Found: TypeAlias = Standing | Locked | SessionError | None

#: The edits of each selector.
_Groups: TypeAlias = dict[str, list[Edit]]


async def make_edits(
    edits: Sequence[Edit], editing: Editing, run: Run, *, skipping: bool = False
) -> Sequence[Answer]:
    """Make edits, those of one key in order; tell of each what became of it.

    All are made in one statement. What has not been made then is looked at: its
    key is dead, its row is locked, its session ends too soon to wait for the row,
    or it may be too large. Each edit of a session that ends soon is made alone,
    and so is each that must be measured. An edit that would take its session past
    the limit gets `ValueTooLargeError` as its answer.

    `run` commits each of these statements by itself, so what fails later undoes
    nothing and repeats nothing. Errors of the first are raised; then nothing
    was changed.
    """
    if len({edit.session_key for edit in edits}) == len(edits):  # nearly always
        written = await run(partial(editing.update, skipping=skipping), edits)
        if None not in written:
            return written
        groups = {edit.session_key: [edit] for edit in edits}
        composed = edits
    else:
        groups = await _living(_grouped(edits), editing, run)
        composed = [_composed(group) for group in groups.values()]
        written = await run(partial(editing.update, skipping=skipping), composed) if groups else []
    made: dict[str, Answer] = dict(zip(groups, written, strict=True))
    left = [edit for edit in composed if made[edit.session_key] is None]
    standing = await _look(left, editing, run, may_raise=not any(written)) if left else {}
    answers: dict[int, Answer] = {}
    for selector, group in groups.items():
        found, answer = standing.get(selector), made[selector]
        if isinstance(found, Standing) and not found.fits:
            singly = [await _measure(edit, editing, run, skipping=skipping) for edit in group]
            answers.update(zip(map(id, group), singly, strict=True))
            continue
        if isinstance(found, Standing):
            answer = LOCKED if skipping else await _make_at_once(_composed(group), editing, run)
        elif found is not None:
            answer = found
        for edit, is_late in zip(group, _late(group), strict=True):
            answers[id(edit)] = None if is_late and isinstance(answer, Edited) else answer
    return [answers.get(id(edit)) for edit in edits]


async def _living(
    groups: dict[str, dict[str | None, list[Edit]]], editing: Editing, run: Run
) -> _Groups:
    """Return, of the edits of each selector, those with the verifier of its row.

    A renewal whose key is in use here is committed, so this finds it. All other
    keys of that selector are older, and dead.
    """
    rivals = [selector for selector, keys in groups.items() if len(keys) > 1]
    current = dict(zip(rivals, await run(editing.verifiers, rivals), strict=True)) if rivals else {}
    living: _Groups = {}
    for selector, keys in groups.items():
        verifier = current[selector] if selector in current else next(iter(keys))
        if verifier in keys:
            living[selector] = keys[verifier]
    return living


async def _look(
    left: Sequence[Edit], editing: Editing, run: Run, *, may_raise: bool
) -> dict[str, _Found]:
    """Look at the rows of edits that were not made. Raises only if nothing was made."""
    try:
        found: Sequence[_Found] = await run(editing.stand, left)
    except SessionError as error:
        if may_raise:
            raise
        found = [LOCKED if isinstance(error, LockedRowError) else error] * len(left)
    return {edit.session_key: each for edit, each in zip(left, found, strict=True)}


async def _make_at_once(edit: Edit, editing: Editing, run: Run) -> Answer:
    """Make one edit if its row is free now, or in a transaction once it is."""
    answer = await _alone(partial(editing.update, skipping=True), edit, run)
    if answer is not None:
        return answer
    standing = await _alone(editing.stand, edit, run)
    return LOCKED if isinstance(standing, Standing) else standing


async def _measure(edit: Edit, editing: Editing, run: Run, *, skipping: bool) -> Answer:
    """Make one edit, measured."""
    answer = await _alone(partial(editing.update_measured, skipping=skipping), edit, run)
    if answer is not None:
        return answer
    standing = await _alone(editing.stand, edit, run)
    if not isinstance(standing, Standing):
        return standing
    if not standing.fits_measured:
        return ValueTooLargeError(_TOO_LARGE)
    return LOCKED if skipping else await _measure(edit, editing, run, skipping=True)


async def _alone(
    work: Callable[[Connection, Sequence[Edit]], Awaitable[Sequence[_T | None]]],
    edit: Edit,
    run: Run,
) -> _T | Locked | SessionError | None:
    """Run one statement for one edit. Raises nothing: others of its batch are made already."""
    try:
        answer: _T | None
        [answer] = await run(work, [edit])
    except LockedRowError:
        return LOCKED
    except SessionError as error:
        return error
    return answer


_TOO_LARGE: Final = (
    "The session would be larger than value_limit, as other requests have added to it. Keep large "
    "data in a table of its own and its key in the session."
)


def _grouped(edits: Iterable[Edit]) -> dict[str, dict[str | None, list[Edit]]]:
    """Return the edits of each selector and of each verifier, in order."""
    groups: dict[str, dict[str | None, list[Edit]]] = {}
    for edit in edits:
        groups.setdefault(edit.session_key, {}).setdefault(edit.verifier, []).append(edit)
    return groups


def _composed(group: Sequence[Edit]) -> Edit:
    """Return one edit that does what those of one key would do, up to the one that ends it."""
    composed = group[0]
    for edit in group[1:]:
        if composed.is_last:
            break
        composed = composed.then(edit)
    return composed


def _late(group: Sequence[Edit]) -> Iterable[bool]:
    """Tell of each edit whether the key was dead by then, because of one before it."""
    is_over = False
    for edit in group:
        yield is_over
        is_over = is_over or edit.is_last
