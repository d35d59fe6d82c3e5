"""How the platform writes and reads: properties over Fernet with one key."""

from cryptography.fernet import Fernet
from support import NEW_KEY, OLD_KEY, UNREADABLE, decrypted, execute, query

# TOKEN_ENCRYPTION_KEY
BEFORE = OLD_KEY
AFTER = NEW_KEY

NOT_ENCRYPTED = {("Wiki", "refresh_token")}


class Property:
    """bot_token over bot_token_encrypted, and the like."""

    def __init__(self, key):
        self.fernet = Fernet(key)

    def encrypt(self, value):
        return None if value is None else self.fernet.encrypt(value.encode()).decode()

    def decrypt(self, token):
        if token is None:
            return None
        plaintext = decrypted(self.fernet.decrypt, token.encode())
        return plaintext if plaintext is UNREADABLE else plaintext.decode()


def write(connection):
    old = Property(BEFORE)
    for team in ("T1", "T2"):
        execute(
            connection,
            "INSERT INTO slack_connections (team_id, bot_token_encrypted)"
            " VALUES (%s, %s)",
            (team, old.encrypt(f"xoxb-{team}")),
        )
    for site, refresh in (("Docs", "refresh-1"), ("Wiki", None)):
        execute(
            connection,
            "INSERT INTO confluence_connections"
            " (site, access_token_encrypted, refresh_token_encrypted)"
            " VALUES (%s, %s, %s)",
            (site, old.encrypt(f"access of {site}"), old.encrypt(refresh)),
        )
    return {
        ("T1", "bot_token"): "xoxb-T1",
        ("T2", "bot_token"): "xoxb-T2",
        ("Docs", "access_token"): "access of Docs",
        ("Docs", "refresh_token"): "refresh-1",
        ("Wiki", "access_token"): "access of Wiki",
        ("Wiki", "refresh_token"): None,
    }


def read(connection, key):
    here = Property(key)
    values = {}
    for team, token in query(
        connection, "SELECT team_id, bot_token_encrypted FROM slack_connections"
    ):
        values[team, "bot_token"] = here.decrypt(token)
    for site, access, refresh in query(
        connection,
        "SELECT site, access_token_encrypted, refresh_token_encrypted"
        " FROM confluence_connections",
    ):
        values[site, "access_token"] = here.decrypt(access)
        values[site, "refresh_token"] = here.decrypt(refresh)
    return values


def shell_environment(folder):
    return {"TOKEN_ENCRYPTION_KEY": BEFORE, "NEW_KEY": NEW_KEY}
