"""Version (a): Python encrypts, and the database sees tokens only.

This is what many applications look like today. Nothing here knows of pg_fernet,
which can read, check and rotate the same columns all the same.
"""

from sqlalchemy import BigInteger, Column, Integer, Text
from sqlalchemy.orm import declarative_base

from .cipher import decrypt, encrypt

Base = declarative_base()


class SlackConnection(Base):
    __tablename__ = "slack_connection"
    __table_args__ = {"schema": "integrations"}

    id = Column(BigInteger, primary_key=True)
    name = Column(Text, nullable=False)
    revision = Column(Integer, nullable=False, default=1)
    bot_token_encrypted = Column(Text)

    @property
    def bot_token(self) -> str | None:
        return decrypt(self.bot_token_encrypted)

    @bot_token.setter
    def bot_token(self, plaintext: str | None) -> None:
        self.bot_token_encrypted = encrypt(plaintext)


class ConfluenceConnection(Base):
    __tablename__ = "confluence_connection"
    __table_args__ = {"schema": "integrations"}

    id = Column(BigInteger, primary_key=True)
    name = Column(Text, nullable=False)
    revision = Column(Integer, nullable=False, default=1)
    access_token_encrypted = Column(Text)

    @property
    def access_token(self) -> str | None:
        return decrypt(self.access_token_encrypted)

    @access_token.setter
    def access_token(self, plaintext: str | None) -> None:
        self.access_token_encrypted = encrypt(plaintext)
