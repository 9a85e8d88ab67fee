"""Alembic runs this to bring a ledger up to date; `cuvee.store.ledger` hands it the connection."""

from alembic import context

from cuvee.store.schema import METADATA

# Schema changes are part of the transaction, so a migration that is killed leaves no trace.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()
