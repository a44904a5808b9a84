"""A server that speaks the part of the vendor's protocol that a storage needs, and checks every signature.

Requests as documented: https://help.aliyun.com/zh/oss/developer-reference/include-signatures-in-the-authorization-header
(V1, in a header or in the query), PutObject, GetObject with ranges, HeadObject, DeleteObject, ListObjectsV2, and the
parts of a multipart upload. Run it with the folder for its objects and the port as arguments.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET, KEY, SECRET = "objects", "tests-key", "tests-secret-8d1f"
#: Parts of the query that are signed.
SIGNED = {
    *("acl", "uploads", "uploadId", "partNumber", "delete", "continuation-token"),
    *("response-content-type", "response-content-disposition", "response-cache-control", "security-token"),
}
PAGE = 100


class Simulator(BaseHTTPRequestHandler):
    """One request. The bucket is the first part of the path or of the host name."""

    protocol_version = "HTTP/1.1"
    folder: Path
    lock = threading.Lock()
    parts: dict[str, dict[int, bytes]] = {}

    def handle_request(self) -> None:
        """Check the signature, then answer by method and query."""
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        bucket, _, key = parts.path.removeprefix("/").partition("/")
        self.in_path = not self.headers["Host"].startswith(f"{BUCKET}.")
        if not self.in_path:
            bucket, key = BUCKET, parts.path.removeprefix("/")
        self.key = unquote(key)
        if not self._signature_is_right():
            self._fail(403, "SignatureDoesNotMatch")
        elif bucket != BUCKET:
            self._fail(404, "NoSuchBucket")
        else:
            self._perform()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_request

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _signature_is_right(self) -> bool:
        """V1: HMAC-SHA1 of method, MD5, type, date or expiry, the vendor's headers, and the resource."""
        resource = unquote(urlsplit(self.path).path) if self.in_path else f"/{BUCKET}/{self.key}"
        named = sorted((name, value) for name, value in self.query.items() if name in SIGNED)
        if named:
            resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in named)
        own = sorted((name.lower(), value) for name, value in self.headers.items() if name.lower().startswith("x-oss-"))
        moment = self.query.get("Expires") or self.headers.get("Date", "")
        lines = [self.command, self.headers.get("Content-MD5", ""), self.headers.get("Content-Type", ""), moment]
        text = "\n".join([*lines, *(f"{name}:{value}" for name, value in own), resource])
        digest = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), hashlib.sha1)).decode()
        if "Signature" in self.query:
            fresh = int(self.query["Expires"]) > time.time()
            return fresh and self.query.get("OSSAccessKeyId") == KEY and self.query["Signature"] == digest
        return self.headers.get("Authorization") == f"OSS {KEY}:{digest}"

    def _perform(self) -> None:
        match self.command:
            case "GET" if not self.key:
                self._list()
            case "GET" | "HEAD":
                self._read()
            case "PUT" if "uploadId" in self.query:
                self.parts[self.query["uploadId"]][int(self.query["partNumber"])] = self.body
                self._answer(200, headers={"ETag": _etag(self.body)})
            case "PUT":
                self._write(self.body)
                self._answer(200, headers={"ETag": _etag(self.body)})
            case "POST" if "uploads" in self.query:
                upload = f"{time.time_ns():x}"
                self.parts[upload] = {}
                xml = f"<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{escape(self.key)}</Key>"
                self._answer(200, f"{xml}<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
            case "POST" if "uploadId" in self.query:
                parts = self.parts.pop(self.query["uploadId"])
                self._write(b"".join(data for _, data in sorted(parts.items())))
                self._answer(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
            case "DELETE":
                self.parts.pop(self.query.get("uploadId", ""), None)
                if "uploadId" not in self.query:
                    self._path(self.key).unlink(missing_ok=True)
                self._answer(204)
            case _:
                self._fail(405, "MethodNotAllowed")

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def _write(self, data: bytes) -> None:
        path = self._path(self.key)
        new = path.with_suffix(f".{time.time_ns()}")
        with self.lock:
            path.with_suffix(".key").write_text(self.key)
            new.write_bytes(data)
            new.replace(path)

    def _read(self) -> None:
        try:
            data = self._path(self.key).read_bytes()
        except FileNotFoundError:
            self._fail(404, "NoSuchKey")
            return
        headers = {"ETag": _etag(data), "Last-Modified": self.date_time_string(), "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if not wanted:
            self._answer(200, data, headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
        if start >= len(data):
            self._fail(416, "InvalidRange")
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self._answer(206, data[start : end + 1], headers)

    def _list(self) -> None:
        """ListObjectsV2: keys in order, cut at the delimiter, in pages."""
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        found: dict[str, int | None] = {}
        for path in self.folder.glob("*.key"):
            key, file = path.read_text(), path.with_suffix("")
            if key.startswith(prefix) and file.exists():
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                found[key if end < 0 else key[: end + 1]] = file.stat().st_size if end < 0 else None
        names = sorted(name for name in found if name > after)
        page = names[: min(PAGE, int(self.query.get("max-keys", PAGE)))]
        xml = [f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"]
        xml.append(f"<IsTruncated>{'true' if len(page) < len(names) else 'false'}</IsTruncated>")
        if len(page) < len(names):
            xml.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        xml += [_entry(name, found[name]) for name in page]
        self._answer(200, "".join(xml) + "</ListBucketResult>")

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")

    def _answer(self, status: int, body: str | bytes = b"", headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)


def _entry(name: str, size: int | None) -> str:
    if size is None:
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    facts = f'<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag><Size>{size}</Size>'
    return f"<Contents><Key>{escape(name)}</Key>{facts}<StorageClass>Standard</StorageClass></Contents>"


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32].upper()}"'


if __name__ == "__main__":
    Simulator.folder = Path(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Simulator).serve_forever()
