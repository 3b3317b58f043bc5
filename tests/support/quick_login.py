"""A login of an MLflow server's that is checked quickly.

MLflow hashes passwords so that a check takes a tenth of a second of a core, and checks one at each request.
"""

from __future__ import annotations

from werkzeug.security import generate_password_hash


def statement(password: str) -> str:
    """What has a server's database hold the same password of its administrator under a hash that takes no time."""
    quick = generate_password_hash(password, method="pbkdf2:sha256:1000")
    return f"UPDATE users SET password_hash = '{quick}' WHERE username = 'admin'"
