"""The public bucket: the S3 calls that anonymous readers make, path style.

Facts: Amazon S3 API reference, ListObjectsV2, HeadObject, GetObject; what boto3 and s3fs send.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

from cuvee.testing.archive.content import file_content, text_content
from cuvee.testing.archive.reply import Reply
from cuvee.testing.archive.site import Question, Site

__all__ = ["BUCKET", "bucket"]

BUCKET = "stpubdata"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def bucket(site: Site, question: Question) -> Reply:
    """``/stpubdata?list-type=2`` and ``/stpubdata/KEY``."""
    name, _, key = question.path.lstrip("/").partition("/")
    if name != BUCKET:
        return _error(404, "NoSuchBucket", "The specified bucket does not exist", name)
    if not key:
        return _listing(site, question)
    named = site.shelf.by_key.get(key)
    reply = site.fetch(named.name) if named is not None else None
    if reply is None or reply.status == 404:
        return _error(404, "NoSuchKey", "The specified key does not exist.", key)
    return reply


def _listing(site: Site, question: Question) -> Reply:
    prefix, delimiter = question.argument("prefix"), question.argument("delimiter")
    try:
        limit = max(0, min(1000, int(question.argument("max-keys", "1000"))))
        token = question.argument("continuation-token")
        after = base64.urlsafe_b64decode(token).decode() if token else question.argument("start-after")
    except ValueError:
        return _error(400, "InvalidArgument", "The continuation token or max-keys provided is incorrect", "")
    rows, last, cut = _rows(site, prefix, delimiter, after, limit)

    def code(text: str) -> str:
        return quote(text, safe="/") if question.argument("encoding-type") == "url" else escape(text)

    parts = [f"<Name>{BUCKET}</Name><Prefix>{code(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"]
    parts.append(f"<KeyCount>{len(rows)}</KeyCount><IsTruncated>{str(cut).lower()}</IsTruncated>")
    if delimiter:
        parts.append(f"<Delimiter>{code(delimiter)}</Delimiter>")
    if question.argument("encoding-type"):
        parts.append(f"<EncodingType>{escape(question.argument('encoding-type'))}</EncodingType>")
    if token:
        parts.append(f"<ContinuationToken>{escape(token)}</ContinuationToken>")
    if cut:
        following = base64.urlsafe_b64encode(last.encode()).decode()
        parts.append(f"<NextContinuationToken>{following}</NextContinuationToken>")
    for key, folder in rows:
        if folder:
            parts.append(f"<CommonPrefixes><Prefix>{code(key)}</Prefix></CommonPrefixes>")
            continue
        facts = file_content(site.shelf.paths[site.shelf.by_key[key].name])
        when = datetime.fromtimestamp(int(facts.modified), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        parts.append(
            f"<Contents><Key>{code(key)}</Key><LastModified>{when}</LastModified><ETag>{escape(facts.etag)}</ETag>"
            f"<Size>{facts.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    text = f'{_HEAD}<ListBucketResult xmlns="{_SPACE}">{"".join(parts)}</ListBucketResult>'
    return Reply(text_content(text), "application/xml")


def _rows(site: Site, prefix: str, delimiter: str, after: str, limit: int) -> tuple[list[tuple[str, bool]], str, bool]:
    """Return keys and folders behind ``after``, the last one, and whether there are more; keys under a folder are one row."""
    rows: list[tuple[str, bool]] = []
    for key in site.shelf.below(prefix):
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        row = (prefix + head + delimiter, True) if found else (key, False)
        if row[0] <= after or (rows and rows[-1] == row):
            continue
        if len(rows) == limit:
            return rows, rows[-1][0] if rows else after, bool(limit)
        rows.append(row)
    return rows, "", False


def _error(status: int, code: str, message: str, resource: str) -> Reply:
    text = (
        f"{_HEAD}<Error><Code>{code}</Code><Message>{message}</Message><Key>{escape(resource)}</Key>"
        f"<RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
    )
    return Reply(text_content(text), "application/xml", status)
