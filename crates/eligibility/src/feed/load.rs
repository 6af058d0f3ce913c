//! One load: digest, header, rows in batches, guards, and the switch.
//!
//! A load that is cut short leaves nothing visible; run again with the same file it takes up where it was: rows
//! that are staged are recognised and counted as they were. So there is no position to keep, and none to get wrong.

use super::columns::Header;
use super::record::{Encoding, Ended, Next, Records, SNIFFED, cells, sniff};
use super::rejects::{Reject, RejectReason, RejectSink};
use super::row::{ReadRow, Reading};
use super::{FeedError, Missing, Outcome, Report, Warned, Warning};
use crate::hashes::sha256;
use crate::history::Day;
use crate::history::packed::suffix_of;
use crate::store::feed::{
    Begun, Counts, Ending, FeedMode, FeedRow, FeedStore, LoadOrder, OnUnfinished, OpenLoad, RowResult,
};
use crate::store::sqlite::seen_rows::SeenRows;
use aws_lc_rs::digest::{Context, SHA256};
use protocol::ids::InsurerNumber;
use protocol::time::UnixSeconds;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom};

/// Rows in one transaction, as a rule: a check that has to write waits for some tens of milliseconds at most.
pub const BATCH_ROWS: usize = 5_000;
const BUFFER_BYTES: usize = 256 << 10;
/// Rejected rows that never stop a load by themselves.
const REJECTS_ALWAYS_ALLOWED: u64 = 10;
/// Open members below which a full file is not guarded: a handful may well all leave.
const MEMBERS_UNGUARDED: u64 = 10;
const MEMBERS_AT_ONCE: u32 = 2_000;
/// First cell of the last record of a file, before the number of rows.
const TRAILERS: [&str; 2] = ["終端", "END"];

/// Whether a load is for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Try it out and say what it would do.
    Rehearse,
    /// Load.
    Load,
}

/// What to do about members whom a full file does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnMissing {
    /// Count them.
    Count,
    /// End their coverages after this day.
    EndAfter(Day),
}

/// What is asked of a load.
#[derive(Clone, Debug)]
pub struct Order {
    /// The insurer that sends the file; the first row's, if left out.
    pub insurer: Option<InsurerNumber>,
    /// The insurer's name, where it is to be set.
    pub insurer_name: Option<String>,
    /// How the file is meant.
    pub mode: FeedMode,
    /// Whether it is for good.
    pub purpose: Purpose,
    /// What to do about missing members.
    pub on_missing: OnMissing,
    /// Most members, in percent of those with an open coverage, that a full file may end.
    pub end_percent_max: u8,
    /// Most rows, in percent, that may be rejected in a file that is loaded.
    pub reject_percent_max: u8,
    /// What to do about another load that was not finished.
    pub unfinished: OnUnfinished,
    /// Rows in one transaction.
    pub batch_rows: usize,
    /// Now.
    pub at: UnixSeconds,
}

impl Order {
    /// A difference file, loaded for good, with the usual guards.
    pub const fn usual(at: UnixSeconds) -> Self {
        Self {
            insurer: None,
            insurer_name: None,
            mode: FeedMode::Difference,
            purpose: Purpose::Load,
            on_missing: OnMissing::Count,
            end_percent_max: 5,
            reject_percent_max: 10,
            unfinished: OnUnfinished::Refuse,
            batch_rows: BATCH_ROWS,
            at,
        }
    }
}

/// How far a load is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Octets read.
    pub bytes: u64,
    /// Octets there are.
    pub bytes_total: u64,
    /// Rows read.
    pub rows: u64,
}

/// Loads a file.
///
/// # Errors
/// [`FeedError`]: nothing of the file counts. After [`FeedError::Input`] and [`FeedError::Store`] the same file may
/// be sent again and goes on; any other refusal ends the load for good.
pub fn load<S: Read + Seek>(
    store: &dyn FeedStore,
    source: &mut S,
    order: &Order,
    rejects: &mut dyn RejectSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FeedError> {
    let (sha256, bytes_total) = digest(source)?;
    let mut file = File::open(source, order)?;
    file.bytes_total = bytes_total;
    let load_order = LoadOrder {
        insurer: file.insurer.clone(),
        insurer_name: order.insurer_name.clone(),
        digest: meaning_digest(&sha256, order),
        at: order.at,
        unfinished: order.unfinished,
    };
    let mut report = Report {
        outcome: Outcome::Rehearsed,
        insurer: file.insurer.as_str().to_owned(),
        mode: order.mode,
        encoding: file.encoding.name(),
        sha256: hex::encode(sha256),
        load: None,
        resumed: false,
        counts: Counts::default(),
        warnings: Vec::new(),
        missing: None,
    };
    let open = match order.purpose {
        Purpose::Rehearse => None,
        Purpose::Load => match store.begin_load(&load_order)? {
            Begun::New(open) => Some(open),
            Begun::Resumed(open) => {
                report.resumed = true;
                Some(open)
            }
            Begun::AlreadyLoaded { number, counts } => {
                report.outcome = Outcome::AlreadyLoaded;
                report.load = Some(number.0);
                report.counts = counts;
                return Ok(report);
            }
            Begun::OtherUnfinished { number } => {
                return Err(FeedError::OtherUnfinished { number: number.0, insurer: report.insurer });
            }
        },
    };
    let seen = match (order.mode, order.purpose) {
        (FeedMode::Difference, Purpose::Load) => None,
        _ => Some(SeenRows::new()?),
    };
    let mut run = Run {
        store,
        order,
        open,
        seen,
        file,
        rejects,
        progress,
        counts: Counts::default(),
        warned: Vec::new(),
    };
    match run.run() {
        Ok(missing) => {
            report.counts = run.counts;
            report.warnings = run.warned;
            report.missing = missing;
        }
        Err(error @ (FeedError::Input(_) | FeedError::Store(_) | FeedError::Rejects(_))) => {
            return Err(error);
        }
        Err(error) => {
            if let Some(open) = &open {
                store.end_load(open, Ending::GivenUp, order.at)?;
            }
            return Err(error);
        }
    }
    if let Some(open) = &open {
        store.end_load(open, Ending::Visible(report.counts), order.at)?;
        report.outcome = Outcome::Loaded;
        report.load = Some(open.number.0);
    }
    Ok(report)
}

/// SHA-256 and length.
fn digest<S: Read + Seek>(source: &mut S) -> Result<([u8; 32], u64), FeedError> {
    source.seek(SeekFrom::Start(0))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0u8; BUFFER_BYTES];
    let mut length = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        context.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
    let mut sha256 = [0u8; 32];
    for (to, from) in sha256.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    source.seek(SeekFrom::Start(0))?;
    Ok((sha256, length))
}

/// The same file meant otherwise is another load.
fn meaning_digest(content: &[u8; 32], order: &Order) -> [u8; 32] {
    let on_missing = match order.on_missing {
        OnMissing::Count => "count".to_owned(),
        OnMissing::EndAfter(day) => day.date().as_str().to_owned(),
    };
    let mut octets = content.to_vec();
    octets.extend_from_slice(order.mode.word().as_bytes());
    octets.extend_from_slice(on_missing.as_bytes());
    sha256(&octets)
}

/// A file behind its header.
struct File<R> {
    records: Records<R>,
    reading: Reading,
    insurer: InsurerNumber,
    encoding: Encoding,
    /// A record that was read to find the insurer, and is still to be counted.
    pending: Option<Next>,
    width: usize,
    bytes_total: u64,
}

impl<'a, S: Read + Seek> File<BufReader<&'a mut S>> {
    fn open(source: &'a mut S, order: &Order) -> Result<Self, FeedError> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, source);
        let first = input.fill_buf()?;
        sniff(first.get(..SNIFFED.min(first.len())).unwrap_or_default())?;
        let mut records = Records::new(input)?;
        if records.step()? != Next::Record {
            return Err(FeedError::NoHeader);
        }
        // A header in Japanese tells the encoding; one in English leaves it to the first row that does.
        let header_encoding = encoding_of(records.octets());
        let header = header_encoding
            .unwrap_or(Encoding::Utf8)
            .decode(records.octets())
            .and_then(|text| cells(&text).map(|cells| Header::parse(&cells)))
            .unwrap_or(Err(FeedError::NoHeader))?;
        let pending = records.step()?;
        let encoding = header_encoding.or_else(|| encoding_of(records.octets())).unwrap_or(Encoding::Utf8);
        let insurer = match &order.insurer {
            Some(insurer) => insurer.clone(),
            None => first_insurer(&records, pending, encoding, &header).ok_or(FeedError::NoInsurer)?,
        };
        let width = header.width();
        let reading = Reading::new(header, insurer.clone(), Day::of_instant(order.at));
        Ok(Self { records, reading, insurer, encoding, pending: Some(pending), width, bytes_total: 0 })
    }
}

/// The encoding of octets that are not ASCII.
fn encoding_of(octets: &[u8]) -> Option<Encoding> {
    match octets.is_ascii() {
        true => None,
        false if std::str::from_utf8(octets).is_ok() => Some(Encoding::Utf8),
        false => Some(Encoding::ShiftJis),
    }
}

fn first_insurer<R: std::io::BufRead>(
    records: &Records<R>,
    pending: Next,
    encoding: Encoding,
    header: &Header,
) -> Option<InsurerNumber> {
    if pending != Next::Record {
        return None;
    }
    let text = encoding.decode(records.octets())?;
    let cells = cells(&text)?;
    let place = header.place(super::columns::Column::InsurerNumber)?;
    InsurerNumber::parse(cells.get(place)?.trim()).ok()
}

struct Run<'a, R> {
    store: &'a dyn FeedStore,
    order: &'a Order,
    open: Option<OpenLoad>,
    seen: Option<SeenRows>,
    file: File<R>,
    rejects: &'a mut dyn RejectSink,
    progress: &'a mut dyn FnMut(Progress),
    counts: Counts,
    warned: Vec<Warned>,
}

/// Takes keys of missing members, and how many members the page had that are insured at all.
type OnMissingMembers<'a> = dyn FnMut(&dyn FeedStore, Vec<Vec<u8>>, u64) -> Result<(), FeedError> + 'a;

/// What a record of the file is.
enum Item {
    Row(Box<ReadRow>),
    Reject(Reject),
    Trailer(u64),
    End,
}

impl<R: std::io::BufRead> Run<'_, R> {
    fn run(&mut self) -> Result<Option<Missing>, FeedError> {
        let batch_rows = self.order.batch_rows.max(1);
        let mut batch: Vec<FeedRow> = Vec::with_capacity(batch_rows);
        let mut trailer = None;
        loop {
            match self.next()? {
                Item::Row(read) => {
                    for warning in &read.warnings {
                        self.warn(*warning, read.row.row);
                    }
                    batch.push(read.row);
                    if batch.len() >= batch_rows {
                        self.take(std::mem::replace(&mut batch, Vec::with_capacity(batch_rows)))?;
                    }
                }
                Item::Reject(reject) => {
                    self.counts.rows += 1;
                    self.counts.rejected += 1;
                    self.reject(&reject)?;
                }
                Item::Trailer(stated) => {
                    self.take(std::mem::take(&mut batch))?;
                    self.check_trailer(stated)?;
                    trailer = Some(stated);
                }
                Item::End => break,
            }
        }
        self.take(batch)?;
        self.guard_rejects()?;
        let missing = match self.order.mode {
            FeedMode::Difference => None,
            FeedMode::Full if trailer.is_none() => return Err(FeedError::FullWithoutTrailer),
            FeedMode::Full => Some(self.missing()?),
        };
        if self.counts.reconcile() { Ok(missing) } else { Err(FeedError::NotReconciled(self.counts)) }
    }

    fn next(&mut self) -> Result<Item, FeedError> {
        let next = match self.file.pending.take() {
            Some(pending) => pending,
            None => self.file.records.step()?,
        };
        let records = &self.file.records;
        let line = records.line();
        match next {
            Next::End => Ok(Item::End),
            Next::Unusable(_) if records.ended() == Ended::File => Err(FeedError::Half { line }),
            Next::Unusable(why) => Ok(Item::Reject(Reject::row(line, why.into()))),
            Next::Record => {
                let Some(text) = self.file.encoding.decode(records.octets()) else {
                    return Ok(Item::Reject(Reject::row(line, RejectReason::Encoding)));
                };
                let Some(cells) = cells(&text) else {
                    return Ok(Item::Reject(Reject::row(line, RejectReason::Quote)));
                };
                if let [first, stated, rest @ ..] = cells.as_slice()
                    && TRAILERS.contains(&first.trim())
                    && rest.iter().all(|cell| cell.trim().is_empty())
                {
                    // A number that is none agrees with no count.
                    return Ok(Item::Trailer(stated.trim().parse().unwrap_or(u64::MAX)));
                }
                if cells.len() < self.file.width && records.ended() == Ended::File {
                    return Err(FeedError::Half { line });
                }
                Ok(match self.file.reading.read(line, &cells) {
                    Ok(read) => Item::Row(Box::new(read)),
                    Err(reject) => Item::Reject(reject),
                })
            }
        }
    }

    fn warn(&mut self, warning: Warning, row: u64) {
        match self.warned.iter_mut().find(|warned| warned.warning == warning) {
            Some(warned) => warned.rows += 1,
            None => self.warned.push(Warned { warning, rows: 1, first_row: row }),
        }
    }

    fn reject(&mut self, reject: &Reject) -> Result<(), FeedError> {
        self.rejects.reject(reject).map_err(FeedError::Rejects)
    }

    /// Stages a batch, or tries it out.
    fn take(&mut self, mut batch: Vec<FeedRow>) -> Result<(), FeedError> {
        if let (Some(seen), Some(open)) = (&self.seen, &self.open) {
            for row in &batch {
                seen.note_member(suffix_of(&row.member_key(open.insurer)))?;
            }
        }
        if self.open.is_none() {
            batch = self.without_repeated(batch)?;
        }
        let lines: Vec<u64> = batch.iter().map(|row| row.row).collect();
        let results = match &self.open {
            Some(open) => self.store.stage(open, batch)?,
            None => self.store.rehearse(&self.file.insurer, batch)?,
        };
        for (row, result) in lines.into_iter().zip(results) {
            self.counts.count(result);
            if let RowResult::Contradicts { row: other } = result {
                self.contradicts(row, other)?;
            }
        }
        let (bytes, bytes_total) = (self.file.records.bytes(), self.file.bytes_total);
        (self.progress)(Progress { bytes, bytes_total, rows: self.counts.rows });
        Ok(())
    }

    fn contradicts(&mut self, row: u64, other: u64) -> Result<(), FeedError> {
        self.reject(&Reject { other_row: Some(other), ..Reject::row(row, RejectReason::Contradicts) })
    }

    /// A rehearsal writes nothing, so it remembers by itself what the file has said already.
    fn without_repeated(&mut self, batch: Vec<FeedRow>) -> Result<Vec<FeedRow>, FeedError> {
        let mut fresh = Vec::with_capacity(batch.len());
        for row in batch {
            let key = row.member_key(crate::history::InsurerRef(0));
            let statement = &row.statement;
            let mut about = suffix_of(&key).to_vec();
            for day in [Some(statement.from), statement.applies_from] {
                about.extend_from_slice(&day.map_or(i32::MIN, Day::number).to_be_bytes());
            }
            let mut said = statement.clone();
            // The day of statement is not what is said.
            said.stated_on = Day::FIRST;
            let mut says = [0u8; 16];
            let record = crate::history::MemberRecord {
                facts: vec![crate::history::Fact {
                    change: crate::history::ChangeNumber(0),
                    row: 0,
                    statement: said,
                }],
                ..Default::default()
            };
            for (to, from) in says.iter_mut().zip(sha256(&crate::history::packed::pack(&key, &record))) {
                *to = from;
            }
            let Some(seen) = &self.seen else { return Ok(fresh) };
            seen.note_member(suffix_of(&key))?;
            match seen.note_statement(&about, row.row, &says)? {
                None => fresh.push(row),
                Some(earlier) if earlier.says == says => {
                    self.counts.count(RowResult::Taken(crate::history::Effect::Unchanged));
                }
                Some(earlier) => {
                    self.counts.count(RowResult::Contradicts { row: earlier.row });
                    self.contradicts(row.row, earlier.row)?;
                }
            }
        }
        Ok(fresh)
    }

    fn check_trailer(&mut self, stated: u64) -> Result<(), FeedError> {
        let line = self.file.records.line();
        if stated != self.counts.rows {
            return Err(FeedError::TrailerDiffers { line, stated, found: self.counts.rows });
        }
        match self.file.records.step()? {
            Next::End => {
                self.file.pending = Some(Next::End);
                Ok(())
            }
            _ => Err(FeedError::BehindTrailer { line: self.file.records.line() }),
        }
    }

    fn guard_rejects(&self) -> Result<(), FeedError> {
        let (rejected, rows, percent) =
            (self.counts.rejected, self.counts.rows, self.order.reject_percent_max);
        let too_many = rejected > REJECTS_ALWAYS_ALLOWED && rejected * 100 > rows * u64::from(percent);
        if too_many && self.open.is_some() {
            return Err(FeedError::TooManyRejected { rejected, rows, percent });
        }
        Ok(())
    }

    /// Counts who is missing, and ends their coverages if that was asked for: all of them, or none.
    fn missing(&mut self) -> Result<Missing, FeedError> {
        let today = Day::of_instant(self.order.at);
        let day = match self.order.on_missing {
            OnMissing::Count => today,
            OnMissing::EndAfter(day) => day,
        };
        let mut missing = Missing::default();
        self.each_missing(day, &mut |_, keys, open_members| {
            missing.open_members += open_members;
            missing.missing_members += keys.len() as u64;
            Ok(())
        })?;
        let (OnMissing::EndAfter(last_day), Some(open)) = (self.order.on_missing, self.open) else {
            return Ok(missing);
        };
        if self.counts.rejected > 0 && missing.missing_members > 0 {
            return Err(FeedError::RejectedInFull { rejected: self.counts.rejected });
        }
        let percent = self.order.end_percent_max;
        let too_many = missing.missing_members * 100 > missing.open_members * u64::from(percent);
        if missing.open_members > MEMBERS_UNGUARDED && too_many {
            return Err(FeedError::TooManyMissing {
                missing: missing.missing_members,
                open: missing.open_members,
                percent,
            });
        }
        let mut ended = 0;
        let at = self.order.at;
        self.each_missing(day, &mut |store, keys, _| {
            ended += store.stage_ends(&open, &keys, last_day, at)?;
            Ok(())
        })?;
        self.counts.missing_ended = ended;
        Ok(missing)
    }

    /// Calls back with the missing members that have an open coverage, and the number of all such members.
    fn each_missing(&self, day: Day, call: &mut OnMissingMembers<'_>) -> Result<(), FeedError> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut after = Vec::new();
        loop {
            let members = self.store.members_after(&self.file.insurer, &after, MEMBERS_AT_ONCE, day)?;
            let Some(last) = members.last() else { return Ok(()) };
            after.clone_from(&last.key);
            let mut keys = Vec::new();
            let mut open_members = 0;
            for member in members.into_iter().filter(|member| member.open) {
                open_members += 1;
                if !seen.has_member(suffix_of(&member.key))? {
                    keys.push(member.key);
                }
            }
            call(self.store, keys, open_members)?;
        }
    }
}
