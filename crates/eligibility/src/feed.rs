//! An insurer's file: read in a straight line with little memory, checked row by row, staged unseen, and made
//! visible as a whole. docs/insurer-feed.md describes the file.
//!
//! | file | does |
//! |---|---|
//! | [`record`] | octets → records: encoding, quotes, limits |
//! | [`columns`] | which column is what |
//! | [`row`] | record → [`FeedRow`](crate::store::feed::FeedRow), or why not |
//! | [`rejects`] | the file of rows that were not taken |
//! | [`load`](mod@load) | the whole, and the guards around it |
//!
//! Invariants, each with a test:
//! - Every row is counted once: rows = applied + unchanged + held + rejected, or the load does not become visible.
//! - No answer ever sees a part of a load.
//! - The same rows again change nothing, whether the last run ended or was killed.
//! - An insurer's file changes that insurer's members and nobody else's.
//! - Memory does not grow with the file, nor with a line.

pub mod columns;
pub mod load;
pub mod record;
pub mod rejects;
pub mod row;

use crate::store::StoreError;
use crate::store::feed::{Counts, FeedMode};
use protocol::problem::{Problem, ProblemCode};
use serde::Serialize;

/// Why a file is refused as a whole. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It cannot be read to its end.
    #[error("the file cannot be read: {0}")]
    Input(#[from] std::io::Error),
    /// The rejects cannot be written.
    #[error("the file of rejected rows cannot be written: {0}")]
    Rejects(std::io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It is compressed: it would have to be unpacked to a size nobody knows.
    #[error("this is {0}, not CSV: unpack it first (圧縮ファイルは展開してから)")]
    Compressed(&'static str),
    /// It is markup.
    #[error("this looks like XML or HTML, not CSV (XML ではなく CSV で)")]
    Markup,
    /// It is in UTF-16 or UTF-32.
    #[error("this is UTF-16 or UTF-32: save it as UTF-8 or Shift_JIS (UTF-8 か Shift_JIS で保存)")]
    WideEncoding,
    /// It is empty, or its first line is no header.
    #[error("line 1 has no known column: the first line must name the columns (1 行目に項目名がありません)")]
    NoHeader,
    /// A column nobody knows.
    #[error("line 1, column {column}: unknown name \"{name}\" (知らない項目名)")]
    UnknownColumn {
        /// Place, from 1.
        column: usize,
        /// The name, cut to 40 characters.
        name: String,
    },
    /// The same column twice.
    #[error("line 1: the column {0} stands there twice (同じ項目が二つ)")]
    ColumnTwice(&'static str),
    /// A column that every file must have.
    #[error("line 1: the column {0} is missing (必須の項目がありません)")]
    ColumnMissing(&'static str),
    /// No insurer is named, neither by the file nor by who sends it.
    #[error("the file has no row that names an insurer: name it with --insurer (保険者番号が分かりません)")]
    NoInsurer,
    /// The last line is cut off.
    #[error("line {line}: the file ends in the middle of a row (ファイルが途中で切れています)")]
    Half {
        /// The line.
        line: u64,
    },
    /// The trailer tells another number of rows.
    #[error("line {line}: the trailer says {stated} rows, the file has {found} (件数が合いません)")]
    TrailerDiffers {
        /// The line.
        line: u64,
        /// What the trailer says.
        stated: u64,
        /// Rows there are.
        found: u64,
    },
    /// Rows behind the trailer.
    #[error("line {line}: a row behind the trailer (終端のあとに行があります)")]
    BehindTrailer {
        /// The line.
        line: u64,
    },
    /// A full file must tell how many rows it has: half of one would end half of the members.
    #[error("a full file needs a trailer, 終端,NUMBER OF ROWS (全件ファイルには終端の件数が必要です)")]
    FullWithoutTrailer,
    /// So many rows are rejected that the file is probably of another kind.
    #[error(
        "{rejected} of {rows} rows would be rejected, more than {percent} %: nothing was loaded (拒否が多すぎます)"
    )]
    TooManyRejected {
        /// Rejected rows.
        rejected: u64,
        /// All rows.
        rows: u64,
        /// What is allowed.
        percent: u8,
    },
    /// So many members are missing from a full file that it is probably not full.
    #[error(
        "{missing} of {open} insured members are not in the file, more than {percent} %: nothing was loaded. If that is right, allow it with --end-at-most-percent (ファイルにない加入者が多すぎます)"
    )]
    TooManyMissing {
        /// Missing members with an open coverage.
        missing: u64,
        /// Members with an open coverage.
        open: u64,
        /// What is allowed.
        percent: u8,
    },
    /// A full file that is to end missing members has rejected rows: their members would count as missing.
    #[error(
        "{rejected} rows are rejected, and their members would count as missing: nothing was loaded. Mend them first (拒否された行があるあいだは全件ファイルで終了できません)"
    )]
    RejectedInFull {
        /// Rejected rows.
        rejected: u64,
    },
    /// Another load was begun and not finished.
    #[error(
        "load {number} of insurer {insurer} was begun with another file and not finished (別のファイルの取り込みが途中です)"
    )]
    OtherUnfinished {
        /// Its number.
        number: u64,
        /// The insurer.
        insurer: String,
    },
    /// The counts do not add up: a mistake of this program.
    #[error("the counts do not add up ({0:?}): nothing was loaded")]
    NotReconciled(Counts),
}

impl FeedError {
    /// As a problem: never personal data.
    pub fn to_problem(&self) -> Problem {
        let code = match self {
            Self::OtherUnfinished { .. } => ProblemCode::FeedUnfinished,
            Self::Store(_) | Self::NotReconciled(_) | Self::Rejects(_) => ProblemCode::PlatformStoreFailed,
            _ => ProblemCode::FeedRefused,
        };
        Problem::new(code).with_detail(self.to_string())
    }
}

/// Something in a row that is taken as it is, and said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The insurer number's check digit.
    InsurerCheckDigit,
    /// A public payer number's check digit.
    PublicPayerCheckDigit,
    /// A public recipient number's check digit.
    PublicRecipientCheckDigit,
    /// The insurer number begins with no law that is known.
    UnknownLaw,
    /// The name has a character that stands for one that could not be written (● or 〓).
    PlaceholderInName,
}

impl Warning {
    /// Every warning.
    pub const ALL: [Self; 5] = [
        Self::InsurerCheckDigit,
        Self::PublicPayerCheckDigit,
        Self::PublicRecipientCheckDigit,
        Self::UnknownLaw,
        Self::PlaceholderInName,
    ];

    /// In Japanese and English.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::InsurerCheckDigit => {
                ("保険者番号の検証番号が合いません", "check digit of the insurer number")
            }
            Self::PublicPayerCheckDigit => {
                ("公費負担者番号の検証番号が合いません", "check digit of a public payer number")
            }
            Self::PublicRecipientCheckDigit => {
                ("公費受給者番号の検証番号が合いません", "check digit of a public recipient number")
            }
            Self::UnknownLaw => ("保険者番号の法別番号を知りません", "insurer number under an unknown law"),
            Self::PlaceholderInName => {
                ("氏名に代わりの字 (●など) があります", "a name with a placeholder character")
            }
        }
    }
}

/// How often a warning came, and where first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Warned {
    /// Which.
    pub warning: Warning,
    /// Rows.
    pub rows: u64,
    /// The first of them.
    pub first_row: u64,
}

/// Members that a full file does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Missing {
    /// Members with an open coverage.
    pub open_members: u64,
    /// Of them, those the file does not have.
    pub missing_members: u64,
}

/// What became of a load.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is visible.
    Loaded,
    /// It was tried out; nothing was written.
    Rehearsed,
    /// The same content is what this insurer loaded last; nothing was done.
    AlreadyLoaded,
}

/// The report of a load.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// The insurer's number.
    pub insurer: String,
    /// How the file was meant.
    pub mode: FeedMode,
    /// The encoding it was read in.
    pub encoding: &'static str,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Number of the load; none for a rehearsal.
    pub load: Option<u64>,
    /// Whether it took up a run that was cut short.
    pub resumed: bool,
    /// The counts.
    pub counts: Counts,
    /// What was taken as it was, and said.
    pub warnings: Vec<Warned>,
    /// For full files, who is missing.
    pub missing: Option<Missing>,
}
