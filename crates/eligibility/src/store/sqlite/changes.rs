//! Changes in SQLite: rising numbers, and the one small write by which a change becomes visible.

use super::engine;
use crate::history::{ChangeNumber, InsurerRef, Recorded};
use crate::store::StoreError;
use crate::store::links::LinkCause;
use protocol::ids::InsurerNumber;
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, params};

/// What a change is, as its row says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// Registered people, vouched for by the operator.
    Enrolment,
    /// An insurer's file.
    Feed,
    /// A held row was settled.
    HeldRow,
    /// Cards or members belong to somebody else.
    Links(LinkCause),
}

impl What {
    const fn word(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Feed => "feed",
            Self::HeldRow => "held_row",
            Self::Links(cause) => cause.word(),
        }
    }
}

/// A new change, under way: seen by nobody.
pub(super) fn begin(
    connection: &Connection,
    what: What,
    insurer: Option<InsurerRef>,
    digest: Option<&[u8; 32]>,
    at: UnixSeconds,
) -> Result<ChangeNumber, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO change(number, what, state, insurer_ref, digest, begun_at, detail)
             SELECT coalesce(max(number), 0) + 1, ?1, 0, ?2, ?3, ?4, '' FROM change RETURNING number",
        )
        .and_then(|mut statement| {
            statement.query_row(
                params![
                    what.word(),
                    insurer.map(|insurer| insurer.0),
                    digest.map(|digest| &digest[..]),
                    at.0.cast_signed()
                ],
                |row| row.get::<_, i64>(0),
            )
        })
        .map(|number| ChangeNumber(number.cast_unsigned()))
        .map_err(engine)
}

/// Makes a change visible: the place behind the last one. Recorded time never runs back, whatever the clock does.
pub(super) fn record(
    connection: &Connection,
    change: ChangeNumber,
    detail: &str,
    at: UnixSeconds,
) -> Result<Recorded, StoreError> {
    connection
        .prepare_cached(
            "UPDATE change SET state = 1, detail = ?2,
               place = (SELECT coalesce(max(place), 0) + 1 FROM change),
               recorded_at = max(?3, (SELECT coalesce(max(recorded_at), 0) FROM change))
             WHERE number = ?1 AND state = 0 RETURNING place, recorded_at",
        )
        .and_then(|mut statement| {
            statement.query_row(params![change.0.cast_signed(), detail, at.0.cast_signed()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
        })
        .map(|(place, at)| Recorded { place: place.cast_unsigned(), at: UnixSeconds(at.cast_unsigned()) })
        .map_err(engine)
}

/// The reference of an insurer, given out now if it has none; its name and time of load as they are now.
pub(super) fn intern_insurer(
    connection: &Connection,
    number: &InsurerNumber,
    name: Option<&str>,
    loaded_at: Option<UnixSeconds>,
) -> Result<InsurerRef, StoreError> {
    let loaded_at = loaded_at.map(|at| at.0.cast_signed());
    connection
        .prepare_cached(
            "INSERT INTO insurer(insurer_number, name, loaded_at) VALUES(?1, coalesce(?2, ?1), coalesce(?3, 0))
             ON CONFLICT(insurer_number) DO UPDATE SET
               name = coalesce(?2, name), loaded_at = max(coalesce(?3, 0), loaded_at)
             RETURNING insurer_ref",
        )
        .and_then(|mut statement| {
            statement.query_row(params![number.as_str(), name, loaded_at], |row| row.get::<_, u32>(0))
        })
        .map(InsurerRef)
        .map_err(engine)
}

/// The reference of an insurer, if it is known.
pub(super) fn insurer_ref(
    connection: &Connection,
    number: &InsurerNumber,
) -> Result<Option<InsurerRef>, StoreError> {
    connection
        .prepare_cached("SELECT insurer_ref FROM insurer WHERE insurer_number = ?1")
        .and_then(|mut statement| {
            statement.query_row([number.as_str()], |row| row.get::<_, u32>(0)).optional()
        })
        .map(|found| found.map(InsurerRef))
        .map_err(engine)
}

/// A change under way comes to nothing.
pub(super) fn give_up(connection: &Connection, number: ChangeNumber) -> Result<(), StoreError> {
    connection
        .execute("UPDATE change SET state = 2 WHERE number = ?1 AND state = 0", [number.0.cast_signed()])
        .map(|_| ())
        .map_err(engine)
}
