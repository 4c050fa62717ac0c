"""The index's tables as SQLAlchemy 2 mapped classes, for anyone's own :class:`~sqlalchemy.orm.Session`.

They are filled by the mirror alone and have no queries of their own::

    engine = create_engine("sqlite:///models/index.db")
    with Session(engine) as session:
        session.scalars(select(ModelMetadata).join(ModelTag).where(ModelTag.tag == "AAPL")).all()

Open the file for reading only: what is written into it is gone when the index is made anew. The index of a registry
is up to date once the registry has answered a question.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

_NUMBER: TypeEngine[float] = Double().with_variant(REAL, "sqlite")
_BIRTH = BigInteger().with_variant(Integer, "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """Return the options of an index over the rows that meet a condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Base(DeclarativeBase):
    """The tables of one index."""


class ModelMetadata(Base):
    """One version.

    Attributes:
        id: The birth of its ref; ascending in the order of registration.
        model_id: Its digest, 64 hex characters.
        model_name: The model's name.
        model_version: Its semantic version.
        precedence: Text that sorts, byte by byte, as versions do.
        stable: 1 for a release, 0 for a pre-release.
        model_type: The kind of model.
        description: As last said.
        status: As last set.
        serializer: The format's name.
        artifact: The digest of its bytes' description: equal models have equal artifacts.
        size_bytes: Uncompressed size.
        author: Who made it.
        created_at: Microseconds since 1970 UTC.
        updated_at: The time of the last note about it.
        origin: The id of the repository that it was copied from; empty for one's own.
        details: The sections of facts as JSON.
        seal: CRC-32 of the other columns.
        tags: Its tags of today.
        metrics: Every observation of its metrics.
    """

    __tablename__ = "model_metadata"
    __table_args__ = (
        UniqueConstraint("model_name", "model_version"),
        Index("model_by_precedence", "model_name", text("precedence DESC"), text("id DESC"), "stable"),
        Index("version_by_status", "status", "id", **_where("status <> 'active'")),
    )

    id: Mapped[int] = mapped_column(_BIRTH, primary_key=True, autoincrement=False)
    model_id: Mapped[str] = mapped_column(String(64), unique=True)
    model_name: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str] = mapped_column(Text)
    precedence: Mapped[str] = mapped_column(Text)
    stable: Mapped[int] = mapped_column(SmallInteger)
    model_type: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    serializer: Mapped[str] = mapped_column(Text)
    artifact: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    author: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    seal: Mapped[int] = mapped_column(BigInteger)

    tags: Mapped[list[ModelTag]] = relationship(viewonly=True, order_by="ModelTag.tag")
    metrics: Mapped[list[ModelMetric]] = relationship(viewonly=True, order_by="ModelMetric.position")


class ModelTag(Base):
    """One tag of one version."""

    __tablename__ = "model_tags"
    __table_args__ = (Index("version_by_tag", "tag", "version_id"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("model_metadata.id"), type_=BigInteger, primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)


class ModelMetric(Base):
    """One observation of one metric; ``value`` is None for what is not a number, ``latest`` 1 for the newest."""

    __tablename__ = "model_metrics"
    __table_args__ = (Index("version_by_metric", "name", "value", "version_id", "latest", **_where("latest = 1")),)

    version_id: Mapped[int] = mapped_column(ForeignKey("model_metadata.id"), type_=BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[float | None] = mapped_column(_NUMBER)
    step: Mapped[int | None] = mapped_column(BigInteger)
    time: Mapped[int] = mapped_column(BigInteger)
    latest: Mapped[int] = mapped_column(SmallInteger)


class ModelParent(Base):
    """One parent of one version, by digest; it need not be here."""

    __tablename__ = "model_parents"
    __table_args__ = (Index("version_by_parent", "parent", "version_id"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("model_metadata.id"), type_=BigInteger, primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent: Mapped[str] = mapped_column(String(64))


class ModelAlias(Base):
    """One alias of one model."""

    __tablename__ = "model_aliases"
    __table_args__ = (Index("alias_by_model", "model_id"),)

    model_name: Mapped[str] = mapped_column(Text, primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[str] = mapped_column(String(64))
