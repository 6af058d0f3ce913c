//! What a run needs before it starts: terminals with certificates, cards with keys, rows in the
//! platform's store, and every touch signed and sealed in advance (an emulated card signs about 1,500
//! times a second, far less than the platform checks). Every terminal is armed once, as at power-on, and
//! seals under that arming's key.

use crate::card_file::Base64;
use crate::load::profile::Profile;
use crate::load::wire::post;
use crate::output::Printer;
use crate::town::people;
use crate::town::{Town, build};
use anyhow::Context as _;
use card::rsa_key::CardRsaKey;
use chassis::clock::SystemClock;
use chassis::config::TlsFiles;
use chassis::entropy::SystemEntropy;
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{CoverageRow, Enrolment, Link, RegisteredTerminal, Standing, Store as _};
use jpki_authority::{Authority, PersonRegistration};
use pki::pem::{self, PemKind};
use pki::profile::{BirthDate, Municipality, Sex};
use protocol::answer::{Bilingual, CardProfile, CivilDate, Coverage, RegisteredPerson, Relation};
use protocol::eligibility_v1::{CHECK_PATH, CheckRequest, UnlockRequest, UnlockResponse};
use protocol::entropy::Seeded;
use protocol::ids::{
    AuthCertSerial, BranchNumber, InsuredNumber, InsuredSymbol, SecureElementId, TerminalKeyHash,
};
use protocol::sealed_evidence::{Evidence, EvidencePrivateKey, EvidenceSealing};
use protocol::statement::{FreshnessNonce, Purposes, STATEMENT_LEN, TouchMode, TouchStatement};
use protocol::time::{Clock as _, UnixSeconds};
use protocol::unlock::UnlockPolicy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The dialogue that the run's seals name.
pub(crate) const PROFILE: CardProfile = CardProfile::Eac;
/// Rows per transaction while the store is filled up.
const BATCH: usize = 5_000;

/// Every terminal of a run is registered with this one.
const SECURE_ELEMENT: SecureElementId = SecureElementId([0xEE; 8]);

/// A terminal of the run.
pub(crate) struct LoadTerminal {
    pub(crate) files: TlsFiles,
    pub(crate) key_hash: TerminalKeyHash,
    /// The key of its Secure Element for this run.
    pub(crate) evidence_key: EvidencePrivateKey,
}

/// What the platform said when a terminal of the run was armed.
pub(crate) struct Arming {
    pub(crate) nonce: FreshnessNonce,
    pub(crate) sealing: EvidenceSealing,
}

impl LoadTerminal {
    /// What it asks at power-on.
    pub(crate) fn unlock_request(&self) -> UnlockRequest {
        UnlockRequest {
            secure_element: SECURE_ELEMENT.0,
            challenge: [0; 16],
            evidence_key: *self.evidence_key.public(),
        }
    }

    /// What it makes of the platform's answer. The policy's signature is a Secure Element's business, and
    /// there is none here.
    pub(crate) fn armed(&self, response: &UnlockResponse) -> anyhow::Result<Arming> {
        let policy = UnlockPolicy::parse(&response.policy).context("an unlock policy")?;
        Ok(Arming { nonce: response.next_nonce, sealing: self.evidence_key.sealing(&policy.evidence_key)? })
    }
}

/// A card of the run.
pub(crate) struct LoadCard {
    pub(crate) key: CardRsaKey,
    pub(crate) certificate: Vec<u8>,
    pub(crate) serial: AuthCertSerial,
}

/// Terminals and cards.
pub(crate) struct Corpus {
    pub(crate) terminals: Vec<LoadTerminal>,
    pub(crate) cards: Vec<LoadCard>,
}

/// A card in a file of the town's `load` folder: made once, used by every run.
#[derive(Serialize, Deserialize)]
struct LoadCardFile {
    private_key: Base64,
    certificate: Base64,
    serial: Base64,
}

impl Corpus {
    /// Makes what is missing, registers it with the platform, and fills the store up.
    pub(crate) fn prepare(town: &Town, profile: &Profile, printer: Printer) -> anyhow::Result<Self> {
        let folder = town.dir.join("load");
        std::fs::create_dir_all(&folder)?;
        let now = SystemClock.now();
        let terminals = terminals(town, &folder, profile.terminals, now)?;
        let cards = cards(town, &folder, profile.cards, now, printer)?;
        let store = SqliteStore::open(&town.rooms.eligibility.store)?;
        let (institution, institution_name) = people::institution()?;
        let registered: Vec<RegisteredTerminal> = terminals
            .iter()
            .map(|t| RegisteredTerminal {
                terminal_key_hash: t.key_hash,
                institution,
                institution_name: institution_name.to_owned(),
                secure_element: SECURE_ELEMENT,
                standing: Standing::Active,
            })
            .collect();
        store.register_terminals(&registered)?;
        link(town, &store, &cards, profile.linked_cards, printer)?;
        Ok(Self { terminals, cards })
    }
}

fn terminals(
    town: &Town,
    folder: &Path,
    count: usize,
    now: UnixSeconds,
) -> anyhow::Result<Vec<LoadTerminal>> {
    let authority = build::open_town_authority(&town.dir, "terminal-ca")?;
    (0..count)
        .map(|n| {
            let files = TlsFiles { cert: at(folder, n, "terminal.pem"), key: at(folder, n, "terminal.key") };
            let key_hash = if files.cert.exists() && files.key.exists() {
                let text = std::fs::read_to_string(&files.cert)?;
                let der = pem::decode(PemKind::Certificate, &text)?;
                let certificate =
                    pki::certificate::Certificate::parse(&der).map_err(|e| anyhow::anyhow!("{e}"))?;
                TerminalKeyHash(eligibility::hashes::sha256(certificate.spki_der()))
            } else {
                build::terminal_identity(&authority, &format!("load-{n}"), &files.cert, &files.key, now)?
            };
            let evidence_key = EvidencePrivateKey::draw(&mut SystemEntropy)?;
            Ok(LoadTerminal { files, key_hash, evidence_key })
        })
        .collect()
}

fn at(folder: &Path, n: usize, name: &str) -> PathBuf {
    folder.join(format!("{n:04}.{name}"))
}

fn cards(
    town: &Town,
    folder: &Path,
    count: usize,
    now: UnixSeconds,
    printer: Printer,
) -> anyhow::Result<Vec<LoadCard>> {
    let config = jpki_authority::serve::load_config(&town.rooms.jpki_authority.room.config)?;
    let authority = Authority::open(config)?;
    let bar = printer.bar("カードをつくっています / making cards", count as u64);
    let cards = (0..count)
        .map(|n| {
            let path = at(folder, n, "card");
            if !path.exists() {
                make_card(&authority, &path, n, now)?;
            }
            bar.inc(1);
            let file: LoadCardFile = serde_json::from_slice(&std::fs::read(&path)?)?;
            Ok(LoadCard {
                key: CardRsaKey::from_pkcs8(&file.private_key.bytes()?)?,
                certificate: file.certificate.bytes()?,
                serial: AuthCertSerial::parse(&file.serial.bytes()?)?,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    bar.finish_and_clear();
    Ok(cards)
}

fn make_card(authority: &Authority, path: &Path, n: usize, now: UnixSeconds) -> anyhow::Result<()> {
    let key = CardRsaKey::generate()?;
    let registration = PersonRegistration {
        municipality: Municipality::new("99002", "Mihon-ken", "Fuka-shi")?,
        name: format!("負荷　{n}"),
        birth_date: BirthDate::parse("1980-01-01")?,
        sex: Sex::NotApplicable,
        address: "見本県負荷市".to_owned(),
        auth_spki: key.spki_der().to_vec(),
        sign_spki: None,
        valid_until: now.plus(5 * 365 * 86_400),
    };
    let issued =
        authority.issue_person_certificates(&registration, now, &mut SystemEntropy)?.card_holder_auth;
    let file = LoadCardFile {
        private_key: Base64::of(&key.pkcs8_der()?),
        certificate: Base64::of(&issued.der),
        serial: Base64::of(AuthCertSerial::parse(issued.serial.as_bytes())?.as_bytes()),
    };
    Ok(chassis::files::write_private(path, &serde_json::to_vec(&file)?)?)
}

/// Links the run's cards, and as many others as the profile says, to one coverage each.
fn link(
    town: &Town,
    store: &SqliteStore,
    cards: &[LoadCard],
    linked_cards: u64,
    printer: Printer,
) -> anyhow::Result<()> {
    let [society, ..] = people::insurers()?;
    let connection = rusqlite::Connection::open(&town.rooms.eligibility.store)?;
    let already: i64 = connection.query_row("SELECT count(*) FROM card_link", [], |row| row.get(0))?;
    let already = already.unsigned_abs();
    drop(connection);
    let person = |n: u64, serial: AuthCertSerial| {
        anyhow::Ok(Enrolment {
            // Above every key of the specimen people and of the cards below.
            person_key: n,
            person: RegisteredPerson {
                name: "負荷　試験".to_owned(),
                name_kana: "フカ　シケン".to_owned(),
                birth_date: CivilDate::parse("1980-01-01").context("a date")?,
            },
            auth_cert_serial: Some(serial),
            rows: vec![CoverageRow { coverage: coverage(&society, n)?, link: Link::Confirmed }],
        })
    };
    let mut batch = Vec::with_capacity(BATCH);
    for (n, card) in cards.iter().enumerate() {
        batch.push(person(n as u64, card.serial.clone())?);
    }
    store.apply_load(&society.number, society.name, &batch, SystemClock.now())?;
    let missing = linked_cards.saturating_sub(already);
    let bar = printer.bar("資格を登録しています / linking cards", missing);
    let mut stream = Seeded::new(town.seed ^ already);
    let mut left = missing;
    while left > 0 {
        batch.clear();
        for n in 0..left.min(BATCH as u64) {
            let serial = (stream.next_u64() | 1 << 62).to_be_bytes();
            batch.push(person((1 << 40) + already + missing - left + n, AuthCertSerial::parse(&serial)?)?);
        }
        store.apply_load(&society.number, society.name, &batch, SystemClock.now())?;
        left -= batch.len() as u64;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

fn coverage(insurer: &people::Insurer, n: u64) -> anyhow::Result<Coverage> {
    Ok(Coverage {
        insurer_number: insurer.number.clone(),
        insurer_name: insurer.name.to_owned(),
        symbol: InsuredSymbol::parse("負荷")?,
        number: InsuredNumber::parse(&format!("{:07}", n % 10_000_000))?,
        branch: BranchNumber::parse("00")?,
        kind: Bilingual::new("健康保険 (組合)", "Employees' health insurance (society)"),
        relation: Relation::Insured,
        copay_percent: 30,
        limit_class: None,
        specific_disease: None,
        public_expenses: Vec::new(),
        valid_from: CivilDate::parse("2020-04-01").context("a date")?,
        valid_to: None,
    })
}

/// One signed touch, ready to send.
pub(crate) struct SignedTouch {
    /// HTTP request, head and body.
    pub(crate) request: Vec<u8>,
}

/// Signs `count` touches, spread over the terminals in turn, on every core.
pub(crate) fn sign(
    corpus: &Corpus,
    armings: &[Arming],
    count: usize,
    host: &str,
    printer: Printer,
) -> anyhow::Result<Vec<Vec<SignedTouch>>> {
    let (institution, institution_name) = people::institution()?;
    let consent_text_hash = eligibility::hashes::expected_consent(institution_name, Purposes::ELIGIBILITY);
    let time = SystemClock.now();
    // Above every counter of an earlier run.
    let base = time.0.saturating_mul(1_000_000);
    let bar = printer.bar("かざしを署名しています / signing touches", count as u64);
    let next = AtomicUsize::new(0);
    let touch = |n: usize| {
        let (terminals, cards) = (corpus.terminals.len(), corpus.cards.len());
        let place = n % terminals;
        let terminal = corpus.terminals.get(place).context("a terminal")?;
        let arming = armings.get(place).context("an arming")?;
        let card = corpus.cards.get(n % cards).context("a card")?;
        let statement = TouchStatement {
            mode: TouchMode::Online,
            purposes: Purposes::ELIGIBILITY,
            institution,
            terminal_key_hash: terminal.key_hash,
            nonce: arming.nonce,
            counter: base + n as u64,
            consent_text_hash,
            time,
        };
        let encoded = statement.encode();
        let evidence = Evidence {
            profile: PROFILE,
            signature: &card.key.sign_sha256(&encoded)?,
            auth_certificate: &card.certificate,
        };
        let request = CheckRequest {
            statement: encoded.to_vec(),
            evidence_key: *terminal.evidence_key.public(),
            sealed: arming.sealing.seal(&statement, &evidence)?,
        };
        anyhow::Ok(SignedTouch { request: post(host, CHECK_PATH, &serde_json::to_vec(&request)?) })
    };
    let work = || {
        let mut signed = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return anyhow::Ok(signed);
            }
            signed.push((n, touch(n)?));
            bar.inc(1);
        }
    };
    let mut by_terminal: Vec<Vec<(usize, SignedTouch)>> =
        corpus.terminals.iter().map(|_| Vec::new()).collect();
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (n, signed) in thread.join().map_err(|_| anyhow::anyhow!("signing broke"))?? {
                if let Some(list) = by_terminal.get_mut(n % corpus.terminals.len()) {
                    list.push((n, signed));
                }
            }
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    Ok(by_terminal
        .into_iter()
        .map(|mut list| {
            list.sort_by_key(|(n, _)| *n);
            list.into_iter().map(|(_, signed)| signed).collect()
        })
        .collect())
}

/// One signed touch taken apart, for timing its seal and its verification alone.
pub(crate) struct TouchParts {
    pub(crate) statement: [u8; STATEMENT_LEN],
    pub(crate) counter: u64,
    pub(crate) signature: [u8; 256],
    pub(crate) public_key: Vec<u8>,
    pub(crate) auth_certificate: Vec<u8>,
    /// Octets of the request body.
    pub(crate) body_len: usize,
}

/// Takes the run's first touch apart. Its seal is the platform's to open; its card signs the same
/// statement the same way once more (RFC 8017 §8.2.1 draws no random numbers).
pub(crate) fn parts_of(first: &SignedTouch, corpus: &Corpus) -> anyhow::Result<TouchParts> {
    let start = first.request.windows(4).position(|w| w == b"\r\n\r\n").context("a head")? + 4;
    let body = first.request.get(start..).context("a body")?;
    let request: CheckRequest = serde_json::from_slice(body)?;
    let statement: [u8; STATEMENT_LEN] = request.statement.as_slice().try_into()?;
    let card = corpus.cards.first().context("a card")?;
    Ok(TouchParts {
        counter: TouchStatement::parse(&statement)?.counter,
        signature: card.key.sign_sha256(&statement)?,
        statement,
        public_key: card.key.spki_der().to_vec(),
        auth_certificate: card.certificate.clone(),
        body_len: body.len(),
    })
}
