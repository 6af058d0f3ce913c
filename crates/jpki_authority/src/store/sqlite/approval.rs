//! Operators, their requests and what came of them, in SQLite. A change and its line in the audit are one
//! transaction: there is no moment at which one is there without the other.

use super::certificates::revoke_one;
use super::{SqliteStore, audit, engine, instant, kind_code, signed, unsigned};
use crate::CertificateKind;
use crate::approval::desk::{
    ApprovalStore, Begun, Effect, Execution, Founding, InstitutionStanding, InstitutionStore, KeptRequest,
    RequestState,
};
use crate::approval::{
    Approved, OPERATORS_MIN, Operator, RequestId, Roster, SignedDecision, SignedRequest, Verdict,
};
use crate::audit::Entry;
use crate::store::{RevokeOutcome, StoreError};
use pki::serial::SerialNumber;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

/// Institutions whose terminals had certificates before there was approval stay accredited.
/// `state`: 0 pending, 1 approved, 2 begun, 3 executed, 4 refused. `verdict`: 1 approve, 0 refuse.
pub(super) const TABLES: &str = "
CREATE TABLE operator(
  name TEXT PRIMARY KEY, spki BLOB NOT NULL UNIQUE, enrolled_at INTEGER NOT NULL, removed_at INTEGER);
CREATE TABLE request(
  place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, operation BLOB NOT NULL, why TEXT NOT NULL,
  requested_by TEXT NOT NULL, requested_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  signature BLOB NOT NULL, state INTEGER NOT NULL, verdict INTEGER, decided_by TEXT, decided_at INTEGER,
  decision_signature BLOB, begun_serial BLOB, begun_at INTEGER, outcome TEXT NOT NULL DEFAULT '', product BLOB);
CREATE TABLE institution(code TEXT PRIMARY KEY, name TEXT NOT NULL, accredited INTEGER NOT NULL, at INTEGER NOT NULL);
INSERT INTO institution(code, name, accredited, at) SELECT institution, '', 1, min(spent_at) FROM key_reference
  WHERE institution NOT IN('accredited-body', 'batch') GROUP BY institution;
CREATE TABLE departure(kind INTEGER NOT NULL, serial BLOB NOT NULL, PRIMARY KEY(kind, serial)) WITHOUT ROWID;
CREATE TABLE delegate_order(one INTEGER PRIMARY KEY CHECK(one = 1), number INTEGER NOT NULL);
INSERT INTO delegate_order VALUES(1, 0);
";

const fn state_code(state: RequestState) -> i64 {
    match state {
        RequestState::Pending => 0,
        RequestState::Approved => 1,
        RequestState::Begun => 2,
        RequestState::Executed => 3,
        RequestState::Refused => 4,
    }
}

fn state_of(code: i64) -> Result<RequestState, StoreError> {
    [
        RequestState::Pending,
        RequestState::Approved,
        RequestState::Begun,
        RequestState::Executed,
        RequestState::Refused,
    ]
    .into_iter()
    .find(|state| state_code(*state) == code)
    .ok_or(StoreError::Unreadable("the state of a request"))
}

fn operators(connection: &Connection) -> Result<Roster, StoreError> {
    type Columns = (String, Vec<u8>, i64, Option<i64>);
    let mut statement = connection
        .prepare_cached(
            "SELECT name, spki, enrolled_at, removed_at FROM operator ORDER BY enrolled_at, rowid",
        )
        .map_err(engine)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .map_err(engine)?;
    let all: Vec<Columns> = rows.collect::<Result<_, _>>().map_err(engine)?;
    let operator = |(name, spki_der, enrolled_at, removed_at): Columns| {
        let removed_at = removed_at.map(instant).transpose()?;
        Ok(Operator { name, spki_der, enrolled_at: instant(enrolled_at)?, removed_at })
    };
    Ok(Roster(all.into_iter().map(operator).collect::<Result<_, StoreError>>()?))
}

/// Names and keys are never given twice, not even those of operators that are none any more.
fn enrol(transaction: &Transaction<'_>, operator: &Operator, at: UnixSeconds) -> Result<(), StoreError> {
    let inserted = transaction
        .execute(
            "INSERT OR IGNORE INTO operator(name, spki, enrolled_at) VALUES(?1, ?2, ?3)",
            params![operator.name, operator.spki_der, signed(at.0)],
        )
        .map_err(engine)?;
    if inserted == 1 { Ok(()) } else { Err(StoreError::OperatorKnown) }
}

fn set_institution(
    transaction: &Transaction<'_>,
    (code, name): (&InstitutionCode, Option<&str>),
    standing: InstitutionStanding,
    at: UnixSeconds,
) -> Result<(), StoreError> {
    const SET: &str =
        "INSERT INTO institution(code, name, accredited, at) VALUES(?1, coalesce(?2, ''), ?3, ?4)
        ON CONFLICT(code) DO UPDATE SET name = coalesce(?2, name), accredited = ?3, at = ?4";
    let accredited = standing == InstitutionStanding::Accredited;
    transaction.execute(SET, params![code.as_str(), name, accredited, signed(at.0)]).map(drop).map_err(engine)
}

const COLUMNS: &str = "id, operation, why, requested_by, requested_at, expires_at, signature, state, verdict,
    decided_by, decided_at, decision_signature, outcome, product";

/// The columns as they are, before anything is believed.
struct Raw {
    id: Vec<u8>,
    request: SignedRequest,
    times: [i64; 2],
    state: i64,
    decision: Option<(bool, String, i64, Vec<u8>)>,
    outcome: String,
    product: Option<Vec<u8>>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let verdict: Option<bool> = row.get(8)?;
    let decision = match verdict {
        Some(verdict) => Some((verdict, row.get(9)?, row.get(10)?, row.get(11)?)),
        None => None,
    };
    Ok(Raw {
        id: row.get(0)?,
        request: SignedRequest {
            id: RequestId([0; 8]),
            operation: row.get(1)?,
            why: row.get(2)?,
            requested_by: row.get(3)?,
            requested_at: UnixSeconds(0),
            expires_at: UnixSeconds(0),
            signature: row.get(6)?,
        },
        times: [row.get(4)?, row.get(5)?],
        state: row.get(7)?,
        decision,
        outcome: row.get(12)?,
        product: row.get(13)?,
    })
}

fn kept(raw: Raw) -> Result<KeptRequest, StoreError> {
    let [requested_at, expires_at] = raw.times;
    let id = raw.id.try_into().map_err(|_| StoreError::Unreadable("the name of a request"))?;
    let decision = match raw.decision {
        Some((approves, decided_by, decided_at, signature)) => Some(SignedDecision {
            verdict: if approves { Verdict::Approve } else { Verdict::Refuse },
            decided_by,
            decided_at: instant(decided_at)?,
            signature,
        }),
        None => None,
    };
    Ok(KeptRequest {
        request: SignedRequest {
            id: RequestId(id),
            requested_at: instant(requested_at)?,
            expires_at: instant(expires_at)?,
            ..raw.request
        },
        decision,
        state: state_of(raw.state)?,
        outcome: raw.outcome,
        product: raw.product,
    })
}

fn find(connection: &Connection, id: RequestId) -> Result<Option<KeptRequest>, StoreError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM request WHERE id = ?1"))
        .and_then(|mut statement| statement.query_row([id.0], raw).optional())
        .map_err(engine)?
        .map(kept)
        .transpose()
}

/// One change of one row, or a refusal.
fn once(changed: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match changed.map_err(engine)? {
        1 => Ok(()),
        _ => Err(StoreError::RequestDecided),
    }
}

/// Applies an effect; the word says what came of it.
fn apply(transaction: &Transaction<'_>, effect: &Effect, at: UnixSeconds) -> Result<String, StoreError> {
    const DONE: &str = "executed";
    match effect {
        Effect::Enrol(operator) => match enrol(transaction, operator, at) {
            Err(StoreError::OperatorKnown) => return Ok("void_operator_known".to_owned()),
            other => other?,
        },
        Effect::Remove(name) => {
            let roster = operators(transaction)?;
            let is_one = roster.active().any(|operator| operator.name == *name);
            if !is_one {
                return Ok("void_no_such_operator".to_owned());
            }
            if roster.active().count() <= OPERATORS_MIN {
                return Ok("void_too_few_operators".to_owned());
            }
            transaction
                .execute("UPDATE operator SET removed_at = ?2 WHERE name = ?1", params![name, signed(at.0)])
                .map_err(engine)?;
        }
        Effect::Institution { code, name, standing } => {
            set_institution(transaction, (code, name.as_deref()), *standing, at)?;
        }
        Effect::Revoke(revocations) => {
            let mut recorded = 0;
            for revocation in revocations {
                match revoke_one(transaction, revocation) {
                    Ok(RevokeOutcome::Recorded) => recorded += 1,
                    // Revoked before, or never issued here: nothing is left to do for this one.
                    Ok(RevokeOutcome::Stands { .. }) | Err(StoreError::NotIssued) => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(format!("executed {recorded} of {}", revocations.len()));
        }
        Effect::AcceptDepartures(kind, serials) => {
            for serial in serials {
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO departure(kind, serial) VALUES(?1, ?2)")
                    .and_then(|mut statement| statement.execute(params![kind_code(*kind), serial.as_bytes()]))
                    .map_err(engine)?;
            }
        }
        Effect::ReplaceDelegates => {
            transaction.execute("UPDATE delegate_order SET number = number + 1", []).map_err(engine)?;
        }
        Effect::Keep { kind, serial, der, not_after } => {
            once(transaction.execute(
                "UPDATE certificate SET der = ?3, not_after = ?4 WHERE kind = ?1 AND serial = ?2",
                params![kind_code(*kind), serial.as_bytes(), der, signed(not_after.0)],
            ))?;
        }
    }
    Ok(DONE.to_owned())
}

impl ApprovalStore for SqliteStore {
    fn operators(&self) -> Result<Roster, StoreError> {
        self.read(operators)
    }

    fn found(&self, founding: &Founding, at: UnixSeconds, entry: Entry<'_>) -> Result<(), StoreError> {
        self.write(|transaction| {
            if !operators(transaction)?.is_founding() {
                return Err(StoreError::FoundingOver);
            }
            match founding {
                Founding::Operator(operator) => enrol(transaction, operator, at)?,
                Founding::Institution { code, name } => {
                    let accredited = InstitutionStanding::Accredited;
                    set_institution(transaction, (code, Some(name)), accredited, at)?;
                }
            }
            audit::append(transaction, entry).map(drop)
        })
    }

    fn file_request(&self, request: &SignedRequest, entry: Entry<'_>) -> Result<(), StoreError> {
        const FILE: &str = "INSERT OR IGNORE INTO request(id, operation, why, requested_by, requested_at,
            expires_at, signature, state) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)";
        self.write(|transaction| {
            let (from, to) = (signed(request.requested_at.0), signed(request.expires_at.0));
            let inserted = transaction
                .execute(
                    FILE,
                    params![
                        request.id.0,
                        request.operation,
                        request.why,
                        request.requested_by,
                        from,
                        to,
                        request.signature
                    ],
                )
                .map_err(engine)?;
            if inserted != 1 {
                return Err(StoreError::RequestKnown);
            }
            audit::append(transaction, entry).map(drop)
        })
    }

    fn request(&self, id: RequestId) -> Result<Option<KeptRequest>, StoreError> {
        self.read(|connection| find(connection, id))
    }

    fn requests(&self) -> Result<Vec<KeptRequest>, StoreError> {
        let rows: Vec<Raw> = self.read(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM request ORDER BY place"))
                .map_err(engine)?;
            let rows = statement.query_map([], raw).map_err(engine)?;
            rows.collect::<Result<_, _>>().map_err(engine)
        })?;
        rows.into_iter().map(kept).collect()
    }

    fn decide(&self, id: RequestId, decision: &SignedDecision, entry: Entry<'_>) -> Result<(), StoreError> {
        const DECIDE: &str = "UPDATE request SET state = ?2, verdict = ?3, decided_by = ?4, decided_at = ?5,
            decision_signature = ?6 WHERE id = ?1 AND state = 0";
        self.write(|transaction| {
            let (state, approves) = match decision.verdict {
                Verdict::Approve => (RequestState::Approved, true),
                Verdict::Refuse => (RequestState::Refused, false),
            };
            let at = signed(decision.decided_at.0);
            let (state, by, signature) = (state_code(state), &decision.decided_by, &decision.signature);
            once(transaction.execute(DECIDE, params![id.0, state, approves, by, at, signature]))?;
            audit::append(transaction, entry).map(drop)
        })
    }

    fn begin(&self, approved: &Approved, kind: CertificateKind, begun: Begun) -> Result<Begun, StoreError> {
        const FIND: &str = "SELECT state, begun_serial, begun_at FROM request WHERE id = ?1";
        const BEGIN: &str =
            "UPDATE request SET state = 2, begun_serial = ?2, begun_at = ?3 WHERE id = ?1 AND state = 1";
        const SPEND: &str = "INSERT INTO certificate(kind, serial, card, spent_at)
            VALUES(?1, ?2, (SELECT coalesce(max(card), 0) + 1 FROM certificate), ?3)";
        type Columns = (i64, Option<Vec<u8>>, Option<i64>);
        let id = approved.id();
        self.write(|transaction| {
            let row: Option<Columns> = transaction
                .query_row(FIND, [id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
                .map_err(engine)?;
            if let Some((2, Some(serial), Some(at))) = row {
                return Ok(Begun { serial: super::serial_number(&serial)?, at: instant(at)? });
            }
            let (serial, at) = (begun.serial.as_bytes(), signed(begun.at.0));
            once(transaction.execute(BEGIN, params![id.0, serial, at]))?;
            transaction.execute(SPEND, params![kind_code(kind), serial, at]).map_err(engine)?;
            Ok(begun)
        })
    }

    fn execute(
        &self,
        approved: &Approved,
        effect: &Effect,
        at: UnixSeconds,
        entry: Entry<'_>,
    ) -> Result<Execution, StoreError> {
        // First of all the row is taken: whoever comes second finds it executed and changes nothing.
        const TAKE: &str = "UPDATE request SET state = 3 WHERE id = ?1 AND state IN (1, 2)";
        const NOTE: &str = "UPDATE request SET outcome = ?2, product = ?3 WHERE id = ?1";
        let product = match effect {
            Effect::Keep { der, .. } => Some(der.clone()),
            _ => None,
        };
        self.write(|transaction| {
            let id = approved.id();
            once(transaction.execute(TAKE, [id.0]))?;
            let outcome = apply(transaction, effect, at)?;
            transaction.execute(NOTE, params![id.0, outcome, product]).map_err(engine)?;
            let lines: Vec<_> = entry
                .lines
                .iter()
                .map(|line| crate::audit::AuditLine { outcome: outcome.clone(), ..line.clone() })
                .collect();
            audit::append(transaction, Entry { key: entry.key, lines: &lines })?;
            Ok(Execution { outcome, product })
        })
    }
}

impl InstitutionStore for SqliteStore {
    fn institution(&self, code: &InstitutionCode) -> Result<Option<InstitutionStanding>, StoreError> {
        let found: Option<bool> = self.read(|connection| {
            connection
                .prepare_cached("SELECT accredited FROM institution WHERE code = ?1")
                .and_then(|mut statement| statement.query_row([code.as_str()], |row| row.get(0)).optional())
                .map_err(engine)
        })?;
        let standing = |accredited| {
            if accredited { InstitutionStanding::Accredited } else { InstitutionStanding::Suspended }
        };
        Ok(found.map(standing))
    }

    fn is_departure_accepted(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT EXISTS(SELECT 1 FROM departure WHERE kind = ?1 AND serial = ?2)")
                .and_then(|mut statement| {
                    statement.query_row(params![kind_code(kind), serial.as_bytes()], |row| row.get(0))
                })
                .map_err(engine)
        })
    }

    fn delegates_ordered(&self) -> Result<u64, StoreError> {
        let number: i64 = self.read(|connection| {
            connection.query_row("SELECT number FROM delegate_order", [], |row| row.get(0)).map_err(engine)
        })?;
        unsigned(number, "a count of delegates")
    }
}
