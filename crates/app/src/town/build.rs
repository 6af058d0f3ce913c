//! Sets a town up once: authorities, certificates, cards, Secure Element, first loads; and writes the
//! rooms' configs at every start. After this the rooms run by themselves.

use crate::card_file::{BuiltInLayout, CardFile};
use crate::output::Printer;
use crate::town::cards::{self, CardOffice, CardOrder};
use crate::town::hpki;
use crate::town::operators;
use crate::town::people::{self, Expected, SPECIMENS, Specimen};
use crate::town::secure_element;
use crate::town::{
    AuthorityRoom, Person, ReceiptLogPlaces, Room, Rooms, TOWN_FILE, TOWN_VERSION, Terminal, TerminalRoom,
    Town,
};
use anyhow::{Context as _, bail};
use card::my_number_card::CertifiedKey;
use card::rsa_key::CardRsaKey;
use chassis::clock::SystemClock;
use chassis::entropy::SystemEntropy;
use eligibility::keys::PlatformKeys;
use eligibility::receipts::ReceiptLog;
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{RegisteredTerminal, Standing, Store as _};
use jpki_authority::{Authority, CertificateKind, PersonCertificates, PersonRegistration};
use pki::issue::IssuingAuthority;
use pki::pem::{self, PemKind};
use pki::profile::{AuthorityProfile, BirthDate, LeafProfile, Municipality, Sex, Validity};
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::entropy::Entropy as _;
use protocol::ids::{AuthCertSerial, SecureElementId, TerminalKeyHash};
use protocol::time::{Clock as _, UnixSeconds};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Says that a set-up was begun in this folder and not finished: only then may it be cleared away.
const MAKING: &str = "making";
/// Name of the platform's receipt log.
const RECEIPT_LOG: &str = "eligibility.kazasu.example/receipts";
const FOLDERS: [&str; 8] =
    ["ca", "eligibility", "jpki_authority", "terminal", "people", "operators", "partners", "logs"];
pub(super) const YEAR: u64 = 366 * 86_400;
/// Every specimen card has the same secrets: they are for trying out.
pub(super) const PIN: &str = "1234";
pub(super) const SIGN_PASSWORD: &str = "ABC123";
/// Public key behind what the cards hold, below the town's folder.
const CARD_CONTENTS_ROOT: &str = "ca/card-contents-root.pem";
/// The age from which a card carries a signature certificate (report: "over 15 yr. old").
const SIGNATURE_AGE: i16 = 15;

/// The folders and files of a town.
pub(super) struct Places<'a>(pub(super) &'a Path);

impl Places<'_> {
    pub(super) fn at(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }
}

/// Finds the town in `dir` or makes one; writes the rooms' configs for these ports.
pub(crate) fn prepare(dir: &Path, ports_from: u16, seed: u64, printer: &Printer) -> anyhow::Result<Town> {
    let found = Town::find(dir)?;
    let making = found.is_none();
    let (terminals, people, seed) = match found {
        Some(town) => (town.terminals, town.people, town.seed),
        None => {
            let (terminals, people) = make(dir, ports_from, seed, printer)?;
            (terminals, people, seed)
        }
    };
    let rooms = write_configs(dir, ports_from)?;
    let card_contents_root = dir.join(CARD_CONTENTS_ROOT);
    let hpki = hpki::places_of(dir);
    let (operators, partners) = (operators::operators(dir), operators::partners(dir));
    let dir = dir.to_owned();
    let version = TOWN_VERSION;
    let receipt_log = ReceiptLogPlaces {
        key: dir.join("eligibility/receipt-log.vkey"),
        folder: dir.join("eligibility/receipts"),
    };
    let town = Town {
        version,
        seed,
        dir,
        rooms,
        terminals,
        people,
        receipt_log,
        card_contents_root,
        hpki,
        operators,
        partners,
    };
    town.save()?;
    if making {
        std::fs::remove_file(town.dir.join(MAKING))?;
    } else {
        renew_certificates(&town, printer)?;
    }
    Ok(town)
}

/// A town that lay still for days: its desk's certificates are renewed before it opens.
fn renew_certificates(town: &Town, printer: &Printer) -> anyhow::Result<()> {
    let config = &town.rooms.jpki_authority.room.config;
    let open = || Ok(Authority::open(jpki_authority::serve::load_config(config)?)?);
    let (institution, _) = people::institution()?;
    if let Some(until) = secure_element::renew(&town.dir, open, &institution, SystemClock.now())? {
        printer.say(&format!(
            "端末がカードに示す証明書を更新しました ({until} まで) / the desk's certificates for cards were renewed (until {until})"
        ));
    }
    Ok(())
}

fn clear_unfinished(dir: &Path) -> anyhow::Result<()> {
    let marker = dir.join(MAKING);
    for folder in FOLDERS {
        let path = dir.join(folder);
        if path.exists() {
            if !marker.exists() {
                bail!(
                    "{} has a folder {folder} but no {TOWN_FILE}: use another --dir, or remove what is there",
                    dir.display()
                );
            }
            std::fs::remove_dir_all(&path)?;
        }
    }
    std::fs::write(marker, b"a town is being set up here\n")?;
    for folder in FOLDERS {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    Ok(())
}

/// Makes everything that lasts.
fn make(
    dir: &Path,
    ports_from: u16,
    seed: u64,
    printer: &Printer,
) -> anyhow::Result<(Vec<Terminal>, Vec<Person>)> {
    clear_unfinished(dir)?;
    let places = Places(dir);
    let now = SystemClock.now();
    let of_person = |specimen| 1 + u64::from(has_signature(specimen, now)) + cards::CARD_KEYS;
    let total = SPECIMENS.iter().map(of_person).sum::<u64>() + cards::OFFICE_KEYS + hpki::KEYS + 5;
    let bar = printer.bar("鍵をつくっています / making keys", total);
    let mut keys = rsa_keys(usize::try_from(total - 4)?, &bar)?;

    let (town_ca, terminal_ca) =
        (town_authority("Kazasu town CA", now)?, town_authority("Kazasu terminal CA", now)?);
    for (name, (authority, key)) in [("town-ca", &town_ca), ("terminal-ca", &terminal_ca)] {
        write_pem(&places.at(&format!("ca/{name}.pem")), PemKind::Certificate, authority.certificate_der())?;
        write_pem(&places.at(&format!("ca/{name}.key")), PemKind::PrivateKey, key)?;
    }
    for room in ["eligibility", "jpki_authority"] {
        server_identity(&town_ca.0, &places, room, now)?;
    }
    let authority = Authority::init(
        jpki_authority::serve::load_config(&authority_config(&places, [0, 0, status_port(ports_from)?, 0])?)?,
        now,
        &mut SystemEntropy,
    )?;
    operators::make(&places, authority.config(), now)?;
    bar.inc(4);
    let (mut people, serials) = make_people(&places, &authority, &mut keys, seed, now)?;
    people.push(hpki::make(&places, &mut || keys.pop().context("a key too few"), now)?);
    let terminals = make_terminals(&places, &terminal_ca.0, &authority, &mut keys, now)?;
    load_coverage(&places, seed, &serials, now)?;
    bar.finish_and_clear();
    Ok((terminals, people))
}

/// RSA key generation is the slow part: on every core at once.
fn rsa_keys(count: usize, bar: &indicatif::ProgressBar) -> anyhow::Result<Vec<CardRsaKey>> {
    let wanted = Mutex::new(count);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let mut made = Vec::new();
            loop {
                {
                    let mut left = wanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if *left == 0 {
                        return Ok::<_, card::rsa_key::RsaKeyError>(made);
                    }
                    *left -= 1;
                }
                made.push(CardRsaKey::generate()?);
                bar.inc(1);
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut keys = Vec::with_capacity(count);
        for thread in threads {
            keys.extend(thread.join().map_err(|_| anyhow::anyhow!("making keys broke"))??);
        }
        Ok(keys)
    })
}

/// Writes PEM; private keys for the owner alone.
pub(super) fn write_pem(path: &Path, kind: PemKind, der: &[u8]) -> anyhow::Result<()> {
    let text = pem::encode(kind, der);
    match kind {
        PemKind::PrivateKey => chassis::files::write_private(path, text.as_bytes())?,
        _ => chassis::files::write_atomic(path, text.as_bytes())?,
    }
    Ok(())
}

pub(super) fn town_authority(
    common_name: &str,
    now: UnixSeconds,
) -> anyhow::Result<(IssuingAuthority, Vec<u8>)> {
    let key = generate_p256_pkcs8()?;
    let signer = SoftwareP256Signer::from_pkcs8(&key)?;
    let authority = IssuingAuthority::self_signed(
        &AuthorityProfile::Town { common_name },
        SerialNumber::random(16, &mut SystemEntropy),
        Validity { not_before: now.minus(60), not_after: now.plus(10 * YEAR) },
        Box::new(signer),
    )?;
    Ok((authority, key.to_vec()))
}

/// Takes up a P-256 authority of the town again, for a terminal that is enrolled later.
pub(crate) fn open_town_authority(dir: &Path, name: &str) -> anyhow::Result<IssuingAuthority> {
    let read = |file: String| {
        std::fs::read_to_string(dir.join("ca").join(&file)).with_context(|| format!("reading ca/{file}"))
    };
    let certificate = pem::decode(PemKind::Certificate, &read(format!("{name}.pem"))?)?;
    let key = pem::decode(PemKind::PrivateKey, &read(format!("{name}.key"))?)?;
    Ok(IssuingAuthority::from_certificate(
        certificate.to_vec(),
        Box::new(SoftwareP256Signer::from_pkcs8(&key)?),
    )?)
}

fn server_identity(
    town_ca: &IssuingAuthority,
    places: &Places<'_>,
    room: &str,
    now: UnixSeconds,
) -> anyhow::Result<()> {
    let key = generate_p256_pkcs8()?;
    let signer = SoftwareP256Signer::from_pkcs8(&key)?;
    let profile = LeafProfile::TlsServer {
        common_name: room,
        dns_names: &["localhost"],
        ip_addresses: &[std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()],
    };
    let validity = Validity { not_before: now.minus(60), not_after: now.plus(2 * YEAR) };
    let certificate =
        town_ca.issue(&profile, SerialNumber::random(16, &mut SystemEntropy), validity, signer.spki_der())?;
    write_pem(&places.at(&format!("{room}/server.pem")), PemKind::Certificate, &certificate)?;
    write_pem(&places.at(&format!("{room}/server.key")), PemKind::PrivateKey, &key)
}

/// A terminal's client certificate and key on disk; gives the hash of its public key.
pub(crate) fn terminal_identity(
    terminal_ca: &IssuingAuthority,
    name: &str,
    cert: &Path,
    key_file: &Path,
    now: UnixSeconds,
) -> anyhow::Result<TerminalKeyHash> {
    let (institution, institution_name) = people::institution()?;
    let key = generate_p256_pkcs8()?;
    let signer = SoftwareP256Signer::from_pkcs8(&key)?;
    let profile = LeafProfile::TlsClient {
        institution_name,
        institution_code: institution.as_str(),
        terminal_name: name,
    };
    let validity = Validity { not_before: now.minus(60), not_after: now.plus(2 * YEAR) };
    let certificate = terminal_ca.issue(
        &profile,
        SerialNumber::random(16, &mut SystemEntropy),
        validity,
        signer.spki_der(),
    )?;
    write_pem(cert, PemKind::Certificate, &certificate)?;
    write_pem(key_file, PemKind::PrivateKey, &key)?;
    Ok(TerminalKeyHash(eligibility::hashes::sha256(signer.spki_der())))
}

fn civil(now: UnixSeconds) -> anyhow::Result<jiff::civil::Date> {
    Ok(eligibility::check::japanese_day(now).as_str().parse()?)
}

/// Whether this person is old enough for a signature certificate.
fn has_signature(specimen: &Specimen, now: UnixSeconds) -> bool {
    let (Ok(today), Ok(birth)) = (civil(now), specimen.birth_date.parse()) else {
        return false;
    };
    cards::age(birth, today) >= SIGNATURE_AGE
}

/// The end of the fifth birthday after issue, in Japan (report: valid for 5 years).
fn valid_until(specimen: &Specimen, now: UnixSeconds) -> anyhow::Result<UnixSeconds> {
    let day = cards::birthday(specimen.birth_date.parse()?, civil(now)?, 5)?;
    let end = day.at(23, 59, 59, 0).to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)))?;
    Ok(UnixSeconds(u64::try_from(end.timestamp().as_second())?))
}

fn registration(
    specimen: &Specimen,
    place: usize,
    auth: &CardRsaKey,
    sign: Option<&CardRsaKey>,
    now: UnixSeconds,
) -> anyhow::Result<PersonRegistration> {
    Ok(PersonRegistration {
        municipality: Municipality::new(cards::MUNICIPALITY, "Mihon-ken", "Mihon-shi")?,
        name: specimen.written.to_owned(),
        birth_date: BirthDate::parse(specimen.birth_date)?,
        sex: if specimen.sex == "1" { Sex::Male } else { Sex::Female },
        address: specimen.address(place),
        auth_spki: auth.spki_der().to_vec(),
        sign_spki: sign.map(|key| key.spki_der().to_vec()),
        valid_until: valid_until(specimen, now)?,
    })
}

type Serials = Vec<(&'static str, AuthCertSerial)>;

fn make_people(
    places: &Places<'_>,
    authority: &Authority,
    keys: &mut Vec<CardRsaKey>,
    seed: u64,
    now: UnixSeconds,
) -> anyhow::Result<(Vec<Person>, Serials)> {
    let mut next = || keys.pop().context("a key too few");
    let office = CardOffice::open(&mut next)?;
    write_office(places, &office)?;
    // One batch for the town: a key of each card's own would tell its holder apart before any consent.
    let batch = authority.make_batch(now)?;
    let mut people = Vec::new();
    let mut serials = Serials::new();
    for (place, specimen) in SPECIMENS.iter().enumerate() {
        let auth = next()?;
        let sign = if has_signature(specimen, now) { Some(next()?) } else { None };
        let issued = authority.issue_person_certificates(
            &registration(specimen, place, &auth, sign.as_ref(), now)?,
            now,
            &mut SystemEntropy,
        )?;
        serials.push((specimen.name, AuthCertSerial::parse(issued.card_holder_auth.serial.as_bytes())?));
        if let Some(event) = specimen.event {
            authority.apply_event(event, &issued.card_holder_auth.serial, now)?;
        }
        let certified = |private_key, end_entity: &[u8], kind| CertifiedKey {
            end_entity_der: end_entity.to_vec(),
            issuer_der: authority.ca_certificate_der(kind).to_vec(),
            private_key,
        };
        let order = CardOrder {
            specimen,
            place,
            seed,
            expiry: cards::last_day(specimen.birth_date, civil(now)?)?,
            card_holder_auth: certified(auth, &issued.card_holder_auth.der, CertificateKind::CardHolderAuth),
            document_signature: sign.zip(issued.document_signature.as_ref()).map(|(key, certificate)| {
                certified(key, &certificate.der, CertificateKind::DocumentSignature)
            }),
            terminal_root: authority.terminal_root().clone(),
            batch: batch.clone(),
            presence_keys: [next()?, next()?],
            pin: PIN,
            sign_password: SIGN_PASSWORD,
        };
        people.push(write_person(places, &office, order, &issued)?);
    }
    authority.publish(now)?;
    Ok((people, serials))
}

/// The keys behind the cards' contents: private ones for their owner, the root's public half for all.
fn write_office(places: &Places<'_>, office: &CardOffice) -> anyhow::Result<()> {
    for (name, key) in office.signing_keys() {
        write_pem(&places.at(&format!("ca/{name}.key")), PemKind::PrivateKey, &key.pkcs8_der()?)?;
    }
    write_pem(&places.at(CARD_CONTENTS_ROOT), PemKind::PublicKey, office.root_spki())
}

fn write_person(
    places: &Places<'_>,
    office: &CardOffice,
    order: CardOrder<'_>,
    issued: &PersonCertificates,
) -> anyhow::Result<Person> {
    let specimen = order.specimen;
    let name = specimen.name;
    let auth_cert = places.at(&format!("people/{name}.auth.pem"));
    write_pem(&auth_cert, PemKind::Certificate, &issued.card_holder_auth.der)?;
    let mut sign_cert = None;
    if let Some(certificate) = &issued.document_signature {
        let path = places.at(&format!("people/{name}.sign.pem"));
        // Name and address are in it.
        chassis::files::write_private(&path, pem::encode(PemKind::Certificate, &certificate.der).as_bytes())?;
        sign_cert = Some(path);
    }
    let card = places.at(&format!("people/{name}.card"));
    let (contents, card_face) = office.personalise(order)?;
    CardFile::of(BuiltInLayout::MyNumberCard, &contents).write(&card)?;
    Ok(Person {
        name: name.to_owned(),
        story_ja: specimen.story.0.to_owned(),
        story_en: specimen.story.1.to_owned(),
        expected: match specimen.expected {
            Expected::Validity(word) | Expected::Problem(word) => word.to_owned(),
        },
        auth_cert: Some(auth_cert),
        hpki_auth_cert: None,
        hpki_sign_cert: None,
        pin: PIN.to_owned(),
        sign_password: sign_cert.is_some().then(|| SIGN_PASSWORD.to_owned()),
        sign_cert,
        card_face: Some(card_face),
        card,
    })
}

/// Two terminals: the desk's own, with a Secure Element, and one for scripts that speak to the
/// platform themselves.
fn make_terminals(
    places: &Places<'_>,
    terminal_ca: &IssuingAuthority,
    authority: &Authority,
    keys: &mut Vec<CardRsaKey>,
    now: UnixSeconds,
) -> anyhow::Result<Vec<Terminal>> {
    let (institution, institution_name) = people::institution()?;
    let platform_keys = PlatformKeys::open(&places.at("eligibility/keys"), &mut SystemEntropy)?;
    let receipts = ReceiptLog::open(
        &places.at("eligibility/receipts"),
        RECEIPT_LOG,
        platform_keys.receipt_log_secret(),
    )?;
    let key = format!("{}\n", receipts.verifier().to_text());
    std::fs::write(places.at("eligibility/receipt-log.vkey"), key)?;
    let store = SqliteStore::open(&places.at("eligibility/store.sqlite"))?;
    let mut terminals = Vec::new();
    for name in ["reception-1", "reception-2"] {
        let (cert, key) =
            (places.at(&format!("terminal/{name}.pem")), places.at(&format!("terminal/{name}.key")));
        let terminal_key_hash = terminal_identity(terminal_ca, name, &cert, &key, now)?;
        let mut identifier = SecureElementId([0; 8]);
        SystemEntropy.fill(&mut identifier.0);
        store.register_terminals(&[RegisteredTerminal {
            terminal_key_hash,
            institution,
            institution_name: institution_name.to_owned(),
            secure_element: identifier,
            standing: Standing::Active,
        }])?;
        if terminals.is_empty() {
            let order = secure_element::Order {
                secure_element: identifier,
                institution: &institution,
                unlock_spki: &platform_keys.unlock_spki()?,
                jicsap_key: keys.pop().context("a key too few")?,
            };
            secure_element::make(places.0, authority, order, now)?;
        }
        terminals.push(Terminal {
            name: name.to_owned(),
            institution: institution.as_str().to_owned(),
            institution_name: institution_name.to_owned(),
            cert,
            key,
        });
    }
    Ok(terminals)
}

fn load_coverage(places: &Places<'_>, seed: u64, serials: &Serials, now: UnixSeconds) -> anyhow::Result<()> {
    let store = SqliteStore::open(&places.at("eligibility/store.sqlite"))?;
    let today = eligibility::check::japanese_day(now);
    for (insurer, enrolments) in people::enrolments(seed, &today, serials)? {
        store.apply_load(&insurer.number, insurer.name, &enrolments, now)?;
    }
    Ok(())
}

fn write_config(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(chassis::files::write_atomic(path, text.as_bytes())?)
}

/// Where revocation lists and OCSP are served in plain HTTP. It stands in certificates from the first start on.
fn status_port(ports_from: u16) -> anyhow::Result<u16> {
    ports_from
        .checked_add(7)
        .with_context(|| format!("--ports-from {ports_from} leaves no room for nine ports"))
}

/// The authority's config; ports are `[listen, admin, status, linkage]`.
fn authority_config(
    places: &Places<'_>,
    [listen, admin, status, linkage]: [u16; 4],
) -> anyhow::Result<PathBuf> {
    let path = places.at("jpki_authority/config.toml");
    write_config(
        &path,
        &format!(
            r#"# Written by `kazasu dev` at every start.
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
store = "store.sqlite"
keys_dir = "keys"
public_dir = "public"

[tls]
cert = "server.pem"
key = "server.key"

[status]
listen = "127.0.0.1:{status}"
url = "http://localhost:{status}"

[crl]
validity_seconds = 86400
republish_seconds = 30
delta_seconds = 10
shards = 16

[ocsp]
validity_seconds = 3600
reuse_seconds = 10
delegate_seconds = 604800

[names]
organization = "JPKI-EMULATED"
operator = "KAZASU TEST municipalities"
{linkage}"#,
            linkage = operators::linkage_config(linkage)
        ),
    )?;
    Ok(path)
}

fn write_configs(dir: &Path, ports_from: u16) -> anyhow::Result<Rooms> {
    let places = Places(dir);
    let port = |offset: u16| {
        ports_from
            .checked_add(offset)
            .with_context(|| format!("--ports-from {ports_from} leaves no room for nine ports"))
    };
    let [platform, platform_admin, authority, authority_admin] = [port(0)?, port(1)?, port(2)?, port(3)?];
    let [kiosk, kiosk_admin, reader] = [port(4)?, port(5)?, port(6)?];
    let status = status_port(ports_from)?;
    let linkage = port(8)?;
    authority_config(&places, [authority, authority_admin, status, linkage])?;
    write_config(
        &places.at("eligibility/config.toml"),
        &format!(
            r#"# Written by `kazasu dev` at every start.
listen = "127.0.0.1:{platform}"
admin_listen = "127.0.0.1:{platform_admin}"
store = "store.sqlite"
audit_log = "audit"
keys = "keys"
terminal_ca = "../ca/terminal-ca.pem"

[receipts]
log = "{RECEIPT_LOG}"
folder = "receipts"

[tls]
cert = "server.pem"
key = "server.key"

[revocation]
url = "https://localhost:{authority}/crl/auth.crl"
delta_url = "https://localhost:{authority}/crl/auth.delta.crl"
server_ca = "../ca/town-ca.pem"
auth_ca = ["../jpki_authority/public/auth-ca.pem"]
kept = "auth.crl"
refresh_seconds = 10
max_age_seconds = 86400

[unlock]
# A town is for trying things out: the same card may come again and again.
touches_per_card_and_day = 1000
card_profiles = ["eac", "jicsap"]
"#
        ),
    )?;
    write_config(
        &places.at("terminal/config.toml"),
        &format!(
            r#"# Written by `kazasu dev` at every start.
listen = "127.0.0.1:{kiosk}"
admin_listen = "127.0.0.1:{kiosk_admin}"
virtual_reader = "127.0.0.1:{reader}"

[platform]
url = "https://localhost:{platform}"
ca = "../ca/town-ca.pem"

[tls]
cert = "reception-1.pem"
key = "reception-1.key"

[secure_element]
image = "secure-element.json"
state = "secure-element.state"
chain = "secure-element.chain"
"#
        ),
    )?;
    let room = |name: &str, url: String, store: &str, admin: u16| Room {
        url,
        store: places.at(store),
        ca: places.at("ca/town-ca.pem"),
        ready: format!("http://127.0.0.1:{admin}/readyz"),
        metrics: format!("http://127.0.0.1:{admin}/metrics"),
        config: places.at(&format!("{name}/config.toml")),
    };
    let authority_url = format!("https://localhost:{authority}");
    let kiosk_url = format!("http://127.0.0.1:{kiosk}");
    Ok(Rooms {
        eligibility: room(
            "eligibility",
            format!("https://localhost:{platform}"),
            "eligibility/store.sqlite",
            platform_admin,
        ),
        jpki_authority: AuthorityRoom {
            crl: format!("{authority_url}/crl/auth.crl"),
            sign_crl: format!("{authority_url}/crl/sign.crl"),
            ocsp: format!("http://localhost:{status}/ocsp"),
            linkage: format!("https://localhost:{linkage}"),
            auth_ca: places.at("jpki_authority/public/auth-ca.pem"),
            sign_ca: places.at("jpki_authority/public/sign-ca.pem"),
            room: room("jpki_authority", authority_url, "jpki_authority/store.sqlite", authority_admin),
        },
        terminal: TerminalRoom {
            room: room("terminal", kiosk_url.clone(), "terminal/secure-element.state", kiosk_admin),
            kiosk: format!("{kiosk_url}/kiosk"),
            virtual_reader: format!("127.0.0.1:{reader}"),
        },
    })
}
