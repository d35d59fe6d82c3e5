"""A model that is found by an encrypted value."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlalchemy.orm import declarative_base

from .fernet_text import FernetText

Base = declarative_base()


class Contact(Base):
    __tablename__ = "contact"
    __table_args__ = {"schema": "integrations"}

    id = Column(BigInteger, primary_key=True)
    email = Column(
        "email_encrypted", FernetText(index="email_index", context="contact.email")
    )
    # The database writes it: see contacts.sql.
    email_index = Column(LargeBinary)
