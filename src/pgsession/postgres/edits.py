"""Edits of a batch: which statements make them, and what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from pgsession.errors import SessionError, StoreUnavailableError, ValueTooLargeError
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
    or it may be too large. Edits of sessions that end soon are made in a statement
    that waits for no row, and each that must be measured is made alone. An edit that
    would take its session past the limit gets `ValueTooLargeError` as its answer.

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
    made |= {it: found for it, found in standing.items() if not isinstance(found, Standing)}
    fitting = [edit for edit in left if _fits(standing[edit.session_key])]
    if skipping:
        made |= dict.fromkeys((edit.session_key for edit in fitting), LOCKED)
    else:
        made |= await _make_at_once(fitting, editing, run)
    answers: dict[int, Answer] = {}
    for selector, group in groups.items():
        found, answer = standing.get(selector), made[selector]
        if isinstance(found, Standing) and not found.fits:
            singly = [await _measure(edit, editing, run, skipping=skipping) for edit in group]
            answers.update(zip(map(id, group), singly, strict=True))
            continue
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


def _fits(found: _Found) -> bool:
    return isinstance(found, Standing) and found.fits


async def _make_at_once(edits: Sequence[Edit], editing: Editing, run: Run) -> dict[str, Answer]:
    """Make the edits whose rows are free now, or in a transaction once they are."""
    answers: dict[str, Answer] = {}
    for some in [edits] if editing.skips_together else [[edit] for edit in edits]:
        made = await _safely(partial(editing.update, skipping=True), some, run)
        left = [edit for edit, answer in zip(some, made, strict=True) if answer is None]
        answers |= {edit.session_key: each for edit, each in zip(some, made, strict=True)}
        standing = await _safely(editing.stand, left, run)
        for edit, found in zip(left, standing, strict=True):
            answers[edit.session_key] = LOCKED if isinstance(found, Standing) else found
    return answers


async def _measure(edit: Edit, editing: Editing, run: Run, *, skipping: bool) -> Answer:
    """Make one edit, measured."""
    [answer] = await _safely(partial(editing.update_measured, skipping=skipping), [edit], run)
    if answer is not None:
        return answer
    [standing] = await _safely(editing.stand, [edit], run)
    if not isinstance(standing, Standing):
        return standing
    if not standing.fits_measured:
        return ValueTooLargeError(_TOO_LARGE)
    return LOCKED if skipping else await _measure(edit, editing, run, skipping=True)


async def _safely(
    work: Callable[[Connection, Sequence[Edit]], Awaitable[Sequence[_T | None]]],
    edits: Sequence[Edit],
    run: Run,
) -> Sequence[_T | Locked | SessionError | None]:
    """Run one statement. Raises nothing: others of the batch are made already.

    If it fails because of one of several edits, it is run for each alone.
    """
    if not edits:
        return ()
    try:
        answers: Sequence[_T | None] = await run(work, edits)
    except SessionError as error:
        is_busy = isinstance(error, LockedRowError)
        if len(edits) > 1 and (is_busy or not isinstance(error, StoreUnavailableError)):
            return [each for edit in edits for each in await _safely(work, [edit], run)]
        return [LOCKED if is_busy else error] * len(edits)
    return answers


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
