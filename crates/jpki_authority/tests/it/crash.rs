//! The process dies: between commit and signature, and at any other moment. What was acknowledged is
//! there afterwards, numbers rise, and no number is used twice.
//!
//! Each test starts its own program again, as a child that knows from its environment that it is one.

use crate::town::{Folder, NOW, authority, child};
use chassis::entropy::SystemEntropy;
use jpki_authority::authority::Signers;
use jpki_authority::error::AuthorityError;
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
use std::io::{BufRead, BufReader, Write as _};
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
    // Each kind's round has, from the second on, a complete list and a delta of everything and of each shard.
    let lists = 2 * (1 + i64::from(crate::town::SHARDS));
    let made = Folder::new();
    let first = authority(&made);
    first.publish(NOW).unwrap();
    let before = first.current_list(AUTH).unwrap();
    drop(first);
    for dies_at in 0..2 + 2 * lists {
        let folder = Folder::new();
        let copied = Command::new("cp").arg("-a").arg(made.path().join(".")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
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
        // A round is kept whole or not at all: the first kind's once the second kind's has begun.
        let kept = dies_at >= 2 + lists;
        assert_eq!(second.current_list(AUTH).unwrap() == before, !kept);
        for (kind, number) in CertificateKind::ALL.into_iter().zip([1 + u64::from(kept), 1]) {
            assert_eq!(served_numbers(&second, kind), HashSet::from([number]), "{dies_at} {kind:?}");
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

/// The numbers of all the lists of a kind that are served: one, if rounds are kept whole.
fn served_numbers(authority: &Authority, kind: CertificateKind) -> HashSet<u64> {
    let names = authority.plan(kind).unwrap().names().collect::<Vec<_>>();
    names.iter().filter_map(|name| authority.list(kind, *name)).map(|list| list.number).collect()
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
    let failure = work(&authority).unwrap_err();
    // Only a write fails here, and then what was served is served, and the status is still known.
    assert!(matches!(failure, AuthorityError::Store(StoreError::Engine(_))), "{failure}");
    for kind in CertificateKind::ALL {
        assert!(served_numbers(&authority, kind).len() < 2);
    }
    println!("@ failed");
}

fn work(authority: &Authority) -> Result<(), AuthorityError> {
    let mut out = std::io::stdout();
    let mut say = move |line: String| {
        writeln!(out, "@ {line}").unwrap();
        out.flush().unwrap();
    };
    for turn in 0_u64.. {
        let at = NOW.plus(turn);
        let card = authority.issue_person_certificates(&child(), at, &mut SystemEntropy)?;
        let serial = card.card_holder_auth.serial;
        say(format!("issued {}", hex(serial.as_bytes())));
        let apply = |event| authority.apply_event(event, &serial, at);
        if turn % 3 != 0 {
            apply(CardEvent::LostCard)?;
            say(format!("6 {}", hex(serial.as_bytes())));
        }
        if turn % 3 == 1 {
            authority.release_card(&serial, at)?;
            say(format!("good {}", hex(serial.as_bytes())));
        }
        if turn % 2 == 0 {
            apply(CardEvent::ReturnedCard)?;
            say(format!("5 {}", hex(serial.as_bytes())));
        }
        authority.publish(at)?;
        let list = authority.current_list(AUTH).unwrap();
        say(format!("published {} {}", list.number, hex(&pki::ocsp::sha256(&list.der))));
    }
    Ok(())
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
    /// The list that was looked at last.
    list: Option<Vec<u8>>,
    /// Writes that failed and were told.
    failed: usize,
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
            ["failed"] => self.failed += 1,
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
        tail(&mut out, &mut seen);
        seen.at_work.insert(seen.last.clone());
        // Looking at every death takes long; the last one sees the marks of all.
        if death % 10 == 9 || death + 1 == DEATHS {
            look(&folder, &mut seen, NOW.plus(100_000 + death as u64));
        }
    }
    assert!(seen.lists.len() > 5 && seen.status.len() > DEATHS, "the children did hardly anything");
}

/// The rest of what a child said.
fn tail(out: &mut impl BufRead, seen: &mut Acknowledged) {
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if let Some((_, said)) = line.strip_suffix('\n').and_then(|whole| whole.split_once("@ ")) {
            seen.take(said);
        }
        line.clear();
    }
}

/// What a child said until its end.
fn hear(child: &mut Child, seen: &mut Acknowledged) {
    tail(&mut BufReader::new(child.stdout.take().unwrap()), seen);
    child.wait().unwrap();
    seen.at_work.insert(seen.last.clone());
}

/// The kernel refuses to let any file grow past a limit: every limit fails another write, in the middle of
/// a transaction or of its commit. Where the signal of the refusal is not ignored, it kills.
#[test]
fn a_write_that_fails_or_kills_loses_nothing_acknowledged() {
    const NAME: &str = "crash::a_write_that_fails_or_kills_loses_nothing_acknowledged";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return work_until_killed(folder.into());
    }
    let folder = Folder::new();
    let authority = authority(&folder);
    let mut seen = Acknowledged::default();
    // As long as this connection is open nobody clears the log away.
    let log = folder.config().store.with_extension("sqlite-wal");
    let (mut fell, mut limits) = (0, 0);
    for step in 0..32_u64 {
        // In units of 512 octets; a page of the log with its head has 4,120.
        let limit = std::fs::metadata(&log).unwrap().len() / 512 + 1 + step % 9 * 24;
        let ignore = if step % 2 == 0 { "trap '' XFSZ;" } else { "" };
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -c 0; {ignore} ulimit -f {limit}; exec \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = seen.failed;
        hear(&mut child, &mut seen);
        limits += 1;
        fell += usize::from(seen.failed == before);
        if step % 8 == 7 {
            look(&folder, &mut seen, NOW.plus(100_000 + step));
        }
    }
    drop(authority);
    assert!(seen.failed >= 10 && fell >= 10 && seen.failed + fell == limits, "{} {fell}", seen.failed);
    assert!(seen.status.len() > 20, "the children did hardly anything");
}

/// Takes the authority up and holds it against what was acknowledged.
fn look(folder: &Folder, seen: &mut Acknowledged, now: UnixSeconds) {
    let authority = Authority::open(folder.config()).unwrap();
    if let Some(served) = authority.current_list(AUTH) {
        assert!(served.number >= seen.highest);
        let digest = hex(&pki::ocsp::sha256(&served.der));
        assert!(seen.lists.get(&served.number).is_none_or(|known| *known == digest));
    }
    for kind in CertificateKind::ALL {
        assert!(served_numbers(&authority, kind).len() < 2, "a round is kept whole");
    }
    authority.publish(now).unwrap();
    let list = authority.current_list(AUTH).unwrap();
    assert!(list.number > seen.highest, "numbers rise");
    seen.highest = list.number;
    let listed = ListView::read(&list.der).unwrap();
    if let Some(before) = seen.list.replace(list.der.to_vec()) {
        let left = ListView::read(&before).unwrap().departed(&listed);
        let released = left.iter().all(|(_, reason)| *reason == RevocationReason::CertificateHold);
        assert!(released, "somebody left who was not on hold");
    }
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
