//! Rows that were not taken, as a file for whoever mends them: where, what, why, in Japanese and English. Values of
//! personal columns are not repeated; the row's number leads to them in the sender's own file.

use super::columns::{Column, Openness};
use super::record::NoRecord;
use serde::Serialize;
use std::io::Write;

/// Longest value that is repeated, in characters.
const VALUE_CHARS_MAX: usize = 40;

/// Why a row is rejected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Not in the file's encoding.
    Encoding,
    /// Longer than a row may be.
    TooLong,
    /// A quote that is not closed, or stands where none may.
    Quote,
    /// More or fewer cells than the header.
    CellCount,
    /// An empty cell that must be filled.
    Empty,
    /// A day that does not exist, or is not written as one.
    NoSuchDay,
    /// A last day before the first.
    DaysReversed,
    /// A day that has not come yet, where that cannot be.
    Future,
    /// Digits of another number than the column has.
    Digits,
    /// A code that the column does not have.
    Code,
    /// Longer than the column allows, or with control characters.
    Text,
    /// Not a serial number in hexadecimal.
    Serial,
    /// Another insurer's number: nobody changes another insurer's members.
    OtherInsurer,
    /// Two columns that exclude each other are filled.
    BothFilled,
    /// One of two columns that belong together is empty.
    HalfFilled,
    /// An earlier row says something else about the same coverage and days.
    Contradicts,
}

impl RejectReason {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::TooLong => "too_long",
            Self::Quote => "quote",
            Self::CellCount => "cell_count",
            Self::Empty => "empty",
            Self::NoSuchDay => "no_such_day",
            Self::DaysReversed => "days_reversed",
            Self::Future => "future",
            Self::Digits => "digits",
            Self::Code => "code",
            Self::Text => "text",
            Self::Serial => "serial",
            Self::OtherInsurer => "other_insurer",
            Self::BothFilled => "both_filled",
            Self::HalfFilled => "half_filled",
            Self::Contradicts => "contradicts",
        }
    }

    /// In Japanese and English.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Encoding => ("文字コードが違います", "not in the encoding of the file"),
            Self::TooLong => ("行が長すぎます", "the row is too long"),
            Self::Quote => ("引用符が正しくありません", "a quote is not closed or misplaced"),
            Self::CellCount => ("項目の数が見出しと違います", "more or fewer cells than the header"),
            Self::Empty => ("必須の項目が空です", "must not be empty"),
            Self::NoSuchDay => {
                ("日付として正しくありません", "no such day (YYYYMMDD, YYYY-MM-DD, or GYYMMDD)")
            }
            Self::DaysReversed => ("終わりの日が始まりの日より前です", "the last day is before the first"),
            Self::Future => ("未来の日付です", "the day has not come yet"),
            Self::Digits => ("桁数か数字が正しくありません", "wrong number of digits, or not digits"),
            Self::Code => ("この項目にない値です", "not a code of this column"),
            Self::Text => ("長すぎるか使えない文字があります", "too long, or with control characters"),
            Self::Serial => ("シリアル番号として正しくありません", "not a serial number in hexadecimal"),
            Self::OtherInsurer => {
                ("ほかの保険者の加入者は変えられません", "another insurer's members cannot be changed")
            }
            Self::BothFilled => ("どちらか一方だけを書いてください", "only one of two columns may be filled"),
            Self::HalfFilled => ("組になる項目が空です", "the column that belongs to this one is empty"),
            Self::Contradicts => {
                ("前の行と同じ資格で内容が違います", "an earlier row says otherwise about the same coverage")
            }
        }
    }
}

impl From<NoRecord> for RejectReason {
    fn from(why: NoRecord) -> Self {
        match why {
            NoRecord::TooLong => Self::TooLong,
            NoRecord::QuoteOpen => Self::Quote,
        }
    }
}

/// One rejected row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// The line it begins on, from 1.
    pub row: u64,
    /// The column, where one is to blame.
    pub column: Option<Column>,
    /// Its value, where it may be repeated.
    pub value: Option<String>,
    /// Why.
    pub reason: RejectReason,
    /// The earlier row, for [`RejectReason::Contradicts`].
    pub other_row: Option<u64>,
}

impl Reject {
    /// A row without a column to blame.
    pub const fn row(row: u64, reason: RejectReason) -> Self {
        Self { row, column: None, value: None, reason, other_row: None }
    }

    /// A row and the cell to blame; the value of a personal column is left out.
    pub fn cell(row: u64, column: Column, value: &str, reason: RejectReason) -> Self {
        let value = (column.openness() == Openness::Public)
            .then(|| value.chars().filter(|c| !c.is_control()).take(VALUE_CHARS_MAX).collect());
        Self { row, column: Some(column), value, reason, other_row: None }
    }
}

/// Where rejected rows go.
pub trait RejectSink {
    /// Takes one.
    fn reject(&mut self, reject: &Reject) -> std::io::Result<()>;
}

/// Keeps the first few, for a message.
#[derive(Debug, Default)]
pub struct FirstRejects(pub Vec<Reject>);

/// How many rejects [`FirstRejects`] keeps.
pub const FIRST_REJECTS: usize = 20;

impl RejectSink for FirstRejects {
    fn reject(&mut self, reject: &Reject) -> std::io::Result<()> {
        if self.0.len() < FIRST_REJECTS {
            self.0.push(reject.clone());
        }
        Ok(())
    }
}

/// Writes them as CSV in UTF-8 with a byte order mark, as spreadsheets in Japan want it.
#[derive(Debug)]
pub struct RejectsCsv<W> {
    output: W,
    begun: Begun,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    No,
    Yes,
}

impl<W: Write> RejectsCsv<W> {
    /// Nothing is written before the first reject.
    pub const fn new(output: W) -> Self {
        Self { output, begun: Begun::No }
    }

    /// Everything is handed on, and what it was written to given back.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// A cell as spreadsheets may open it: quoted, and never a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

impl<W: Write> RejectSink for RejectsCsv<W> {
    fn reject(&mut self, reject: &Reject) -> std::io::Result<()> {
        if self.begun == Begun::No {
            self.output.write_all("\u{feff}行,項目,値,理由コード,理由,reason\r\n".as_bytes())?;
            self.begun = Begun::Yes;
        }
        let (mut ja, mut en) = {
            let (ja, en) = reject.reason.words();
            (ja.to_owned(), en.to_owned())
        };
        if let Some(row) = reject.other_row {
            ja = format!("{ja} ({row} 行)");
            en = format!("{en} (row {row})");
        }
        let value = match (&reject.value, reject.column) {
            (Some(value), _) => value.as_str(),
            (None, Some(_)) => "***",
            (None, None) => "",
        };
        writeln!(
            self.output,
            "{},{},{},{},{},{}\r",
            reject.row,
            reject.column.map_or("", Column::japanese),
            cell(value),
            reject.reason.word(),
            cell(&ja),
            cell(&en)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_says_where_and_why_and_no_secrets() {
        let mut csv = RejectsCsv::new(Vec::new());
        csv.reject(&Reject::cell(7, Column::Name, "見本　花子", RejectReason::Text)).unwrap();
        csv.reject(&Reject::cell(8, Column::Copay, "=1+\"1\"", RejectReason::Code)).unwrap();
        csv.reject(&Reject { other_row: Some(2), ..Reject::row(9, RejectReason::Contradicts) }).unwrap();
        let text = String::from_utf8(csv.finish().unwrap()).unwrap();
        assert!(text.starts_with("\u{feff}行,項目,"));
        assert!(text.contains("7,氏名,\"***\",text,") && !text.contains("花子"));
        assert!(text.contains("8,負担割合,\"'=1+\"\"1\"\"\",code,"));
        assert!(text.contains("(2 行)") && text.contains("(row 2)"));
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn nothing_rejected_nothing_written() {
        assert!(RejectsCsv::new(Vec::new()).finish().unwrap().is_empty());
    }
}
