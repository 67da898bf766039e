"""One statement for both databases: names, and what stands for a value."""

from arsenal_fast.ledger.dialect import for_postgres, for_sqlite

STATEMENT = "UPDATE {t}meta SET value = {greatest}(value, ?) WHERE name = ?"


def test_a_statement_is_written_once_for_both_databases() -> None:
    assert for_sqlite(STATEMENT) == "UPDATE meta SET value = max(value, ?) WHERE name = ?"
    assert for_postgres(STATEMENT) == b"UPDATE arsenal_ledger.meta SET value = greatest(value, %s) WHERE name = %s"
