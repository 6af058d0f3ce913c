//! `kazasu insurer load`: a file, its effect, and a report that adds up.

use super::PlatformStore;
use crate::output::{Exit, Printer};
use crate::touch::refuse;
use chassis::clock::SystemClock;
use clap::{Args, ValueEnum};
use eligibility::feed::load::{OnMissing, Order, Progress, Purpose, load};
use eligibility::feed::rejects::{Reject, RejectSink, RejectsCsv};
use eligibility::feed::{FeedError, Outcome, Report};
use eligibility::history::Day;
use eligibility::store::feed::{FeedMode, OnUnfinished};
use protocol::ids::InsurerNumber;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::{Clock as _, UnixSeconds};
use serde::Serialize;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Examples and meanings for the help page.
pub(crate) const EXAMPLES: &str = "\
The file: CSV in UTF-8 or Shift_JIS, columns named in its first line; docs/insurer-feed.md.
  rows = + added, ~ changed, − ended, withdrawn, late  +  unchanged  +  held  +  rejected
Nothing is visible to any answer before all of it is. A load that was cut short, even by kill -9, goes on when
the same command is given again; the same file twice does nothing.

Examples:
  kazasu insurer load members.csv --dry-run
  kazasu insurer load members.csv --insurer 06990013 --rejects rejected.csv
  kazasu insurer load everybody.csv --mode full                       counts who is missing, ends nobody
  kazasu insurer load everybody.csv --mode full --end-missing 2026-11-21 --end-at-most-percent 3

Exit codes: 0 loaded (rows may be rejected or held: see the report), 1 nothing loaded, 2 usage.";

/// How the file is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Mode {
    /// Only what changed.
    Difference,
    /// Everybody the insurer has.
    Full,
}

/// `kazasu insurer load`.
#[derive(Debug, Args)]
pub(crate) struct LoadFileArgs {
    #[command(flatten)]
    store: PlatformStore,
    /// The file.
    file: PathBuf,
    /// Say what it would do, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Whose file it is: rows of other insurers are rejected. Left out: the insurer of its first row.
    #[arg(long, value_name = "NUMBER", value_parser = insurer)]
    insurer: Option<InsurerNumber>,
    /// The insurer's name, where it is new or has changed.
    #[arg(long, value_name = "NAME")]
    insurer_name: Option<String>,
    /// Where to write rejected rows (CSV); FILE.rejects.csv if left out.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// How the file is meant.
    #[arg(long, value_enum, default_value = "difference")]
    mode: Mode,
    /// End the coverages of members whom a full file does not have, after this day.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    end_missing: Option<Day>,
    /// Most members, in percent of those insured, that a full file may end.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    end_at_most_percent: u8,
    /// Most rows, in percent, that may be rejected in a file that is loaded all the same.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    reject_at_most_percent: u8,
    /// Give up a load of this insurer that was begun with another file and never finished.
    #[arg(long)]
    give_up: bool,
}

fn insurer(text: &str) -> Result<InsurerNumber, String> {
    InsurerNumber::parse(text).map_err(|error| error.to_string())
}

fn day(text: &str) -> Result<Day, String> {
    eligibility::feed::row::parse_day(text).ok_or_else(|| "not a day of the form YYYY-MM-DD".to_owned())
}

/// The file of rejected rows, made with the first of them.
struct RejectsFile<'a> {
    path: &'a Path,
    csv: Option<RejectsCsv<BufWriter<File>>>,
}

impl RejectSink for RejectsFile<'_> {
    fn reject(&mut self, reject: &Reject) -> std::io::Result<()> {
        let csv = match &mut self.csv {
            Some(csv) => csv,
            none => none.insert(RejectsCsv::new(BufWriter::new(File::create(self.path)?))),
        };
        csv.reject(reject)
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Rows that changed what is known.
    applied: u64,
    rejects_file: Option<&'a Path>,
}

impl LoadFileArgs {
    fn order(&self, at: UnixSeconds) -> Order {
        Order {
            insurer: self.insurer.clone(),
            insurer_name: self.insurer_name.clone(),
            mode: match self.mode {
                Mode::Difference => FeedMode::Difference,
                Mode::Full => FeedMode::Full,
            },
            purpose: if self.dry_run { Purpose::Rehearse } else { Purpose::Load },
            on_missing: self.end_missing.map_or(OnMissing::Count, OnMissing::EndAfter),
            end_percent_max: self.end_at_most_percent,
            reject_percent_max: self.reject_at_most_percent,
            unfinished: if self.give_up { OnUnfinished::GiveUp } else { OnUnfinished::Refuse },
            ..Order::usual(at)
        }
    }
}

pub(super) fn run(args: &LoadFileArgs) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    if args.end_missing.is_some() && args.mode != Mode::Full {
        eprintln!("kazasu: --end-missing needs --mode full");
        return Ok(Exit::Usage);
    }
    let mut file = match File::open(&args.file) {
        Ok(file) => file,
        Err(error) => {
            let detail = format!("{}: {error}", args.file.display());
            return refuse(&Problem::new(ProblemCode::InputUnusable).with_detail(detail), json);
        }
    };
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let rejects_path = args.rejects.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".rejects.csv");
        name.into()
    });
    let mut rejects = RejectsFile { path: &rejects_path, csv: None };
    let bar = Printer::new(json).bar("取り込み中 / loading", 0);
    let mut progress = |at: Progress| {
        bar.set_length(at.bytes_total);
        bar.set_position(at.bytes);
    };
    let order = args.order(SystemClock.now());
    let loaded = load(&store, &mut file, &order, &mut rejects, &mut progress);
    bar.finish_and_clear();
    let rejects_file = match rejects.csv {
        Some(csv) => {
            csv.finish()?;
            Some(rejects_path.as_path())
        }
        None => None,
    };
    match loaded {
        Ok(report) => {
            print(&report, rejects_file, json)?;
            Ok(Exit::Done)
        }
        Err(error @ FeedError::Store(_)) => Err(error.into()),
        Err(error) => refuse(&error.to_problem(), json),
    }
}

fn print(report: &Report, rejects_file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let counts = &report.counts;
    if json {
        let printed = Printed { report, applied: counts.applied(), rejects_file };
        println!("{}", serde_json::to_string_pretty(&printed)?);
        return Ok(());
    }
    let head = match report.outcome {
        Outcome::Loaded if report.resumed => "途中から再開して取り込みました / taken up again and loaded",
        Outcome::Loaded => "取り込みました / loaded",
        Outcome::Rehearsed => "試しただけで、何も変えていません / a dry run: nothing was changed",
        Outcome::AlreadyLoaded => "同じファイルは取り込み済みです / this file is what was loaded last",
    };
    println!("{head}");
    println!("  保険者 / insurer {}  {}  {}", report.insurer, report.mode.word(), report.encoding);
    if let Some(load) = report.load {
        println!("  変更番号 / change {load}");
    }
    println!("  {:>12} 行 / rows", counts.rows);
    for (sign, number, words) in [
        ("+", counts.added, "新規 / added"),
        ("~", counts.changed, "変更 / changed"),
        ("−", counts.ended, "終了 / ended"),
        ("×", counts.withdrawn, "取消 / withdrawn"),
        ("<", counts.late, "遅着 (新しい内容あり) / late"),
        ("=", counts.unchanged, "変わらず / unchanged"),
        ("?", counts.held, "保留 / held (kazasu insurer held)"),
        ("!", counts.rejected, "拒否 / rejected"),
    ] {
        println!("{sign} {number:>12} {words}");
    }
    if let Some(missing) = &report.missing {
        println!(
            "  ファイルにない加入者 / insured but not in the file: {} ({} 件終了 / ended) / {}",
            missing.missing_members, counts.missing_ended, missing.open_members
        );
    }
    for warned in &report.warnings {
        let (ja, en) = warned.warning.words();
        println!("  注意 / note: {ja} / {en}: {} (行 / row {})", warned.rows, warned.first_row);
    }
    if let Some(path) = rejects_file {
        println!("  拒否した行 / rejected rows: {}", path.display());
    }
    Ok(())
}
