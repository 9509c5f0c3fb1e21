"""SQLAlchemy 2 over psycopg and asyncpg: Core with every type, the ORM, and what reflection finds."""

import asyncio
import datetime as dt
import decimal
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, insert
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from harness import case, main


def engine_of(address):
    return sa.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))


def every_type(metadata):
    return sa.Table(
        "every",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("c_text", sa.Text, nullable=False, server_default="none"),
        sa.Column("c_string", sa.String(20), index=True),
        sa.Column("c_small", sa.SmallInteger),
        sa.Column("c_big", sa.BigInteger),
        sa.Column("c_numeric", sa.Numeric(12, 2), sa.CheckConstraint("c_numeric >= 0", name="not_negative")),
        sa.Column("c_real", sa.REAL),
        sa.Column("c_double", sa.Double),
        sa.Column("c_bool", sa.Boolean),
        sa.Column("c_date", sa.Date),
        sa.Column("c_timestamp", sa.DateTime),
        sa.Column("c_timestamptz", sa.DateTime(timezone=True)),
        sa.Column("c_interval", sa.Interval),
        sa.Column("c_bytes", BYTEA),
        sa.Column("c_json", sa.JSON),
        sa.Column("c_jsonb", JSONB),
        sa.Column("c_uuid", sa.Uuid),
        sa.Column("c_ints", ARRAY(sa.Integer)),
        sa.UniqueConstraint("c_small", "c_big", name="both"),
    )


ROW = {
    "id": 1,
    "c_text": "text",
    "c_string": "twenty",
    "c_small": -1,
    "c_big": 2**62,
    "c_numeric": decimal.Decimal("10.50"),
    "c_real": 1.5,
    "c_double": 0.1,
    "c_bool": True,
    "c_date": dt.date(2024, 2, 29),
    "c_timestamp": dt.datetime(2024, 2, 29, 1, 2, 3, 4),
    "c_timestamptz": dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.timezone.utc),
    "c_interval": dt.timedelta(days=2, seconds=3),
    "c_bytes": b"\x00\xff",
    "c_json": {"a": [1, None]},
    "c_jsonb": {"a": {"b": "c"}},
    "c_uuid": uuid.UUID("9f1c3f3e-6c2b-4a53-9b53-0242ac120002"),
    "c_ints": [1, 2, 3],
}


@case
def core_writes_and_reads_every_type(address):
    metadata = sa.MetaData()
    every = every_type(metadata)
    with engine_of(address).begin() as db:
        metadata.create_all(db)
        db.execute(every.insert(), ROW)
        assert dict(db.execute(every.select()).mappings().one()) == ROW
        assert db.scalar(sa.select(every.c.c_jsonb["a"]["b"].astext)) == "c"
        assert db.scalar(sa.select(every.c.id).where(every.c.c_ints.contains([2]))) == 1
        db.execute(every.insert(), [{"id": n, "c_small": n} for n in range(2, 500)])
        assert db.scalar(sa.select(sa.func.count()).where(every.c.c_text == "none")) == 498
        upsert = insert(every).values(id=1, c_string="new")
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_={"c_string": upsert.excluded.c_string})
        assert db.execute(upsert.returning(every.c.c_string, every.c.c_text)).one() == ("new", "text")


@case
def reflection_finds_what_was_declared(address):
    metadata = sa.MetaData()
    declared = every_type(metadata)
    engine = engine_of(address)
    metadata.create_all(engine)
    # A second time finds them there.
    metadata.create_all(engine)
    inspector = sa.inspect(engine)
    assert inspector.get_table_names() == ["every"] and inspector.has_table("every") and not inspector.has_table("no")
    assert inspector.get_schema_names() == ["information_schema", "public"]
    assert inspector.get_pk_constraint("every")["constrained_columns"] == ["id"]
    assert [i["name"] for i in inspector.get_indexes("every")] == ["both", "ix_every_c_string"]
    assert inspector.get_unique_constraints("every")[0]["column_names"] == ["c_small", "c_big"]
    [check] = inspector.get_check_constraints("every")
    assert (check["name"], check["sqltext"].replace("(", "").replace(")", "")) == ("not_negative", "c_numeric >= 0"), check
    assert inspector.get_foreign_keys("every") == [] and inspector.get_view_names() == []
    found = sa.Table("every", sa.MetaData(), autoload_with=engine)
    for column in declared.c:
        other = found.c[column.name]
        assert other.type.compile(engine.dialect) == column.type.compile(engine.dialect), (column, other.type)
        assert other.nullable == column.nullable and other.primary_key == column.primary_key, column
    assert "none" in str(found.c.c_text.server_default.arg)


@case
def the_orm_makes_keys_and_relates(address):
    class Base(DeclarativeBase):
        pass

    class Owner(Base):
        __tablename__ = "owner"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(50), unique=True)

    class Vehicle(Base):
        __tablename__ = "vehicle"
        vin: Mapped[str] = mapped_column(primary_key=True)
        owner_id: Mapped[int]
        details: Mapped[dict] = mapped_column(JSONB)

    engine = engine_of(address)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        owners = [Owner(name=f"owner {n}") for n in range(200)]
        session.add_all(owners)
        session.flush()
        assert len({o.id for o in owners}) == 200
        session.add_all(Vehicle(vin=f"v{o.id}", owner_id=o.id, details={"year": 2000 + o.id}) for o in owners)
        session.commit()
        rows = sa.select(Owner.name, Vehicle.vin).join(Vehicle, Vehicle.owner_id == Owner.id).where(Owner.name == "owner 7")
        assert session.execute(rows).one() == ("owner 7", f"v{owners[7].id}")
        vehicle = session.get(Vehicle, f"v{owners[3].id}")
        vehicle.details = {"year": 1999}
        session.delete(owners[5])
        session.commit()
        assert session.scalar(sa.select(Vehicle.details["year"].as_integer()).where(Vehicle.vin == vehicle.vin)) == 1999
        assert session.scalar(sa.select(sa.func.count(Owner.id))) == 199
        session.add(Owner(name="owner 7"))
        try:
            session.commit()
            raise AssertionError("a name was taken twice")
        except sa.exc.IntegrityError as error:
            assert error.orig.sqlstate == "23505"
            session.rollback()
        # RETURNING in bulk, in the order of the parameters.
        names = [{"name": f"bulk {n}"} for n in range(1500)]
        returned = session.scalars(sa.insert(Owner).returning(Owner, sort_by_parameter_order=True), names).all()
        assert [o.name for o in returned] == [n["name"] for n in names]
        with session.begin_nested():
            session.execute(sa.update(Owner).where(Owner.name.like("bulk%")).values(name=Owner.name + "!"))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).where(Owner.name.endswith("!"))) == 1500


@case
def the_asynchronous_engine_does_the_same(address):
    metadata = sa.MetaData()
    every = every_type(metadata)

    async def work():
        engine = create_async_engine(address.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.begin() as db:
            await db.run_sync(metadata.create_all)
            await db.execute(every.insert(), ROW)
            assert dict((await db.execute(every.select())).mappings().one()) == ROW
            columns = await db.run_sync(lambda c: sa.inspect(c).get_columns("every"))
            assert [c["name"] for c in columns] == [c.name for c in every.c]
        await engine.dispose()

    asyncio.run(work())


@case
def a_large_result_is_streamed(address):
    with engine_of(address).connect() as db:
        rows = db.execution_options(yield_per=1000).execute(sa.text("SELECT n FROM generate_series(1, 20000) AS s (n)"))
        assert sum(n for (n,) in rows) == 20000 * 20001 // 2


if __name__ == "__main__":
    main()
