#!/usr/bin/env python3
"""An order and its job in one session, with SQLAlchemy 2: pip install sqlalchemy 'psycopg[binary]'."""
import os

from sqlalchemy import BigInteger, Identity, Text, create_engine, make_url
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "app_order"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    item: Mapped[str] = mapped_column(Text)


class Job(Base):  # of the table's columns those that this application sets
    __tablename__, __table_args__ = "job", {"schema": "legwork"}
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict] = mapped_column(JSONB)


def place_order(session, item):
    order = Order(item=item)
    session.add(order)
    session.flush()  # the database gives the order its id
    session.add(Job(kind="send_receipt", payload={"order": order.id, "item": item}))
    session.flush()


engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))
with Session(engine) as session:
    place_order(session, "book")
    session.commit()
    place_order(session, "pen")
    session.rollback()  # neither order nor job
