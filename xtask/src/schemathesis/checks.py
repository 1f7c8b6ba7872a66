"""Adaptations of schemathesis to this server: one more check, and changes to two values."""

import itertools
import os

import schemathesis

SHAPE = "invalid request body: "
COUNT = itertools.count()


@schemathesis.check
def right_bodies_have_the_right_shape(ctx, response, case):
    """A 422 for a right request has to be about what a value means."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    detail = response.json().get("detail", "")
    assert not detail.startswith(SHAPE), f"the document allows this body, and the server does not: {detail}"


@schemathesis.serializer("application/zip", "application/gzip")
def as_it_is(context, value):
    """Packages are bytes."""
    return value if isinstance(value, bytes) else getattr(value, "data", None) or str(value).encode(errors="ignore")


@schemathesis.hook
def filter_case(context, case):
    """An address of fixed words goes before one with a parameter that could be such a word, as the specification says
    of path templating. What is sent to `/plugins/stats` is never a request for the plugin `stats`."""
    path = case.formatted_path
    return path == case.operation.path or path not in case.operation.schema.raw_schema["paths"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Backups are made in this folder, wherever on the machine they were wanted. And an idempotency key is used once:
    schemathesis sends the same one with many requests, all but the first of which would be refused for it."""
    if case.operation.label == "POST /api/v1/backups" and isinstance(case.body, dict):
        path = case.body.get("path")
        if isinstance(path, str) and path.startswith("/"):
            case.body["path"] = os.path.abspath(f"backup-{next(COUNT)}.tar.gz")
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 240 and all("!" <= letter <= "~" for letter in key):
        case.headers["Idempotency-Key"] = f"{key}-{next(COUNT)}"
