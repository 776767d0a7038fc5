"""PLACEHOLDER until merged."""

from taskmill.store.sqlite.rows import selection_values
from taskmill.store.sqlite.statements import SQL


def select_ids(db, selection):
    sql = SQL["count"].replace("SELECT count(*)", "SELECT id") + " ORDER BY id"
    return tuple(i for (i,) in db.execute(sql, selection_values(selection)))
