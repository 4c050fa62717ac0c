"""Google Cloud Storage: ``ifGenerationMatch=0`` makes a write a creation.

gcsfs brings credentials and connections; requests are made here, in the JSON interface, since gcsfs repeats them for
minutes, drops the store's words on the way, and asks a service of its own about every bucket. Uploads carry an MD5
that the service checks, and its reply is checked too. Large files go as a resumable upload, which is asked how far it
is after an interruption, so an answer that was lost is found again; one that fails is cancelled.

Buckets of the kind "rapid" (zonal), which have another interface, are not supported.
"""

from __future__ import annotations

import asyncio
import base64
import builtins
import contextlib
import datetime as dt
import functools
import hashlib
import io
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import google.auth.exceptions
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError, NonRetryableError

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry
from friday_store.storage.download import Body
from friday_store.storage.failure import Advice, Broken, Refused
from friday_store.storage.patience import Clock, persist, together
from friday_store.storage.remote import MISSING, UNSHARED, RemoteStorage, part_size, read_part
from friday_store.storage.spooling import on_disk
from friday_store.storage.transport import broken

_BLOCK: Final = 1 << 18
_PIECE: Final = 8 << 20
_DELETES: Final = 16
_GONE: Final = 410
_CANCELLED: Final = 499
_UNFINISHED: Final = 308
_TYPE: Final = "application/octet-stream"
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_GRANTS: Final = (HttpError, NonRetryableError, google.auth.exceptions.GoogleAuthError)


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def resource(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.body)
        except ValueError as error:
            raise Broken("reply", f"it is not JSON: {error}") from error
        return found


@dataclass
class _Upload:
    """A resumable upload under way.

    Attributes:
        key: The object's name.
        session: Its own URL, which is a secret.
        offset: How many bytes the service has.
        asked: Whether that is known; not after an interruption.
        resource: The object, once it is there.
    """

    key: str
    session: str
    offset: int = 0
    asked: bool = True
    resource: dict[str, Any] | None = None


class GcsStorage(RemoteStorage):
    """Files below one prefix of a GCS bucket."""

    advice = Advice(
        bucket="create the bucket ('gcloud storage buckets create gs://{}'), or correct its name in the URL",
        credentials="run 'gcloud auth application-default login', or give a key file with the option 'token'",
        rights="reading needs the role Storage Object Viewer; writing Storage Object Creator as well, and removing "
        "Storage Object User",
    )

    def _connected(self) -> tuple[Any, str]:
        try:
            fs = GCSFileSystem(**{**self._options, **UNSHARED})
        except _GRANTS as error:
            raise StorageError(
                f"cannot open {self.url}: {self.redacted(str(error))}", hint=self.advice.credentials
            ) from self.shown(error)
        self.bucket, prefix, _ = fs.split_path(self.url)
        return fs, f"{prefix}/" if prefix else ""

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        where: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        **query: str | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one request, and raise what is neither success nor an answer about an upload."""
        fs, _ = self._filesystem()
        attempt = self.patience.attempt
        limits = aiohttp.ClientTimeout(total=None, sock_connect=min(attempt, 10), sock_read=attempt)
        # gcsfs has no public way to make one request; what it does to ask for a token may block
        try:
            session = await fs._set_session()  # noqa: SLF001
            granted = await asyncio.to_thread(fs._get_headers, headers or {})  # noqa: SLF001
            async with session.request(
                method,
                where if where.startswith("http") else f"{fs._location.rstrip('/')}/{where}",  # noqa: SLF001
                params=fs._get_params(query),  # noqa: SLF001
                headers=granted,
                data=None if body is None else io.BytesIO(body),
                timeout=limits,
                allow_redirects=False,
            ) as reply:
                await _accept(reply)
                yield reply
        except (Refused, Broken):
            raise
        except _GRANTS as error:
            raise broken(error) or Refused(401, "NoCredentials", str(error)) from error
        except Exception as error:
            raise broken(error) or Refused(0, type(error).__name__, str(error)) from error

    async def _ask(self, method: str, where: str, **options: Any) -> _Reply:
        async with self._request(method, where, **options) as reply:
            return _Reply(reply.status, reply.headers, await reply.read())

    def _object(self, key: str) -> str:
        return f"storage/v1/b/{quote(self.bucket, safe='')}/o/{quote(key, safe='')}"

    @property
    def _uploads(self) -> str:
        return f"upload/storage/v1/b/{quote(self.bucket, safe='')}/o"

    @contextlib.asynccontextmanager
    async def _get(self, key: str, start: int, end: int | None) -> AsyncIterator[Body]:
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        where = f"download/{self._object(key)}"
        async with self._request("GET", where, headers={"Range": wanted}, alt="media") as reply:
            found = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
            first = int(found[1]) if found else 0
            total = reply.content_length if found is None else None if found[3] == "*" else int(found[3])
            yield Body(first, total, reply.headers.get("X-Goog-Generation", ""), reply.content.iter_chunked(_BLOCK))

    async def _head(self, key: str) -> Entry:
        return _entry((await self._ask("GET", self._object(key))).resource, key.rfind("/") + 1)

    async def _look(self) -> None:
        await self._listed(maxResults="1")

    async def _listed(self, **query: str | None) -> dict[str, Any]:
        try:
            return (await self._ask("GET", f"storage/v1/b/{quote(self.bucket, safe='')}/o", **query)).resource
        except Refused as error:
            if error.status == MISSING:
                raise Refused(MISSING, "NoSuchBucket", error.message) from error
            raise

    async def _page(
        self,
        prefix: str,
        token: str | None,
        clock: Clock | None = None,  # noqa: ARG002 - a page is small
    ) -> tuple[builtins.list[Entry], str | None]:
        page = await self._listed(prefix=prefix, delimiter="/", maxResults="1000", pageToken=token)
        folders = [Entry(name[len(prefix) : -1], 0, 0.0, folder=True) for name in page.get("prefixes", ())]
        files = [_entry(item, len(prefix)) for item in page.get("items", ())]
        return folders + files, page.get("nextPageToken")

    async def _put(self, key: str, data: Buffer) -> None:
        mark = f"=={secrets.token_hex(16)}=="
        described = json.dumps({"name": key, "md5Hash": _md5(data), "contentType": _TYPE})
        head = f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{described}\r\n"
        body = b"".join(
            [head.encode(), f"--{mark}\r\nContent-Type: {_TYPE}\r\n\r\n".encode(), data, f"\r\n--{mark}--\r\n".encode()]
        )
        kind = {"Content-Type": f'multipart/related; boundary="{mark}"'}
        reply = await self._ask(
            "POST", self._uploads, headers=kind, body=body, uploadType="multipart", ifGenerationMatch="0"
        )
        _confirm(reply.resource, memoryview(data).nbytes, _md5(data))

    async def _remove(self, keys: builtins.list[str]) -> None:
        async def remove(key: str) -> None:
            try:
                await persist(self.patience, lambda _: self._ask("DELETE", self._object(key)))
            except Refused as error:
                if error.status != MISSING or error.code == "NoSuchBucket":
                    raise

        await together([functools.partial(remove, key) for key in keys], _DELETES)

    def _upload(self, path: str, local: Path, size: int, sent: Callable[[int], None]) -> bool:
        key = self._key(path)
        with on_disk(local), local.open("rb") as file:
            md5 = base64.b64encode(hashlib.file_digest(file, _hasher).digest()).decode()
        upload: _Upload | None = None
        try:
            upload = self.ask("write", path, lambda: self._begun(key, size, md5))
            return upload is not None and self.ask("write", path, lambda: self._filled(upload, local, size, md5, sent))
        finally:
            if upload is not None and upload.resource is None:
                # what failed first is what matters; the service forgets the upload after a week
                with contextlib.suppress(StorageError):
                    self.ask("give up", path, lambda: self._cancel(upload))

    async def _begun(self, key: str, size: int, md5: str) -> _Upload | None:
        """Begin an upload; None if the name is taken."""
        described = json.dumps({"name": key, "md5Hash": md5}).encode()
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Type": _TYPE,
            "X-Upload-Content-Length": str(size),
        }
        found: builtins.list[_Reply] = []

        async def begin(_: Clock) -> None:
            options = {"headers": headers, "body": described, "uploadType": "resumable", "ifGenerationMatch": "0"}
            found.append(await self._ask("POST", self._uploads, **options))

        if not await self.won(lambda: persist(self.patience, begin)):
            return None
        if "Location" not in found[-1].headers:
            raise Broken("reply", "an upload was begun that is nowhere")
        return _Upload(key, found[-1].headers["Location"])

    async def _filled(self, upload: _Upload, local: Path, size: int, md5: str, sent: Callable[[int], None]) -> bool:
        """Send a file; False if another writer's is there, or its own and the service has forgotten how it came."""
        try:
            return await self._fill(upload, local, size, md5, sent)
        except Refused as error:
            gone = error.status in (MISSING, _GONE) and not upload.asked
            if not gone or await self._unless_missing(lambda _: self._head(upload.key)) is None:
                raise
            return False

    async def _fill(self, upload: _Upload, local: Path, size: int, md5: str, sent: Callable[[int], None]) -> bool:
        length = part_size(size)
        while upload.resource is None:
            before = upload.offset
            data = await asyncio.to_thread(read_part, local, before, min(length, size - before))
            send = functools.partial(self._advance, upload, data, before, size)
            if not await self.won(functools.partial(persist, self.patience, send, size=len(data))):
                return False
            sent((size if upload.resource is not None else upload.offset) - before)
        _confirm(upload.resource, size, md5)
        return True

    async def _advance(self, upload: _Upload, data: bytes, before: int, size: int, _: Clock) -> None:
        """Send a piece, or after an interruption what the service does not have of it."""
        if not upload.asked:
            await self._progress(upload, f"bytes */{size}", b"")
        start, end = upload.offset, before + len(data)
        if upload.resource is None and start < end:
            if start < before:
                raise Refused(0, "UploadLost", "the service has forgotten what it had of the file")
            upload.asked = False
            await self._progress(upload, f"bytes {start}-{end - 1}/{size}", data[start - before :])

    async def _progress(self, upload: _Upload, content: str, body: bytes) -> None:
        reply = await self._ask("PUT", upload.session, headers={"Content-Range": content}, body=body)
        upload.asked = True
        if reply.status == _UNFINISHED:
            held = reply.headers.get("Range")  # such as bytes=0-8388607; none when it has nothing
            upload.offset = 0 if held is None else int(held.rpartition("-")[2]) + 1
        elif reply.status in (200, 201):
            upload.resource = reply.resource
        else:
            raise Refused(reply.status, "UploadCancelled", "the upload is over")

    async def _cancel(self, upload: _Upload) -> None:
        try:
            await persist(
                self.afterwards(), lambda _: self._ask("DELETE", upload.session, headers={"Content-Length": "0"})
            )
        except Refused as error:
            if error.status not in (MISSING, _GONE):
                raise


def _hasher() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _md5(data: Buffer) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _confirm(resource: Mapping[str, Any], size: int, md5: str) -> None:
    """Make sure that the service has what was sent; it has no MD5 of some objects."""
    if int(resource.get("size", size)) != size or resource.get("md5Hash", md5) != md5:
        raise Refused(0, "ChecksumMismatch", "the service says that it has other bytes than were sent")


def _entry(resource: Mapping[str, Any], skipped: int) -> Entry:
    time = dt.datetime.fromisoformat(resource["updated"]).timestamp()
    return Entry(resource["name"][skipped:], int(resource.get("size", 0)), time, folder=False)


async def _accept(reply: aiohttp.ClientResponse) -> None:
    """Raise what a reply refuses; to be cancelled is what an upload was asked for."""
    if reply.status < 400 or reply.status == _CANCELLED:
        return
    text = (await reply.read()).decode(errors="replace")
    try:
        error = json.loads(text)["error"]
        message = error if isinstance(error, str) else str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        message = text[:200]
    code = "Error"
    if reply.status == MISSING:
        code = "NoSuchBucket" if "bucket does not exist" in message.lower() else "NoSuchObject"
        code = "NoSuchKey" if message.startswith("No such object") else code
    raise Refused(reply.status, code, " ".join(message.split()))
