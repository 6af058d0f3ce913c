//! `kazasu card readers`: what readers this machine has, what is wrong with virtual ones, and new virtual
//! ones for pcscd.

use super::{Refusal, ended};
use crate::cli::CardReadersArgs;
use crate::output::Exit;
use anyhow::Context as _;
use card_io::pcsc::Daemon;
use card_io::vpcd::reader_conf::{self, Finding, ReaderEntry, SLOTS_OF_ENTRY, SYSTEM_FOLDER};
use card_io::vpcd::{Exposure, exposure};
use protocol::answer::Bilingual;
use protocol::problem::ProblemCode;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use terminal::error::of_reader;

/// `kazasu card readers`.
pub(crate) fn readers(args: &CardReadersArgs) -> anyhow::Result<Exit> {
    let done = match &args.write_config {
        Some(folder) => write_config(args, folder),
        None => list(args),
    };
    ended(done, args.common.json)
}

/// A reader as it is told.
#[derive(Debug, Serialize)]
struct ToldReader {
    name: String,
    card_present: bool,
    atr: String,
    events: u32,
}

#[derive(Debug, Serialize)]
struct Listed {
    readers: Vec<ToldReader>,
    warnings: Vec<Bilingual>,
}

fn list(args: &CardReadersArgs) -> anyhow::Result<Exit> {
    let readers =
        Daemon::of_this_machine().list_readers().map_err(|error| Refusal::from(of_reader(&error)))?;
    // What cannot be read cannot be judged; the list of readers stands all the same.
    let entries = reader_conf::read(Path::new(SYSTEM_FOLDER)).unwrap_or_default();
    let listed = Listed {
        readers: readers
            .into_iter()
            .map(|reader| ToldReader {
                name: reader.name,
                card_present: reader.card_present,
                atr: hex::encode_upper(&reader.atr),
                events: reader.events,
            })
            .collect(),
        warnings: warnings(&entries),
    };
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(Exit::Done);
    }
    for reader in &listed.readers {
        let card = if reader.card_present { "カードあり / card " } else { "空 / empty" };
        println!("{:<40} {card} {}", reader.name, reader.atr);
    }
    if listed.readers.is_empty() {
        println!("リーダーがありません / no readers");
    }
    print_warnings(&listed.warnings);
    Ok(Exit::Done)
}

fn print_warnings(warnings: &[Bilingual]) {
    for warning in warnings {
        println!("  △ {}\n    {}", warning.ja, warning.en);
    }
}

fn warnings(entries: &[ReaderEntry]) -> Vec<Bilingual> {
    reader_conf::findings(entries).iter().map(text_of).collect()
}

fn text_of(finding: &Finding) -> Bilingual {
    match finding {
        Finding::SharedDriver { reader, driver } => Bilingual {
            ja: format!(
                "{reader}: ほかのリーダーと同じ {} を使っています。カードが混ざり、pcscd が止まることがあります。リーダーごとに写しを置いてください。",
                driver.display()
            ),
            en: format!(
                "{reader}: shares {} with another reader: cards answer for each other and pcscd can get stuck. Give each reader a copy.",
                driver.display()
            ),
        },
        Finding::ConnectsOut { reader } => Bilingual {
            ja: format!(
                "{reader}: DEVICENAME がカードへつなぎに行く形です。pcscd 1.9.9 が異常終了します。/dev/null:ポート にしてください。"
            ),
            en: format!(
                "{reader}: DEVICENAME makes the driver connect to a card, which ends pcscd 1.9.9. Write /dev/null:PORT."
            ),
        },
        Finding::Exposed { reader, port } => Bilingual {
            ja: format!(
                "{reader}: ポート {port} は全アドレスで待ち受けています。同じ網の誰でもカードを入れられます。業務の受付では使わないでください。"
            ),
            en: format!(
                "{reader}: port {port} is open to the network: anybody on it can insert a card. Not for a desk in service."
            ),
        },
    }
}

/// A slot as it is told.
#[derive(Debug, Serialize)]
struct Slot {
    name: String,
    port: u16,
    serve: String,
}

#[derive(Debug, Serialize)]
struct Written {
    config: PathBuf,
    driver: PathBuf,
    readers: Vec<Slot>,
    pcscd: String,
    warnings: Vec<Bilingual>,
}

fn write_config(args: &CardReadersArgs, folder: &Path) -> anyhow::Result<Exit> {
    let driver = match &args.driver {
        Some(named) => Some(named.clone()).filter(|path| path.is_file()),
        None => reader_conf::find_driver(),
    };
    let driver = driver.ok_or_else(|| {
        let wanted = args.driver.as_deref().unwrap_or_else(|| Path::new(reader_conf::DRIVER_FILE));
        Refusal::new(ProblemCode::ReaderDriverMissing, wanted.display())
    })?;
    if args.name.is_empty() || args.name.len() > 40 || args.name.contains(['"', '\n', '\r']) {
        let detail = format!("{:?}: a reader's name has 1 to 40 octets and no quotation marks", args.name);
        return Err(Refusal::new(ProblemCode::MalformedRequest, detail).into());
    }
    let written = write_entries(args, folder, &driver)?;
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&written)?);
        return Ok(Exit::Done);
    }
    println!("{}", written.config.display());
    for slot in &written.readers {
        println!("  {:<32} {}", slot.name, slot.serve);
    }
    println!("pcscd を起動します / start pcscd:\n  {}", written.pcscd);
    print_warnings(&written.warnings);
    Ok(Exit::Done)
}

fn write_entries(args: &CardReadersArgs, folder: &Path, driver: &Path) -> anyhow::Result<Written> {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    // pcscd runs somewhere else.
    let folder = fs::canonicalize(folder).with_context(|| format!("the folder {}", folder.display()))?;
    let code = fs::read(driver).with_context(|| format!("reading the driver {}", driver.display()))?;
    let mut text =
        String::from("# Written by `kazasu card readers`: one copy of vpcd's driver per reader.\n");
    let mut readers = Vec::new();
    let mut taken = Vec::new();
    for number in 0..args.count {
        let port = args.port_from + number * SLOTS_OF_ENTRY;
        // Replaced and not overwritten: a pcscd that runs with it keeps the old file.
        let copy = folder.join(format!("libifdvpcd-{port}.so"));
        chassis::files::write_atomic(&copy, &code)?;
        let name = format!("{} {}", args.name, number + 1);
        text.push_str(&format!("\n{}", ReaderEntry::of_vpcd(&name, port, &copy)));
        for slot in 0..SLOTS_OF_ENTRY {
            let port = port + slot;
            if exposure(port).is_ok_and(|reach| reach != Exposure::Nobody) {
                taken.push(port);
            }
            let serve = format!("kazasu card serve PERSON@{port}");
            readers.push(Slot { name: format!("{name} 00 {slot:02X}"), port, serve });
        }
    }
    let config = folder.join("reader.conf");
    chassis::files::write_atomic(&config, text.as_bytes())?;
    let pcscd = format!("pcscd --foreground --config '{}'", config.display());
    Ok(Written { driver: driver.to_owned(), readers, pcscd, warnings: of_ports(&taken), config })
}

/// What everybody has to know, and what stands in the way now.
fn of_ports(taken: &[u16]) -> Vec<Bilingual> {
    let mut warnings = vec![Bilingual::new(
        "vpcd は全アドレスで待ち受けます。ほかの機械から届く網では使わないでください (docs/pcsc.md)。",
        "vpcd listens on every address: use it only where no other machine reaches this one (docs/pcsc.md).",
    )];
    if !taken.is_empty() {
        let ports: Vec<String> = taken.iter().map(u16::to_string).collect();
        let ports = ports.join(", ");
        warnings.push(Bilingual {
            ja: format!("ポート {ports} はいま使われています。pcscd が動いているのでなければ --port-from で変えてください。"),
            en: format!("ports {ports} are in use now: choose others with --port-from, unless that is this pcscd."),
        });
    }
    warnings
}
