//! The command line. Every command has `--json`, `--dir` and examples.

mod card_args;

pub(crate) use card_args::{
    CardKey, CardReadArgs, CardReadersArgs, CardReplayArgs, CardServeArgs, CardSignArgs, Compare, ReaderArgs,
    TraceArgs,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Kazasu: one touch of a My Number Card becomes a health-insurance eligibility answer.
#[derive(Debug, Parser)]
#[command(name = "kazasu", version, about, long_about = None, propagate_version = true, after_help = "\
Examples:
  kazasu dev                      the whole town on this machine; stays up until Ctrl-C
  kazasu card touch hanako        one touch against the running town
  kazasu doctor                   is everything well? one line per finding, each with its fix

Exit codes: 0 done, 1 refused or invalid (a problem object with --json), 2 usage.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the town is, and how to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The town's folder.
    #[arg(long, default_value = "./.kazasu", env = "KAZASU_DIR", global = true)]
    pub(crate) dir: PathBuf,
    /// Print JSON instead of words.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the whole town on loopback, play one check, stay up.
    #[command(after_help = "\
Examples:
  kazasu dev                          set up ./.kazasu on the first start, carry on with it later
  kazasu dev --once --dir /tmp/town   play one check and leave with status 0
  kazasu dev --ports-from 9440 --json print town.json when everything is ready")]
    Dev(DevArgs),
    /// Run one room as its own process.
    #[command(after_help = "\
Examples:
  kazasu serve eligibility --config samples/eligibility.toml
  kazasu serve terminal --config ./.kazasu/terminal/config.toml")]
    Serve(ServeArgs),
    /// Cards: touch one, show one to any PC/SC program, list them.
    Card {
        /// What to do with the cards.
        #[command(subcommand)]
        command: CardCommand,
    },
    /// Certificates: is this one valid, and what an operator of the authority does by hand.
    Pki {
        /// What to do.
        #[command(subcommand)]
        command: PkiCommand,
    },
    /// Receipts of checks: does this one hold, and is the log behind it whole?
    Receipt {
        /// What to do.
        #[command(subcommand)]
        command: crate::receipt_commands::ReceiptCommand,
    },
    /// Insurers: load their files, and decide about rows that are held.
    Insurer {
        /// What to do.
        #[command(subcommand)]
        command: crate::insurer_commands::InsurerCommand,
    },
    /// Check a live town: one line per finding, with the fix.
    #[command(after_help = "\
Examples:
  kazasu doctor
  kazasu doctor --json --dir /tmp/town")]
    Doctor(CommonArgs),
    /// Drive the running platform with pre-signed touches and print its cost beside the floor.
    #[command(after_help = "\
Examples:
  kazasu load --profile samples/load/smoke.toml
  kazasu load --profile samples/load/morning.toml --seed 7 --json")]
    Load(LoadArgs),
}

/// A command with nothing but the common options.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `kazasu dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The first of the ports to listen on; the rooms take the following ones.
    #[arg(long, default_value_t = 8440)]
    pub(crate) ports_from: u16,
    /// Leave after the first check: status 0 if it was answered as expected.
    #[arg(long)]
    pub(crate) once: bool,
    /// Seed of the specimen people's records.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `kazasu serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Which room.
    pub(crate) room: Room,
    /// Its config file.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Stop when standard input ends: `dev` holds it open, so that no room outlives it.
    #[arg(long)]
    pub(crate) exit_with_parent: bool,
}

/// The rooms that can run by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Room {
    /// The eligibility platform.
    Eligibility,
    /// The authority that issues and revokes certificates.
    JpkiAuthority,
    /// The reception desk.
    Terminal,
}

/// `kazasu card …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CardCommand {
    /// One full touch against the running town, with real APDUs.
    #[command(after_help = "\
Examples:
  kazasu card touch hanako
  kazasu card touch lost --json
  kazasu card touch hanako --reader 'Virtual PCD 00 00'   read through PC/SC instead of in process")]
    Touch(TouchArgs),
    /// Show emulated cards to pcscd through vpcd until Ctrl-C, each in a reader of its own.
    #[command(after_help = "\
Examples:
  kazasu card serve hanako                      to vpcd on 127.0.0.1:35963
  kazasu card serve hanako --vpcd 127.0.0.1:36200
  kazasu card serve hanako@36200 taro@36202     two cards, two readers
  kazasu card serve hanako --trace hanako.trace record what is said
Then any PC/SC program can use them: pkcs15-tool --list-keys, pkcs11-tool --login --sign, …")]
    Serve(CardServeArgs),
    /// List the PC/SC readers of this machine, or write virtual ones for pcscd.
    #[command(after_help = "\
Examples:
  kazasu card readers
  kazasu card readers --write-config ./readers --count 3   then start pcscd as it says")]
    Readers(CardReadersArgs),
    /// Read a card through PC/SC, real or emulated: functions, tries left, certificates.
    #[command(after_help = "\
Examples:
  kazasu card read --reader ACR                      looks, and costs no try
  kazasu card read --reader ACR --out ./certificates
  kazasu card read --reader ACR --out . --password-from-stdin < password.txt
The card is opened for this program alone and powered down afterwards.")]
    Read(CardReadArgs),
    /// Sign a file with a card through PC/SC, real or emulated (PKCS#1 v1.5, SHA-256).
    #[command(after_help = "\
Examples:
  kazasu card sign --reader ACR --pin-from-stdin letter.pdf < pin.txt
  kazasu card sign --reader ACR --pin-from-stdin letter.pdf --key sign < password.txt
The card is opened for this program alone and powered down afterwards.")]
    Sign(CardSignArgs),
    /// Play a recorded dialogue to a card and compare the answers.
    #[command(after_help = "\
Examples:
  kazasu card replay hanako.trace --card hanako
  kazasu card replay hanako.trace --card taro --compare data
  kazasu card replay real.trace --reader ACR --json")]
    Replay(CardReplayArgs),
    /// List the specimen people and what their cards answer.
    #[command(after_help = "\
Examples:
  kazasu card list
  kazasu card list --json")]
    List(CommonArgs),
}

/// `kazasu pki …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Validate an X.509 path and its revocation status (RFC 5280 §6, RFC 6960); prints JSON.
    #[command(after_help = crate::pki_commands::validate::VALIDATE_EXAMPLES)]
    Validate(Box<crate::pki_commands::validate::ValidateArgs>),
    /// What operators do by hand.
    #[command(flatten)]
    Office(Box<crate::pki_commands::office::OfficeCommand>),
    /// Make a key that others will trust, before witnesses, from an approved file; check its transcript.
    #[command(after_help = crate::pki_commands::ceremony::CEREMONY_EXAMPLES)]
    Ceremony(Box<crate::pki_commands::ceremony::CeremonyArgs>),
    /// Begin an authority: takes the keys of ceremonies, makes what is missing, and an empty store.
    #[command(after_help = "\
Examples:
  kazasu pki begin --config samples/jpki_authority_pkcs11.toml
  kazasu pki begin --config authority.toml --json
Keys that a ceremony made are taken if the config names their places and their certificates are in public_dir,
as auth-ca.pem and sign-ca.pem. Nothing is overwritten. Then: kazasu serve jpki_authority --config FILE")]
    Begin(crate::pki_commands::begin::BeginArgs),
    /// Ask an OCSP responder about a certificate, and judge its answer (RFC 6960, RFC 9654, RFC 5019).
    #[command(after_help = crate::pki_commands::ocsp::OCSP_EXAMPLES)]
    Ocsp(Box<crate::pki_commands::ocsp::OcspArgs>),
    /// Signatures on documents: made with a card, verified with the signature certificate (RFC 5652).
    Cms {
        /// What to do.
        #[command(subcommand)]
        command: crate::pki_commands::cms::CmsCommand,
    },
    /// Has anything changed about the certificates that are kept?
    #[command(after_help = crate::pki_commands::changes::CHANGES_EXAMPLES)]
    Changes(Box<crate::pki_commands::changes::ChangesArgs>),
    /// Card-verifiable certificates of profile `eac` (BSI TR-03110).
    Cvc {
        /// What to do with them.
        #[command(subcommand)]
        command: CvcCommand,
    },
}

/// `kazasu pki cvc …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CvcCommand {
    /// Certify a terminal's institution key for some days; writes the chain that the terminal shows.
    #[command(after_help = "\
Examples:
  kazasu pki cvc issue --public-key se.pem --days 7 --role pinless-signature --out se.cvc
  kazasu pki cvc issue --public-key se.pem --days 1 --role pinless-signature,offline-visit --out se.cvc
  kazasu pki cvc issue --config samples/jpki_authority.toml --public-key se.pem --days 31 --role pinless-signature,medical-id --out se.cvc
The key: openssl pkey -in key.pem -pubout -out se.pem (P-256)")]
    Issue(CvcIssueArgs),
    /// Print the certificates in a file.
    #[command(after_help = "\
Examples:
  kazasu pki cvc show se.cvc
  kazasu pki cvc show .kazasu/jpki_authority/public/eac-terminal-cvca.cvc --json
A second opinion: cvc-print --cvc=FILE --cvc-dir=DIRECTORY (Debian: openpace)")]
    Show(CvcShowArgs),
}

/// What a terminal may do; several with commas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum TerminalRight {
    /// One signature by the card for each touch, without a PIN: every reception desk needs it.
    PinlessSignature,
    /// Touches that also ask for a medical ID.
    MedicalId,
    /// Visit records while the network is down.
    OfflineVisit,
}

/// `kazasu pki cvc issue`.
#[derive(Debug, Args)]
pub(crate) struct CvcIssueArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The authority's config file, instead of the town's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The terminal's P-256 public key: PEM or DER, or 65 octets.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
    /// How many days it counts, today included.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=31))]
    pub(crate) days: u32,
    /// What the terminal may do.
    #[arg(long, value_enum, required = true, value_delimiter = ',')]
    pub(crate) role: Vec<TerminalRight>,
    /// Code of the institution it stands in (ten digits); the town's specimen clinic otherwise.
    #[arg(long, value_name = "CODE")]
    pub(crate) institution: Option<String>,
    /// Where to write the chain.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `kazasu pki cvc show`.
#[derive(Debug, Args)]
pub(crate) struct CvcShowArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// One or more certificates, one after the other.
    pub(crate) file: PathBuf,
}

/// How the institution key is held during a touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Flow {
    /// In the terminal's Secure Element (report fig. 2).
    SeTerminal,
    /// On the server (report fig. 3).
    ServerHeld,
    /// In the Secure Element, armed by a doctor's card (report fig. 4).
    OfflineHpki,
}

/// `kazasu card touch`.
#[derive(Debug, Args)]
pub(crate) struct TouchArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Whose card; see `kazasu card list`.
    pub(crate) person: String,
    /// Which of the report's flows.
    #[arg(long, value_enum, default_value = "se-terminal")]
    pub(crate) flow: Flow,
    /// Also ask for a medical ID for this purpose.
    #[arg(long, value_name = "PURPOSE")]
    pub(crate) medical_id: Option<String>,
    /// Read through the PC/SC reader whose name contains this, instead of in process.
    #[arg(long, value_name = "NAME", conflicts_with = "trace")]
    pub(crate) reader: Option<String>,
    /// The record of the card that this command plays; a card in a reader is somebody else's to record.
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

/// `kazasu load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to drive: a TOML file, see samples/load.
    #[arg(long)]
    pub(crate) profile: PathBuf,
    /// Seed of the arrivals.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}
