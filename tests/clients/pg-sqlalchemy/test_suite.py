"""SQLAlchemy's dialect suite, whole."""

from sqlalchemy.testing.suite import *  # noqa: F401, F403
