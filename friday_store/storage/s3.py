"""S3 and what speaks it: ``If-None-Match: *`` makes a write a creation.

Uploads carry an MD5 that the server checks. Large files go in parts, and the condition stands on the completion, so
nothing is visible before; an upload that fails is aborted. (A process that is killed leaves parts behind, which cost
money until they are removed: give the bucket a rule for incomplete multipart uploads.)

An answer of 409 means that another write of the name is under way: it is tried again, and then taken for a loss.
"""

from __future__ import annotations

import asyncio
import base64
import builtins
import contextlib
import functools
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiobotocore.session
import botocore
import s3fs
from botocore import exceptions, parsers

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry
from friday_store.storage.download import Body
from friday_store.storage.failure import Advice, Broken, Refused
from friday_store.storage.patience import Clock, persist, together
from friday_store.storage.remote import CONFLICT, MISSING, UNSHARED, RemoteStorage, in_flight, part_size, read_part
from friday_store.storage.transport import broken

_CONDITIONAL: Final = (1, 36)
_BLOCK: Final = 1 << 18
_KEYS: Final = 1000
_CONNECTIONS: Final = 32
_STATUSES: Final = {"PreconditionFailed": 412, "ConditionalRequestConflict": 409, "ConcurrentModification": 409}
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_CREDENTIALS: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.TokenRetrievalError,
    exceptions.UnauthorizedSSOTokenError,
)
_UNREADABLE: Final = (
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    parsers.ResponseParserError,
)


@functools.cache
def _loader() -> Any:
    """Return what reads botocore's descriptions of services: parsing them anew took 170 ms for each storage opened."""
    return aiobotocore.session.AioSession().get_component("data_loader")


def _session() -> Any:
    """Return a session of its own, credentials and all, that shares nothing but the descriptions of services."""
    session = aiobotocore.session.AioSession()
    session.register_component("data_loader", _loader())
    return session


class S3Storage(RemoteStorage):
    """Files below one prefix of an S3 bucket."""

    advice = Advice(
        bucket="create the bucket ('aws s3 mb s3://{}'), or correct its name in the URL",
        credentials="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the option 'profile', or 'key' and 'secret'",
        rights="reading needs the rights s3:GetObject and s3:ListBucket; writing s3:PutObject as well, and removing "
        "s3:DeleteObject",
    )

    def _connected(self) -> tuple[Any, str]:
        if tuple(int(part) for part in botocore.__version__.split(".")[:2]) < _CONDITIONAL:
            # s3fs would leave out the condition without a word, and every write would replace what is there
            said = f"cannot open {self.url}: botocore {botocore.__version__} knows no conditional writes"
            raise StorageError(said, hint="pip install -U 'friday-store[s3]' 'botocore>=1.36'")
        attempt = self.patience.attempt
        config: dict[str, Any] = {
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connect_timeout": min(attempt, 10),
            "read_timeout": attempt,
            "max_pool_connections": _CONNECTIONS,
            # servers other than Amazon's stumble over checksums in trailers, and uploads carry an MD5
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        settings = {"config_kwargs": config | (self._options.get("config_kwargs") or {})}
        shared = {} if {"profile", "session"} & self._options.keys() else {"session": _session()}
        fs = s3fs.S3FileSystem(**{**self._options, **settings, **shared, **UNSHARED})
        fs.retries = 1
        self.bucket, prefix, _ = fs.split_path(self.url)
        return fs, f"{prefix}/" if prefix else ""

    async def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            fs, _ = self._filesystem()
            reply: dict[str, Any] = await fs._call_s3(method, Bucket=self.bucket, **arguments)  # noqa: SLF001
        except Exception as error:
            raise _meant(error) from error
        return reply

    @contextlib.asynccontextmanager
    async def _get(self, key: str, start: int, end: int | None) -> AsyncIterator[Body]:
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        reply = await self._call("get_object", Key=key, Range=wanted)
        stream = reply["Body"]

        async def blocks() -> AsyncIterator[bytes]:
            try:
                while block := await stream.read(_BLOCK):
                    yield block
            except Exception as error:
                raise _meant(error) from error

        try:
            found = _CONTENT_RANGE.fullmatch(reply.get("ContentRange", ""))
            if found is None:
                yield Body(0, reply.get("ContentLength"), reply.get("ETag", ""), blocks())
            else:
                total = None if found[3] == "*" else int(found[3])
                yield Body(int(found[1]), total, reply.get("ETag", ""), blocks())
        finally:
            stream.close()

    async def _head(self, key: str) -> Entry:
        reply = await self._call("head_object", Key=key)
        return Entry(key.rpartition("/")[2], reply["ContentLength"], reply["LastModified"].timestamp(), folder=False)

    async def _look(self) -> None:
        try:
            await self._call("head_bucket")
        except Refused as error:
            if error.status == MISSING:
                raise Refused(MISSING, "NoSuchBucket", "the bucket does not exist") from error
            raise

    async def _page(
        self,
        prefix: str,
        token: str | None,
        clock: Clock | None = None,  # noqa: ARG002 - a page is small
    ) -> tuple[builtins.list[Entry], str | None]:
        more = {"ContinuationToken": token} if token else {}
        reply = await self._call("list_objects_v2", Prefix=prefix, Delimiter="/", **more)
        skipped = len(prefix)
        folders = [Entry(item["Prefix"][skipped:-1], 0, 0.0, folder=True) for item in reply.get("CommonPrefixes", ())]
        files = [
            Entry(item["Key"][skipped:], item["Size"], item["LastModified"].timestamp(), folder=False)
            for item in reply.get("Contents", ())
        ]
        return folders + files, reply.get("NextContinuationToken") if reply.get("IsTruncated") else None

    async def _put(self, key: str, data: Buffer) -> None:
        body = bytes(data)
        await self._call("put_object", Key=key, Body=body, ContentMD5=_md5(body), IfNoneMatch="*")

    async def _remove(self, keys: builtins.list[str]) -> None:
        for first in range(0, len(keys), _KEYS):
            await persist(self.patience, functools.partial(self._remove_some, keys[first : first + _KEYS]))

    async def _remove_some(self, keys: builtins.list[str], _: Clock) -> None:
        reply = await self._call("delete_objects", Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
        failed = [error for error in reply.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
        if failed:
            code, key = failed[0].get("Code", ""), failed[0].get("Key", "")
            status = 403 if code == "AccessDenied" else 0
            raise Refused(status, code, f"{key} and {len(failed) - 1} more: {failed[0].get('Message', '')}")

    def _upload(self, path: str, local: Path, size: int, sent: Callable[[int], None]) -> bool:
        key = self._key(path)
        begun = self.ask("write", path, lambda: self._persist("create_multipart_upload", Key=key))
        upload = {"Key": key, "UploadId": begun["UploadId"]}
        done = False
        try:
            parts = self.ask("write", path, lambda: self._parts(upload, local, size, sent))
            done = self.ask("write", path, lambda: self._complete(upload, parts))
        finally:
            if not done:
                # what failed first is what matters; the parts then wait for the bucket's own rule
                with contextlib.suppress(StorageError):
                    self.ask("give up", path, lambda: self._abort(upload))
        return done

    def unfinished(self) -> builtins.list[Entry]:
        """Return the uploads that were begun and neither finished nor given up, by path and time of their beginning."""
        return self.ask("list uploads to", "", self._unfinished)

    async def _unfinished(self) -> builtins.list[Entry]:
        _, prefix = self._filesystem()
        found: builtins.list[Entry] = []
        after: dict[str, str] = {}
        while True:
            reply = await self._persist("list_multipart_uploads", Prefix=prefix, **after)
            found += (
                Entry(item["Key"][len(prefix) :], 0, item["Initiated"].timestamp(), folder=False)
                for item in reply.get("Uploads", ())
            )
            if not reply.get("IsTruncated") or not reply.get("NextKeyMarker"):
                return found
            after = {"KeyMarker": reply["NextKeyMarker"], "UploadIdMarker": reply.get("NextUploadIdMarker", "")}

    async def _persist(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await persist(self.patience, lambda _: self._call(method, **arguments))

    async def _parts(
        self, upload: dict[str, str], local: Path, size: int, sent: Callable[[int], None]
    ) -> builtins.list[dict[str, Any]]:
        length = part_size(size)

        async def send(number: int) -> dict[str, Any]:
            start = number * length
            data = await asyncio.to_thread(read_part, local, start, min(length, size - start))
            digest = await asyncio.to_thread(_md5, data)
            part = {**upload, "PartNumber": number + 1, "ContentMD5": digest, "Body": data}
            reply = await persist(self.patience, lambda _: self._call("upload_part", **part), size=len(data))
            sent(len(data))
            return {"PartNumber": number + 1, "ETag": reply["ETag"]}

        return await together([functools.partial(send, n) for n in range(-(-size // length))], in_flight(length))

    async def _complete(self, upload: dict[str, str], parts: builtins.list[dict[str, Any]]) -> bool:
        listed = {**upload, "MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}

        async def complete(_: Clock) -> None:
            await self._call("complete_multipart_upload", **listed)

        try:
            return await self.won(lambda: persist(self.patience, complete, again=(CONFLICT,)))
        except Refused as error:
            # the upload is over: an answer was lost, or another writer's file is there
            if (
                error.code == "NoSuchUpload"
                and await self._unless_missing(lambda _: self._head(upload["Key"])) is not None
            ):
                return False
            raise

    async def _abort(self, upload: dict[str, str]) -> None:
        try:
            await persist(self.afterwards(), lambda _: self._call("abort_multipart_upload", **upload))
        except Refused as error:
            if error.status != MISSING:
                raise


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _meant(error: Exception) -> Refused | Broken:
    """Return what a failure of s3fs and below means."""
    for link in (error, error.__cause__, error.__context__):
        if isinstance(link, exceptions.ClientError):
            said = link.response.get("Error", {})
            status = link.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(said.get("Code", status))
            return Refused(_STATUSES.get(code, status), code, str(said.get("Message", "")))
        if isinstance(link, _CREDENTIALS):
            return Refused(401, "NoCredentials", str(link))
    if isinstance(error, _UNREADABLE):
        return broken(error) or Broken("reply", f"{type(error).__name__}: {error}")
    return broken(error) or Refused(0, type(error).__name__, str(error))
