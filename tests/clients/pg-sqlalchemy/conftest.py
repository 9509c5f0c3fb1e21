"""SQLAlchemy's suite as a dialect runs it, without the extensions it asks of PostgreSQL and without foreign keys."""

import pytest
from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.testing import provision

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F401, F403

import sqlalchemy.dialects.postgresql.provision  # noqa: E402, F401
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler  # noqa: E402


@provision.post_configure_engine.for_db("postgresql")
def without_extensions(url, engine, follower_ident):
    """citext and hstore are for tests of PostgreSQL's own."""


# The server refuses foreign keys, and many tests define some beside what they are about. What is about them is in
# requirements.py.
PGDDLCompiler.visit_foreign_key_constraint = lambda *_, **__: None
_comment = PGDDLCompiler.visit_set_constraint_comment
PGDDLCompiler.visit_set_constraint_comment = lambda self, said, **more: (
    "SELECT 'a comment on a foreign key'" if isinstance(said.element, ForeignKeyConstraint) else _comment(self, said, **more))
