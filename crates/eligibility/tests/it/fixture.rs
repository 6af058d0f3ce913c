//! One platform, one terminal, one authority and as many cards as a test wants.

use card::rsa_key::CardRsaKey;
use chassis::durable_log::{DurableLog, LogOptions};
use eligibility::check::{Outcome, check};
use eligibility::config::{Freshness, Unlock};
use eligibility::hashes::expected_consent;
use eligibility::keys::PlatformKeys;
use eligibility::platform::{Parts, Platform};
use eligibility::receipts::ReceiptLog;
use eligibility::revocation::CurrentRevocation;
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{CoverageRow, Enrolment, Link, RegisteredTerminal, Standing, Store as _};
use pki::crl::{CrlContents, RevokedEntry};
use pki::issue::IssuingAuthority;
use pki::profile::{AuthorityProfile, JpkiPurpose, LeafProfile, Municipality, Validity, auth_common_name};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{SoftwareRsaSigner, generate_rsa_2048_pkcs8};
use pki::validate::TrustAnchor;
use protocol::answer::{
    AllowedProfiles, Bilingual, CardProfile, CivilDate, Coverage, RegisteredPerson, Relation,
};
use protocol::eligibility_v1::CheckRequest;
use protocol::entropy::Seeded;
use protocol::ids::{
    AuthCertSerial, BranchNumber, InstitutionCode, InsuredNumber, InsuredSymbol, InsurerNumber,
    SecureElementId, TerminalKeyHash,
};
use protocol::problem::{Language, Problem};
use protocol::sealed_evidence::{Evidence, EvidencePrivateKey};
use protocol::statement::{FreshnessNonce, Purposes, TouchMode, TouchStatement};
use protocol::time::{FixedClock, UnixSeconds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// 2026-11-22 03:00 in Tokyo.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_284_000);
pub(crate) const LOG_NAME: &str = "eligibility.test/receipts";
pub(crate) const TERMINAL: [u8; 32] = [1; 32];
pub(crate) const OTHER_TERMINAL: [u8; 32] = [2; 32];
pub(crate) const SUSPENDED_TERMINAL: [u8; 32] = [3; 32];
pub(crate) const INSTITUTION: &str = "9912345675";
pub(crate) const INSTITUTION_NAME: &str = "見本内科クリニック";
pub(crate) const STATUS_MAX_AGE: u64 = 3600;
const DAY: u64 = 86_400;

/// A folder that goes away with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kazasu-eligibility-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An authentication CA.
pub(crate) fn authority() -> IssuingAuthority {
    let signer = SoftwareRsaSigner::from_pkcs8(&generate_rsa_2048_pkcs8().unwrap()).unwrap();
    let profile = AuthorityProfile::Jpki {
        purpose: JpkiPurpose::Authentication,
        organization: "JPKI-EMULATED",
        operator: "Kazasu tests",
    };
    let validity = Validity { not_before: NOW.minus(DAY), not_after: NOW.plus(3650 * DAY) };
    IssuingAuthority::self_signed(
        &profile,
        SerialNumber::random(8, &mut Seeded::new(1)),
        validity,
        Box::new(signer),
    )
    .unwrap()
}

/// A card: its key and certificate.
pub(crate) struct Card {
    pub(crate) key: CardRsaKey,
    pub(crate) certificate: Vec<u8>,
    pub(crate) serial: SerialNumber,
}

impl Card {
    pub(crate) fn issue(authority: &IssuingAuthority, seed: u64) -> Self {
        Self::issue_for(
            authority,
            seed,
            Validity { not_before: NOW.minus(DAY), not_after: NOW.plus(365 * DAY) },
        )
    }

    pub(crate) fn issue_for(authority: &IssuingAuthority, seed: u64, validity: Validity) -> Self {
        let mut entropy = Seeded::new(seed);
        let key = CardRsaKey::generate().unwrap();
        let municipality = Municipality::new("99001", "Mihon-to", "Mihon-shi").unwrap();
        let common_name = auth_common_name(&municipality, &mut entropy);
        let profile = LeafProfile::JpkiAuth {
            common_name: &common_name,
            municipality: &municipality,
            ocsp_uri: None,
            list_place: None,
        };
        let serial = SerialNumber::random(8, &mut entropy);
        let certificate = authority.issue(&profile, serial, validity, key.spki_der()).unwrap();
        Self { key, certificate, serial }
    }

    pub(crate) fn auth_serial(&self) -> AuthCertSerial {
        AuthCertSerial::parse(self.serial.as_bytes()).unwrap()
    }
}

/// The platform and what is around it.
pub(crate) struct Bench {
    pub(crate) platform: Option<Arc<Platform>>,
    pub(crate) authority: IssuingAuthority,
    pub(crate) card: Card,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) folder: Folder,
    /// The Secure Element's evidence key of this arming.
    pub(crate) evidence_key: EvidencePrivateKey,
    pub(crate) profiles: AllowedProfiles,
}

fn parts(
    folder: &Path,
    authority: &IssuingAuthority,
    clock: &Arc<FixedClock>,
    profiles: AllowedProfiles,
) -> Parts {
    let anchors = Arc::new(vec![TrustAnchor::from_certificate(authority.certificate_der()).unwrap()]);
    let (log, _) = DurableLog::open(&folder.join("audit"), LogOptions::default()).unwrap();
    let keys = PlatformKeys::open(&folder.join("keys"), &mut Seeded::new(9)).unwrap();
    let receipts = ReceiptLog::open(&folder.join("receipts"), LOG_NAME, keys.receipt_log_secret()).unwrap();
    Parts {
        receipts: Arc::new(receipts),
        store: Arc::new(SqliteStore::open(&folder.join("store.sqlite")).unwrap()),
        log,
        keys,
        revocation: Arc::new(CurrentRevocation::open(Arc::clone(&anchors), &folder.join("auth.crl"))),
        anchors,
        clock: Arc::clone(clock) as Arc<dyn protocol::time::Clock>,
        freshness: Freshness::default(),
        unlock: Unlock::usual(profiles),
        status_max_age_seconds: STATUS_MAX_AGE,
    }
}

pub(crate) fn terminal(key: [u8; 32], standing: Standing) -> RegisteredTerminal {
    RegisteredTerminal {
        terminal_key_hash: TerminalKeyHash(key),
        institution: InstitutionCode::parse(INSTITUTION).unwrap(),
        institution_name: INSTITUTION_NAME.to_owned(),
        secure_element: SecureElementId([5; 8]),
        standing,
    }
}

pub(crate) fn coverage(insurer: &str, from: &str, to: Option<&str>, link: Link) -> CoverageRow {
    CoverageRow {
        coverage: Coverage {
            insurer_number: InsurerNumber::parse(insurer).unwrap(),
            insurer_name: format!("保険者{insurer}"),
            symbol: InsuredSymbol::parse("見本").unwrap(),
            number: InsuredNumber::parse("1234567").unwrap(),
            branch: BranchNumber::parse("00").unwrap(),
            kind: Bilingual::new("健康保険", "Health insurance"),
            relation: Relation::Insured,
            copay_percent: 30,
            limit_class: None,
            specific_disease: None,
            public_expenses: Vec::new(),
            valid_from: CivilDate::parse(from).unwrap(),
            valid_to: to.map(|d| CivilDate::parse(d).unwrap()),
        },
        link,
    }
}

pub(crate) fn enrolment(
    person_key: u64,
    serial: Option<AuthCertSerial>,
    rows: Vec<CoverageRow>,
) -> Enrolment {
    Enrolment {
        person_key,
        person: RegisteredPerson {
            name: "見本　花子".into(),
            name_kana: "ミホン　ハナコ".into(),
            birth_date: CivilDate::parse("1985-04-01").unwrap(),
        },
        auth_cert_serial: serial,
        rows,
    }
}

impl Bench {
    /// A platform that knows one card with one coverage.
    pub(crate) fn new() -> Self {
        let bench = Self::empty();
        bench.enrol("06990013", vec![coverage("06990013", "2024-04-01", None, Link::Confirmed)]);
        bench
    }

    /// A platform that knows its terminals, and a card nobody has linked.
    pub(crate) fn empty() -> Self {
        let folder = Folder::new();
        let authority = authority();
        let clock = Arc::new(FixedClock::at(NOW));
        let card = Card::issue(&authority, 2);
        let profiles = AllowedProfiles::ALL;
        let platform = Arc::new(Platform::recover(parts(&folder.0, &authority, &clock, profiles)).unwrap());
        let evidence_key = arming(1);
        let bench = Self { platform: Some(platform), authority, card, clock, folder, evidence_key, profiles };
        bench
            .store()
            .register_terminals(&[
                terminal(TERMINAL, Standing::Active),
                terminal(OTHER_TERMINAL, Standing::Active),
                terminal(SUSPENDED_TERMINAL, Standing::Suspended),
            ])
            .unwrap();
        bench.publish(1, &[]);
        bench
    }

    /// The store, opened once more.
    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.folder.0.join("store.sqlite")).unwrap()
    }

    pub(crate) fn enrol(&self, insurer: &str, rows: Vec<CoverageRow>) {
        let enrolment = enrolment(7, Some(self.card.auth_serial()), rows);
        let number = InsurerNumber::parse(insurer).unwrap();
        self.store().apply_load(&number, &format!("保険者{insurer}"), &[enrolment], NOW).unwrap();
    }

    pub(crate) fn platform(&self) -> &Arc<Platform> {
        self.platform.as_ref().unwrap()
    }

    /// Ends the process and starts another on the same files.
    pub(crate) fn restart(&mut self) {
        drop(self.platform.take());
        let parts = parts(&self.folder.0, &self.authority, &self.clock, self.profiles);
        self.platform = Some(Arc::new(Platform::recover(parts).unwrap()));
    }

    pub(crate) fn crl(&self, number: u64, at: UnixSeconds, entries: &[RevokedEntry]) -> Vec<u8> {
        let contents = CrlContents { number, this_update: at, next_update: at.plus(30 * DAY), entries };
        self.authority.issue_crl(&contents).unwrap()
    }

    /// Puts a CRL in force, as pulling it would.
    pub(crate) fn publish(&self, number: u64, revoked: &[(SerialNumber, RevocationReason)]) {
        let entries: Vec<RevokedEntry> = revoked
            .iter()
            .map(|(serial, reason)| RevokedEntry {
                serial: *serial,
                revoked_at: NOW,
                reason: *reason,
                invalid_since: None,
            })
            .collect();
        let der = self.crl(number, NOW, &entries);
        // The file is what a restart begins with.
        std::fs::write(self.folder.0.join("auth.crl"), &der).unwrap();
        self.revocation().install(&der).unwrap();
    }

    pub(crate) fn revocation(&self) -> &CurrentRevocation {
        self.platform().revocation()
    }

    pub(crate) fn nonce(&self) -> FreshnessNonce {
        self.platform().next_nonce(&TerminalKeyHash(TERMINAL))
    }

    pub(crate) fn statement(&self, counter: u64) -> TouchStatement {
        TouchStatement {
            mode: TouchMode::Online,
            purposes: Purposes::ELIGIBILITY,
            institution: InstitutionCode::parse(INSTITUTION).unwrap(),
            terminal_key_hash: TerminalKeyHash(TERMINAL),
            nonce: self.nonce(),
            counter,
            consent_text_hash: expected_consent(INSTITUTION_NAME, Purposes::ELIGIBILITY),
            time: protocol::time::Clock::now(self.clock.as_ref()),
        }
    }

    /// A request with the statement signed by `card`.
    pub(crate) fn signed_by(&self, statement: &TouchStatement, card: &Card) -> CheckRequest {
        let signature = card.key.sign_sha256(&statement.encode()).unwrap();
        self.sealed(statement, CardProfile::Jicsap, &signature, &card.certificate)
    }

    /// A request with this evidence, as a Secure Element seals it.
    pub(crate) fn sealed(
        &self,
        statement: &TouchStatement,
        profile: CardProfile,
        signature: &[u8; 256],
        auth_certificate: &[u8],
    ) -> CheckRequest {
        let sealing = self.evidence_key.sealing(self.platform().evidence_public_key()).unwrap();
        let evidence = Evidence { profile, signature, auth_certificate };
        CheckRequest {
            statement: statement.encode().to_vec(),
            evidence_key: *self.evidence_key.public(),
            sealed: sealing.seal(statement, &evidence).unwrap(),
        }
    }

    /// A good touch, as request bytes.
    pub(crate) fn touch(&self, counter: u64) -> Vec<u8> {
        serde_json::to_vec(&self.signed_by(&self.statement(counter), &self.card)).unwrap()
    }

    pub(crate) async fn send(&self, body: &[u8]) -> Outcome {
        check(self.platform(), TERMINAL, body, Language::Ja).await
    }

    pub(crate) async fn refused(&self, body: &[u8]) -> Problem {
        problem(&self.send(body).await)
    }
}

/// The evidence key of some arming.
pub(crate) fn arming(seed: u64) -> EvidencePrivateKey {
    EvidencePrivateKey::draw(&mut Seeded::new(seed)).unwrap()
}

pub(crate) fn problem(outcome: &Outcome) -> Problem {
    assert_ne!(outcome.status, 200, "{}", String::from_utf8_lossy(&outcome.body));
    let problem: Problem = serde_json::from_slice(&outcome.body).unwrap();
    assert_eq!(problem.status, outcome.status);
    problem
}
