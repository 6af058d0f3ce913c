//! The process dies: between commit and signature, and at any other moment. What was acknowledged is
//! there afterwards, numbers rise, and no number is used twice.
//!
//! Each test starts its own program again, as a child that knows from its environment that it is one.

use crate::town::{Folder, NOW, authority, child};
use chassis::entropy::SystemEntropy;
use jpki_authority::authority::Signers;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{CertificateStore as _, NewCertificate, RevokeOutcome, StoreError};
use jpki_authority::{Authority, CardEvent, CertificateKind};
use pki::crl::ListView;
use pki::public_key::SignatureAlgorithm;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner, SignError, software_signer};
use protocol::entropy::Seeded;
use protocol::time::UnixSeconds;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the child works; set for children only.
const FOLDER: &str = "KAZASU_CRASH_FOLDER";
/// At which signature the child dies.
const SIGNATURES: &str = "KAZASU_CRASH_SIGNATURES";
const AUTH: CertificateKind = CertificateKind::CardHolderAuth;

/// Starts this program again, for one test.
pub(crate) fn start(test: &str, folder: &Folder, signatures: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .env(SIGNATURES, signatures.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Where this process works, if it is a child.
pub(crate) fn folder_of_child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// A signer that ends the process instead of making its n-th signature.
struct Deadly {
    inner: Box<dyn IssuerSigner>,
    left: Arc<AtomicI64>,
}

impl IssuerSigner for Deadly {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }

    fn spki_der(&self) -> &[u8] {
        self.inner.spki_der()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::process::abort();
        }
        self.inner.sign(tbs)
    }
}

/// The authority in the child's folder, which dies at the signature it was told.
pub(crate) fn deadly(folder: PathBuf) -> Authority {
    let config = Folder::config_in(&folder);
    let left = std::env::var(SIGNATURES).unwrap().parse().unwrap();
    let left = Arc::new(AtomicI64::new(left));
    let signer = |name: &str| {
        let pkcs8 = std::fs::read(config.keys_dir.join(name)).unwrap();
        Box::new(Deadly { inner: software_signer(&pkcs8).unwrap(), left: Arc::clone(&left) })
    };
    let signers =
        Signers { card_holder_auth: signer("auth-ca.key"), document_signature: signer("sign-ca.key") };
    let store = Arc::new(SqliteStore::open(&config.store).unwrap());
    Authority::with_parts(config, signers, store).unwrap()
}

#[test]
fn a_death_between_commit_and_signature_burns_the_number_and_nothing_else() {
    let registration = crate::town::person;
    if let Some(folder) = std::env::var_os(FOLDER) {
        let authority = deadly(folder.into());
        // Signature 0 is the authentication certificate, 1 the signature certificate, 2 and on the lists.
        authority.issue_person_certificates(&registration(), NOW, &mut Seeded::new(9)).unwrap();
        authority.publish(NOW.plus(60)).unwrap();
        return;
    }
    let drawn = {
        let mut entropy = Seeded::new(9);
        [(); 2].map(|()| SerialNumber::random(8, &mut entropy))
    };
    let lists = 1 + usize::from(crate::town::SHARDS);
    // One round of each kind has a complete list and, from the second round on, a delta of each scope.
    for dies_at in [0, 1, 2, 3, 2 + lists as i64, 2 + 2 * lists as i64] {
        let folder = Folder::new();
        let first = authority(&folder);
        first.publish(NOW).unwrap();
        let before = first.current_list(AUTH).unwrap();
        drop(first);
        let name = "crash::a_death_between_commit_and_signature_burns_the_number_and_nothing_else";
        let status = start(name, &folder, dies_at).wait().unwrap();
        assert!(!status.success(), "it lived through signature {dies_at}");

        let store = SqliteStore::open(&folder.config().store).unwrap();
        for (kind, serial) in CertificateKind::ALL.into_iter().zip(drawn) {
            let again = NewCertificate { kind, serial, shard: None };
            assert_eq!(store.spend_serials(&[again], None, NOW), Err(StoreError::SerialTaken));
        }
        let signed = |kind, serial| store.standing(kind, serial).unwrap().unwrap().not_after.is_some();
        assert_eq!(signed(AUTH, &drawn[0]), dies_at > 0);
        assert_eq!(signed(CertificateKind::DocumentSignature, &drawn[1]), dies_at > 1);
        drop(store);

        let second = Authority::open(folder.config()).unwrap();
        if dies_at < 2 + 2 * lists as i64 {
            // The round that died left the old list in its place.
            assert_eq!(second.current_list(AUTH).unwrap(), before);
        }
        // Whoever may hold a certificate of the burnt number can still be stopped.
        let reason = RevocationReason::KeyCompromise;
        assert_eq!(second.revoke(drawn[0], AUTH, reason, NOW).unwrap(), RevokeOutcome::Recorded);
        second.publish(NOW.plus(120)).unwrap();
        let after = second.current_list(AUTH).unwrap();
        assert!(after.number > before.number);
        assert_eq!(ListView::read(&after.der).unwrap().entry(&drawn[0]), Some(reason));
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Issues, holds, releases, revokes and publishes until it is killed, and says what is done.
fn work_until_killed(folder: PathBuf) {
    let authority = Authority::open(Folder::config_in(&folder)).unwrap();
    let mut out = std::io::stdout();
    let mut say = move |line: String| {
        writeln!(out, "@ {line}").unwrap();
        out.flush().unwrap();
    };
    for turn in 0_u64.. {
        let at = NOW.plus(turn);
        let card = authority.issue_person_certificates(&child(), at, &mut SystemEntropy).unwrap();
        let serial = card.card_holder_auth.serial;
        say(format!("issued {}", hex(serial.as_bytes())));
        let apply = |event| authority.apply_event(event, &serial, at).unwrap();
        if turn % 3 != 0 {
            apply(CardEvent::LostCard);
            say(format!("6 {}", hex(serial.as_bytes())));
        }
        if turn % 3 == 1 {
            authority.release_card(&serial, at).unwrap();
            say(format!("good {}", hex(serial.as_bytes())));
        }
        if turn % 2 == 0 {
            apply(CardEvent::ReturnedCard);
            say(format!("5 {}", hex(serial.as_bytes())));
        }
        authority.publish(at).unwrap();
        let list = authority.current_list(AUTH).unwrap();
        say(format!("published {} {}", list.number, hex(&pki::ocsp::sha256(&list.der))));
    }
}

/// What the children have acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// Word of the status that each serial must have: `issued`, `good`, `5`, `6`.
    status: HashMap<String, String>,
    /// The serial of the last line.
    last: String,
    /// Serials that a child was at work on when it died: more may be done than it could say, never less.
    at_work: HashSet<String>,
    lists: HashMap<u64, String>,
    highest: u64,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["published", number, digest] => {
                let number = number.parse().unwrap();
                self.highest = self.highest.max(number);
                let before = self.lists.insert(number, digest.to_owned());
                assert!(before.is_none_or(|before| before == digest), "list {number} exists twice");
            }
            [word, serial] => {
                self.last = serial.to_owned();
                self.status.insert(serial.to_owned(), word.to_owned());
            }
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    const DEATHS: usize = 50;
    if let Some(folder) = std::env::var_os(FOLDER) {
        return work_until_killed(folder.into());
    }
    let folder = Folder::new();
    drop(authority(&folder));
    let mut seen = Acknowledged::default();
    let mut seed = Seeded::new(4);
    for death in 0..DEATHS {
        let mut child = start("crash::killed_at_any_moment_nothing_acknowledged_is_lost", &folder, 0);
        let lines = 1 + seed.next_u64() % 9;
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut read = 0;
        while read < lines {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
            // The test harness of the child speaks too.
            if let Some((_, said)) = line.trim_end().split_once("@ ") {
                seen.take(said);
                read += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between our decision and its death counts as well; a line cut short does not.
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.strip_suffix('\n').and_then(|whole| whole.split_once("@ ")) {
                seen.take(said);
            }
            line.clear();
        }
        seen.at_work.insert(seen.last.clone());
        // Looking at every death takes long; the last one sees the marks of all.
        if death % 10 == 9 || death + 1 == DEATHS {
            look(&folder, &mut seen, NOW.plus(100_000 + death as u64));
        }
    }
    assert!(seen.lists.len() > 5 && seen.status.len() > DEATHS, "the children did hardly anything");
}

/// Takes the authority up and holds it against what was acknowledged.
fn look(folder: &Folder, seen: &mut Acknowledged, now: UnixSeconds) {
    let authority = Authority::open(folder.config()).unwrap();
    if let Some(served) = authority.current_list(AUTH) {
        assert!(served.number >= seen.highest);
        let digest = hex(&pki::ocsp::sha256(&served.der));
        assert!(seen.lists.get(&served.number).is_none_or(|known| *known == digest));
    }
    authority.publish(now).unwrap();
    let list = authority.current_list(AUTH).unwrap();
    assert!(list.number > seen.highest, "numbers rise");
    seen.highest = list.number;
    let listed = ListView::read(&list.der).unwrap();
    for (serial, word) in &seen.status {
        let serial = SerialNumber::from_octets(&unhex(serial)).unwrap();
        let reason = listed.entry(&serial).map(|reason| reason.code());
        let at_work = seen.at_work.contains(&hex(serial.as_bytes()));
        let right = match word.as_str() {
            "5" => reason == Some(5),
            "6" => reason == Some(6) || (at_work && matches!(reason, Some(5) | None)),
            "good" => reason.is_none() || (at_work && reason == Some(5)),
            _ => reason.is_none() || (at_work && matches!(reason, Some(5 | 6))),
        };
        assert!(right, "{word}, and the list says {reason:?}");
    }
}
