//! Revocation lists, in SQLite.

use super::{SqliteStore, engine, instant, kind_code, reason, serial_number, signed, unsigned};
use crate::CertificateKind;
use crate::store::{
    BaseList, KeptList, ListDraft, ListForm, ListName, ListScope, ListStore, RoundDraft, SignedList,
    StoreError,
};
use pki::crl::RevokedEntry;
use pki::revocation::RevocationReason;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

/// Code of a scope; -1 is everything.
fn scope_code(scope: ListScope) -> i64 {
    match scope {
        ListScope::Everything => -1,
        ListScope::Shard(shard) => shard.into(),
    }
}

const fn form_code(form: ListForm) -> i64 {
    match form {
        ListForm::Complete => 0,
        ListForm::Delta => 1,
    }
}

fn name_of(scope: i64, form: i64) -> Result<ListName, StoreError> {
    let unreadable = StoreError::Unreadable("the name of a list");
    let scope = match scope {
        -1 => ListScope::Everything,
        shard => ListScope::Shard(u16::try_from(shard).map_err(|_| unreadable.clone())?),
    };
    match form {
        0 => Ok(ListName { scope, form: ListForm::Complete }),
        1 => Ok(ListName { scope, form: ListForm::Delta }),
        _ => Err(unreadable),
    }
}

/// The complete list of a scope that was kept last.
struct LastComplete {
    this_update: i64,
    list: BaseList,
    previous: Option<BaseList>,
}

fn last_complete(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    scope: ListScope,
) -> Result<Option<LastComplete>, StoreError> {
    const LAST: &str = "SELECT number, this_update, seen, previous_number, previous_seen FROM published
        WHERE kind = ?1 AND scope = ?2 AND form = 0";
    type Found = (i64, i64, i64, Option<i64>, Option<i64>);
    let row: Option<Found> = transaction
        .prepare_cached(LAST)
        .and_then(|mut statement| {
            statement
                .query_row(params![kind_code(kind), scope_code(scope)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .optional()
        })
        .map_err(engine)?;
    let base = |number, seen| {
        Ok(BaseList {
            number: unsigned(number, "a list number")?,
            seen: unsigned(seen, "a count of changes")?,
        })
    };
    row.map(|(number, this_update, seen, previous_number, previous_seen)| {
        let previous =
            previous_number.zip(previous_seen).map(|(number, seen)| base(number, seen)).transpose()?;
        Ok(LastComplete { this_update, list: base(number, seen)?, previous })
    })
    .transpose()
}

fn entry(row: &Row<'_>) -> Result<RevokedEntry, StoreError> {
    let octets: Vec<u8> = row.get(0).map_err(engine)?;
    Ok(RevokedEntry {
        serial: serial_number(&octets)?,
        revoked_at: instant(row.get(1).map_err(engine)?)?,
        reason: reason(row.get(2).map_err(engine)?)?,
        invalid_since: None,
    })
}

/// What is revoked in a scope. Left out is only who expired before the last complete list was issued, and
/// whose status that list knew: it has been listed once after its last day (RFC 5280 §3.3).
fn complete_entries(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    scope: ListScope,
    last: Option<&LastComplete>,
) -> Result<Vec<RevokedEntry>, StoreError> {
    const OF_SHARD: &str = "SELECT serial, revoked_at, reason FROM certificate INDEXED BY certificate_revoked
        WHERE kind = ?1 AND shard = ?4 AND revoked_at IS NOT NULL
          AND NOT(coalesce(not_after, 9223372036854775807) < ?2 AND changed <= ?3) ORDER BY serial";
    const OF_ALL: &str = "SELECT serial, revoked_at, reason FROM certificate INDEXED BY certificate_revoked
        WHERE kind = ?1 AND ?4 = -1 AND revoked_at IS NOT NULL
          AND NOT(coalesce(not_after, 9223372036854775807) < ?2 AND changed <= ?3)";
    let (since, seen) = last.map_or((0, 0), |last| (last.this_update, signed(last.list.seen)));
    let query = if scope == ListScope::Everything { OF_ALL } else { OF_SHARD };
    let mut statement = transaction.prepare_cached(query).map_err(engine)?;
    let mut rows =
        statement.query(params![kind_code(kind), since, seen, scope_code(scope)]).map_err(engine)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(engine)? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

/// What changed in a scope since `base`: revocations, and releases as removeFromCRL (RFC 5280 §5.2.4).
fn changed_entries(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    scope: ListScope,
    base: BaseList,
) -> Result<Vec<RevokedEntry>, StoreError> {
    const OF_SHARD: &str = "SELECT serial, coalesce(revoked_at, released_at), coalesce(reason, ?4)
        FROM certificate INDEXED BY certificate_changed_in_shard
        WHERE kind = ?1 AND shard = ?2 AND changed > ?3 AND changed > 0 ORDER BY serial";
    const OF_ALL: &str = "SELECT serial, coalesce(revoked_at, released_at), coalesce(reason, ?4)
        FROM certificate INDEXED BY certificate_changed
        WHERE kind = ?1 AND ?2 = -1 AND changed > ?3 AND changed > 0 ORDER BY serial";
    let query = if scope == ListScope::Everything { OF_ALL } else { OF_SHARD };
    let removed = RevocationReason::RemoveFromCrl.code();
    let mut statement = transaction.prepare_cached(query).map_err(engine)?;
    let mut rows = statement
        .query(params![kind_code(kind), scope_code(scope), signed(base.seen), removed])
        .map_err(engine)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(engine)? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn draft(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    name: ListName,
) -> Result<Option<ListDraft>, StoreError> {
    let last = last_complete(transaction, kind, name.scope)?;
    match name.form {
        ListForm::Complete => {
            let entries = complete_entries(transaction, kind, name.scope, last.as_ref())?;
            Ok(Some(ListDraft { name, base: None, entries }))
        }
        ListForm::Delta => {
            // On the complete list before the last one: whoever still has that one is helped too.
            let Some(base) = last.map(|last| last.previous.unwrap_or(last.list)) else { return Ok(None) };
            let entries = changed_entries(transaction, kind, name.scope, base)?;
            Ok(Some(ListDraft { name, base: Some(base), entries }))
        }
    }
}

impl ListStore for SqliteStore {
    fn begin_round(&self, kind: CertificateKind, due: &[ListName]) -> Result<RoundDraft, StoreError> {
        const SPEND: &str = "INSERT INTO list(kind, number_spent) VALUES(?1, 1)
            ON CONFLICT(kind) DO UPDATE SET number_spent = number_spent + 1 RETURNING number_spent";
        self.write(|transaction| {
            let number: i64 =
                transaction.query_row(SPEND, [kind_code(kind)], |row| row.get(0)).map_err(engine)?;
            let seen: i64 = transaction
                .query_row("SELECT last FROM status_change", [], |row| row.get(0))
                .map_err(engine)?;
            let mut lists = Vec::with_capacity(due.len());
            for name in due {
                lists.extend(draft(transaction, kind, *name)?);
            }
            Ok(RoundDraft {
                number: unsigned(number, "a list number")?,
                seen: unsigned(seen, "a count of changes")?,
                lists,
            })
        })
    }

    fn keep_round(
        &self,
        kind: CertificateKind,
        number: u64,
        seen: u64,
        lists: &[SignedList],
    ) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO published(kind, scope, form, number, this_update, seen, der)
            VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT(kind, scope, form) DO UPDATE SET previous_number = number, previous_seen = seen,
              number = excluded.number, this_update = excluded.this_update, seen = excluded.seen,
              der = excluded.der WHERE number < excluded.number";
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(KEEP).map_err(engine)?;
            for list in lists {
                let (scope, form) = (scope_code(list.name.scope), form_code(list.name.form));
                let (number, seen, at) = (signed(number), signed(seen), signed(list.this_update.0));
                statement
                    .execute(params![kind_code(kind), scope, form, number, at, seen, list.der])
                    .map_err(engine)?;
            }
            Ok(())
        })
    }

    fn kept_lists(&self, kind: CertificateKind) -> Result<Vec<KeptList>, StoreError> {
        type Found = (i64, i64, i64, Vec<u8>);
        let rows: Vec<Found> = self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT scope, form, number, der FROM published WHERE kind = ?1")
                .map_err(engine)?;
            let rows = statement
                .query_map([kind_code(kind)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .map_err(engine)?;
            rows.collect::<Result<_, _>>().map_err(engine)
        })?;
        rows.into_iter()
            .map(|(scope, form, number, der)| {
                Ok(KeptList { name: name_of(scope, form)?, number: unsigned(number, "a list number")?, der })
            })
            .collect()
    }

    fn shards_named(&self, kind: CertificateKind) -> Result<u16, StoreError> {
        let count: Option<i64> = self.read(|connection| {
            connection
                .query_row("SELECT named FROM shard WHERE kind = ?1", [kind_code(kind)], |row| row.get(0))
                .optional()
                .map_err(engine)
        })?;
        u16::try_from(count.unwrap_or(0)).map_err(|_| StoreError::Unreadable("a shard"))
    }
}
