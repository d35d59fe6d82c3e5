"""Version (b): the database encrypts. The columns of version (a), with a type.

Whatever used "bot_token" and "access_token" does not notice the difference.
"""

from sqlalchemy import BigInteger, Column, Integer, Text
from sqlalchemy.orm import declarative_base

from .fernet_text import FernetText

Base = declarative_base()


class SlackConnection(Base):
    __tablename__ = "slack_connection"
    __table_args__ = {"schema": "integrations"}

    id = Column(BigInteger, primary_key=True)
    name = Column(Text, nullable=False)
    revision = Column(Integer, nullable=False, default=1)
    bot_token = Column("bot_token_encrypted", FernetText)


class ConfluenceConnection(Base):
    __tablename__ = "confluence_connection"
    __table_args__ = {"schema": "integrations"}

    id = Column(BigInteger, primary_key=True)
    name = Column(Text, nullable=False)
    revision = Column(Integer, nullable=False, default=1)
    access_token = Column("access_token_encrypted", FernetText)
