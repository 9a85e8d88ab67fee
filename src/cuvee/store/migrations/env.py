"""Alembic runs this to bring a ledger up to date; `cuvee.store.ledger` hands it the connection."""

from alembic import context

from cuvee.store.schema import METADATA

# Schema changes are part of the transaction, so a migration that is killed leaves no trace; but in MySQL each one is there at once, and the
# version follows when the next one is. So what a migration does must be such that it can be done again: the next to open does all of it.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()
