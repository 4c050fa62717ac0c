"""A strict stand-in for Google Cloud Storage's JSON interface: what it does not know it answers with 501.

Objects are kept in memory. Preconditions, generations, ranges, pages, resumable uploads and checksums are
answered as the service documents them; one thread serves, so conditional writes are exact.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from tests.servers.background import Background

_QUERIES: Final = {
    "list": {"prefix", "delimiter", "maxResults", "pageToken", "startOffset", "projection", "fields", "alt"},
    "object": {"alt", "generation", "ifGenerationMatch", "fields", "projection"},
    "upload": {"uploadType", "name", "ifGenerationMatch", "upload_id"},
    "bucket": {"projection", "project", "fields"},
}


@dataclass
class _Blob:
    data: bytes
    generation: int
    kind: str
    metadata: dict[str, str] = field(default_factory=dict)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat().replace("+00:00", "Z"))

    def resource(self, bucket: str, name: str) -> dict[str, Any]:
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(self.data)),
            "metageneration": "1",
            "generation": str(self.generation), "contentType": self.kind, "timeCreated": self.time,
            "updated": self.time, "md5Hash": _md5(self.data), "metadata": self.metadata,
            "etag": base64.b64encode(str(self.generation).encode()).decode(),
        }  # fmt: skip


@dataclass
class _Upload:
    bucket: str
    name: str
    condition: str | None
    resource: dict[str, Any]
    kind: str
    data: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, request: web.Request, name: str, resource: dict[str, Any], kind: str) -> _Upload:
        return cls(request.match_info["b"], name, request.query.get("ifGenerationMatch"), resource, kind)


class FakeGcs(Background):
    """The server.

    Args:
        preconditions: Whether it honours ``ifGenerationMatch``; some emulators do not.
    """

    def __init__(self, *, preconditions: bool = True) -> None:
        self.endpoint = ""
        self._preconditions = preconditions
        self._buckets: dict[str, dict[str, _Blob]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._finished: dict[str, Any] = {}
        self._generation = 1_700_000_000_000_000

    def uploads(self, bucket: str) -> int:
        """Return how many resumable uploads were begun there and neither finished nor cancelled."""
        return sum(upload.bucket == bucket for upload in self._uploads.values())

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        self._buckets[name] = {}

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("GET", "/storage/v1/b/{b}", self._bucket)
        app.router.add_route("GET", "/storage/v1/b/{b}/o", self._list)
        app.router.add_route("GET", "/storage/v1/b/{b}/o/{o:.+}", self._get)
        app.router.add_route("GET", "/download/storage/v1/b/{b}/o/{o:.+}", self._get)
        app.router.add_route("DELETE", "/storage/v1/b/{b}/o/{o:.+}", self._delete)
        app.router.add_route("*", "/upload/storage/v1/b/{b}/o", self._upload)
        app.router.add_route("*", "/{rest:.*}", self._unknown)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _unknown(self, request: web.Request) -> web.Response:
        return _refused(501, f"{request.method} {request.path_qs} is not known here")

    def _found(self, request: web.Request, kind: str) -> dict[str, _Blob] | web.Response:
        if not set(request.query) <= _QUERIES[kind]:
            return _refused(501, f"one of {sorted(request.query)} is not known here")
        objects = self._buckets.get(request.match_info["b"])
        return objects if objects is not None else _refused(404, "The specified bucket does not exist.")

    async def _bucket(self, request: web.Request) -> web.Response:
        objects = self._found(request, "bucket")
        if isinstance(objects, web.Response):
            return objects
        return web.json_response({"kind": "storage#bucket", "name": request.match_info["b"], "location": "US"})

    async def _list(self, request: web.Request) -> web.Response:
        objects = self._found(request, "list")
        if isinstance(objects, web.Response):
            return objects
        asked = request.query
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        most = min(int(asked.get("maxResults", "1000")), 1000)
        first = max(asked.get("startOffset", ""), base64.b64decode(asked.get("pageToken", "")).decode())
        items: list[dict[str, Any]] = []
        prefixes: list[str] = []
        for name in sorted(objects):
            if not name.startswith(prefix):
                continue
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            shown = name if cut < 0 else name[: cut + len(delimiter)]
            if shown < first or shown in prefixes[-1:]:
                continue
            if len(items) + len(prefixes) == most:
                return web.json_response(_page(items, prefixes, base64.b64encode(shown.encode()).decode()))
            if cut < 0:
                items.append(objects[name].resource(request.match_info["b"], name))
            else:
                prefixes.append(shown)
        return web.json_response(_page(items, prefixes, None))

    async def _get(self, request: web.Request) -> web.Response:
        objects = self._found(request, "object")
        if isinstance(objects, web.Response):
            return objects
        bucket, name = request.match_info["b"], request.match_info["o"]
        blob = objects.get(name)
        if blob is None or request.query.get("generation", str(blob.generation)) != str(blob.generation):
            return _refused(404, f"No such object: {bucket}/{name}", plain="alt" in request.query)
        if request.query.get("alt") != "media":
            return web.json_response(blob.resource(bucket, name))
        headers = {"X-Goog-Generation": str(blob.generation), "X-Goog-Hash": f"md5={_md5(blob.data)}"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=blob.data, content_type=blob.kind, headers=headers)
        start, size = int(asked[1]), len(blob.data)
        end = min(int(asked[2] or size), size - 1)
        if start >= size:
            return web.Response(
                status=416,
                text="The requested range cannot be satisfied.",
                headers={"Content-Range": f"bytes */{size}"},
            )
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return web.Response(status=206, body=blob.data[start : end + 1], content_type=blob.kind, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        objects = self._found(request, "object")
        if isinstance(objects, web.Response):
            return objects
        name = request.match_info["o"]
        refused = self._precondition(objects, name, request.query.get("ifGenerationMatch"))
        if refused is None and objects.pop(name, None) is None:
            return _refused(404, f"No such object: {request.match_info['b']}/{name}")
        return refused or web.Response(status=204)

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        objects = self._found(request, "upload")
        if isinstance(objects, web.Response):
            return objects
        if "upload_id" in request.query:
            return self._continue(request, body)
        kinds = {"media": self._media, "multipart": self._multipart, "resumable": self._begin}
        kind = kinds.get(request.query.get("uploadType", ""))
        if request.method != "POST" or kind is None:
            return await self._unknown(request)
        return kind(request, body)

    def _media(self, request: web.Request, body: bytes) -> web.Response:
        return self._store(_Upload.of(request, request.query["name"], {}, request.content_type), body)

    def _multipart(self, request: web.Request, body: bytes) -> web.Response:
        resource, content, data = _related(request.headers["Content-Type"], body)
        return self._store(_Upload.of(request, resource["name"], resource, content), data)

    def _begin(self, request: web.Request, body: bytes) -> web.Response:
        resource = json.loads(body or b"{}")
        content = request.headers.get("X-Upload-Content-Type", "application/octet-stream")
        upload = _Upload.of(request, resource.get("name") or request.query["name"], resource, content)
        refused = self._precondition(self._buckets[upload.bucket], upload.name, upload.condition)
        if refused is not None:
            return refused
        identity = secrets.token_hex(16)
        self._uploads[identity] = upload
        where = f"http://{request.host}{request.path}?uploadType=resumable&upload_id={identity}"
        return web.Response(headers={"Location": where})

    def _continue(self, request: web.Request, body: bytes) -> web.Response:
        """A piece of a resumable upload, a question how far it is, or its end."""
        identity = request.query["upload_id"]
        if identity in self._finished:
            return web.Response(body=self._finished[identity], content_type="application/json")
        upload = self._uploads.get(identity)
        if upload is None:
            return _refused(404, "the upload is not known, or over")
        if request.method == "DELETE":
            del self._uploads[identity]
            return web.Response(status=499)
        asked = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("Content-Range", ""))
        if asked is None or request.method not in ("PUT", "POST") or not _added(upload, asked, body):
            return _refused(400, "invalid piece of an upload")
        if asked[3] == "*" or len(upload.data) < int(asked[3]):
            headers = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            return web.Response(status=308, headers=headers)
        del self._uploads[identity]
        stored = self._store(upload, bytes(upload.data))
        if stored.status == 200:
            self._finished[identity] = stored.body
        return stored

    def _store(self, upload: _Upload, data: bytes) -> web.Response:
        objects = self._buckets[upload.bucket]
        refused = self._precondition(objects, upload.name, upload.condition)
        if refused is not None:
            return refused
        if upload.resource.get("md5Hash", _md5(data)) != _md5(data):
            return _refused(400, "Provided MD5 hash does not match calculated MD5 hash.")
        self._generation += 1
        blob = _Blob(data, self._generation, upload.kind, upload.resource.get("metadata", {}))
        objects[upload.name] = blob
        return web.json_response(blob.resource(upload.bucket, upload.name))

    def _precondition(self, objects: dict[str, _Blob], name: str, wanted: str | None) -> web.Response | None:
        there = str(objects[name].generation) if name in objects else "0"
        if not self._preconditions or wanted in (None, there):
            return None
        return _refused(412, "At least one of the pre-conditions you specified did not hold.")


def _added(upload: _Upload, asked: re.Match[str], body: bytes) -> bool:
    """Append a piece to an upload, unless it does not fit."""
    if asked[1] is None:
        return not body
    start, end = int(asked[1]), int(asked[2])
    last = asked[3] != "*" and end + 1 == int(asked[3])
    if len(body) != end + 1 - start or start > len(upload.data) or (not last and len(body) % (1 << 18)):
        return False
    upload.data += body[len(upload.data) - start :]
    return True


def _page(items: list[dict[str, Any]], prefixes: list[str], token: str | None) -> dict[str, Any]:
    page: dict[str, Any] = {"kind": "storage#objects"}
    found = {"items": items, "prefixes": prefixes, "nextPageToken": token}
    return page | {key: value for key, value in found.items() if value}


def _related(kind: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    """Split a multipart/related body, with either line ending, into its resource, content type and data."""
    boundary = re.search(r'boundary="?([^";]+)"?', kind)
    assert boundary is not None
    mark = b"--" + boundary[1].encode()
    body = body.lstrip(b"\r\n")
    _, described, rest = body.split(mark, 2)
    resource = json.loads(re.split(rb"\r?\n\r?\n", described, maxsplit=1)[1])
    head, data = re.split(rb"\r?\n\r?\n", rest, maxsplit=1)
    data = data[: data.rindex(mark + b"--")]
    data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    content = re.search(rb"(?i)content-type:\s*([^\s;]+)", head)
    return resource, content[1].decode() if content else "application/octet-stream", data


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _refused(status: int, message: str, *, plain: bool = False) -> web.Response:
    if plain:
        return web.Response(status=status, text=message)
    error = {"code": status, "message": message, "errors": [{"message": message, "domain": "global"}]}
    return web.json_response({"error": error}, status=status)
