//! The key ceremony: approvals, crashes between any two steps, transcripts that were changed.

use crate::town::{DAY, Folder, NOW};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hsm::KeySource;
use jpki_authority::ceremony::approval::{ApprovalProblem, Approvals, approvals_path};
use jpki_authority::ceremony::file::CeremonyFile;
use jpki_authority::ceremony::perform::{Ceremony, Outcome, Step};
use jpki_authority::ceremony::{CeremonyError, sha256_hex, transcript};
use pki::certificate::Certificate;
use pki::pem::{self, PemKind};
use pki::signer::{IssuerSigner, generate_p256_pkcs8, software_signer};
use protocol::entropy::Seeded;
use protocol::time::FixedClock;
use std::path::{Path, PathBuf};

/// Two operators with keys of their own.
pub(crate) struct Operators([Box<dyn IssuerSigner>; 2]);

impl Operators {
    pub(crate) fn new() -> Self {
        Self([(); 2].map(|()| software_signer(&generate_p256_pkcs8().unwrap()).unwrap()))
    }

    /// A ceremony file with these operators.
    pub(crate) fn write(&self, path: &Path, make: &str) -> PathBuf {
        let folder = path.with_extension("out");
        let mut text = format!(
            "title = \"Test\"\nreason = \"A test\"\nfolder = {folder:?}\napprovals = 2\n\
             [[witness]]\nname = \"W\"\nrole = \"auditor\"\n"
        );
        for (name, key) in ["Alice", "Bob"].into_iter().zip(&self.0) {
            let key = STANDARD.encode(key.spki_der());
            text.push_str(&format!("[[operator]]\nname = \"{name}\"\npublic_key = \"{key}\"\n"));
        }
        std::fs::write(path, text + make).unwrap();
        folder
    }

    pub(crate) fn approve(&self, path: &Path) {
        let (file, octets) = CeremonyFile::load(path).unwrap();
        let mut approvals = Approvals::default();
        for key in &self.0 {
            approvals.add(&file, &octets, key.as_ref(), NOW).unwrap();
        }
        std::fs::write(approvals_path(path), approvals.to_text()).unwrap();
    }
}

const ROOT: &str = "[make.root]\ndays = 3652\n\
    profile = { town = { common_name = \"Ceremony root\" } }\n\
    key = { algorithm = \"p-256\", place = { file = \"root.key\" } }\n";

fn below(root: &Path) -> String {
    format!(
        "[make.subordinate]\ndays = 100\nprofile = {{ town = {{ common_name = \"Below\" }} }}\n\
         key = {{ algorithm = \"p-256\", place = {{ file = \"below.key\" }} }}\n\
         issuer = {{ certificate = {:?}, key = {{ file = {:?} }} }}\n",
        root.join("certificate.pem"),
        root.join("root.key")
    )
}

pub(crate) fn hold(path: &Path, stop: Option<Step>, seed: u64) -> Result<Outcome, CeremonyError> {
    // Later at each attempt, as in life.
    let clock = FixedClock::at(NOW.plus(seed * DAY));
    Ceremony::prepare(path)?.perform("test", &clock, &mut Seeded::new(seed), &mut |step| {
        if Some(step) == stop {
            return Err(CeremonyError::Check { check: "the test stops here", why: format!("{step:?}") });
        }
        Ok(())
    })
}

fn certificate(folder: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(folder.join("certificate.pem")).unwrap();
    pem::decode(PemKind::Certificate, &text).unwrap().to_vec()
}

fn changed(looked: &[transcript::Looked]) -> Vec<&str> {
    looked.iter().filter(|looked| !looked.holds).map(|looked| looked.what.as_str()).collect()
}

#[test]
fn the_samples_are_read() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    let (root, _) = CeremonyFile::load(&samples.join("ceremony_root.toml")).unwrap();
    assert_eq!((root.make.word(), root.operators.len(), root.witnesses.len()), ("root", 3, 1));
    assert!(matches!(root.make.new_key().unwrap().place, KeySource::Pkcs11(_)));
    let (below, octets) = CeremonyFile::load(&samples.join("ceremony_subordinate.toml")).unwrap();
    assert_eq!(below.make.word(), "subordinate");
    assert!(below.folder.ends_with("samples/ceremony-hpki-sign"));
    // The specimens have approved nothing.
    assert!(Approvals::default().verify(&below, &octets).is_err());
}

#[test]
fn a_ceremony_makes_what_its_transcript_says_and_overwrites_nothing() {
    let (folder, operators) = (Folder::new(), Operators::new());
    let path = folder.path().join("root.toml");
    let out = operators.write(&path, ROOT);
    operators.approve(&path);
    let outcome = hold(&path, None, 0).unwrap();
    assert_eq!((outcome.folder.as_path(), outcome.resumed), (out.as_path(), false));
    let (read, looked) = transcript::check(&out.join("transcript.json")).unwrap();
    assert_eq!(changed(&looked), Vec::<&str>::new(), "{looked:#?}");
    assert_eq!(read, outcome.transcript);
    let names: Vec<&str> = read.operators.iter().map(|who| who.name.as_str()).collect();
    assert_eq!((names, read.witnesses[0].1.as_str()), (vec!["Alice", "Bob"], "auditor"));
    assert_eq!(read.ceremony_sha256, sha256_hex(&std::fs::read(&path).unwrap()));
    assert_eq!(read.began, "2025-11-22T01:02:03Z");
    let der = certificate(&out);
    let parsed = Certificate::parse(&der).unwrap();
    assert_eq!(parsed.not_before().0, i64::try_from(NOW.0).unwrap());
    assert_eq!(parsed.not_after().0, i64::try_from(NOW.0 + 3652 * DAY - 1).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(out.join("root.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // A second time there is nothing to be had, and nothing changes.
    assert!(matches!(hold(&path, None, 1), Err(CeremonyError::AlreadyThere { .. })));
    assert_eq!(certificate(&out), der);
    // The key is an issuer's: one below it.
    let path = folder.path().join("below.toml");
    let under = operators.write(&path, &below(&out));
    operators.approve(&path);
    hold(&path, None, 2).unwrap();
    let (_, looked) = transcript::check(&under.join("transcript.json")).unwrap();
    assert_eq!(changed(&looked), Vec::<&str>::new(), "{looked:#?}");
}

#[test]
fn a_ceremony_that_breaks_off_anywhere_goes_on_with_the_same_key_serial_and_dates() {
    let (folder, operators) = (Folder::new(), Operators::new());
    let root = folder.path().join("root.toml");
    let root_out = operators.write(&root, ROOT);
    operators.approve(&root);
    hold(&root, None, 0).unwrap();
    for (place, step) in Step::ALL.into_iter().enumerate() {
        let path = folder.path().join(format!("below-{place}.toml"));
        let out = operators.write(&path, &below(&root_out));
        operators.approve(&path);
        hold(&path, Some(step), 1).unwrap_err();
        assert!(!out.exists(), "{step:?}: nothing is to be seen before the end");
        let unfinished = PathBuf::from(format!("{}.unfinished", out.display()));
        let kept = |name: &str| std::fs::read(unfinished.join(name)).ok();
        let (key, issued, began) = (kept("below.key"), kept("certificate.pem"), kept("began.json"));
        assert_eq!(began.is_some(), step != Step::Begin, "{step:?}");
        assert_eq!(issued.is_some(), matches!(step, Step::Check | Step::Record | Step::Publish), "{step:?}");
        // Another ceremony does not get in between.
        let other = folder.path().join("other.toml");
        operators.write(&other, &below(&root_out));
        let text = std::fs::read_to_string(&other).unwrap();
        let text = text.replace(&format!("{:?}", other.with_extension("out")), &format!("{out:?}"));
        std::fs::write(&other, text.replace("A test", "Another")).unwrap();
        operators.approve(&other);
        if began.is_some() {
            assert!(matches!(hold(&other, None, 2), Err(CeremonyError::AnotherBrokeOff { .. })), "{step:?}");
        }
        let outcome = hold(&path, None, 3).unwrap();
        assert_eq!(outcome.resumed, began.is_some(), "{step:?}");
        assert!(!unfinished.exists());
        let now = |name: &str| std::fs::read(out.join(name)).unwrap();
        for (name, before) in [("below.key", key), ("certificate.pem", issued), ("began.json", began)] {
            assert!(before.is_none_or(|before| before == now(name)), "{step:?}: {name}");
        }
        let (_, looked) = transcript::check(&out.join("transcript.json")).unwrap();
        assert_eq!(changed(&looked), Vec::<&str>::new(), "{step:?}: {looked:#?}");
    }
}

#[test]
fn nothing_is_made_before_two_operators_have_signed_the_file_as_it_is() {
    let (folder, operators) = (Folder::new(), Operators::new());
    let path = folder.path().join("root.toml");
    let out = operators.write(&path, ROOT);
    let refused = |path: &Path| match hold(path, None, 0) {
        Err(CeremonyError::Approval(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(&path), ApprovalProblem::TooFew { found: 0, needed: 2, .. }));
    let (file, octets) = CeremonyFile::load(&path).unwrap();
    let mut approvals = Approvals::default();
    let save = |approvals: &Approvals| std::fs::write(approvals_path(&path), approvals.to_text()).unwrap();
    // Twice the same hand is one hand.
    for _ in 0..2 {
        approvals.add(&file, &octets, operators.0[0].as_ref(), NOW).unwrap();
    }
    let mut doubled = approvals.clone();
    doubled.all.extend(approvals.all.clone());
    save(&doubled);
    assert_eq!(refused(&path), ApprovalProblem::TooFew { found: 1, needed: 2, missing: "Bob".to_owned() });
    // Somebody else's key approves nothing, and Alice's signature is not Bob's.
    let stranger = software_signer(&generate_p256_pkcs8().unwrap()).unwrap();
    assert!(matches!(
        approvals.clone().add(&file, &octets, stranger.as_ref(), NOW),
        Err(CeremonyError::Approval(ApprovalProblem::Stranger { .. }))
    ));
    for (name, expected) in [("Bob", "Bob"), ("Mallory", "Mallory")] {
        let mut forged = approvals.clone();
        let mut copy = forged.all[0].clone();
        copy.operator = name.to_owned();
        forged.all.push(copy);
        save(&forged);
        assert!(refused(&path).to_string().contains(expected));
    }
    // Approved, and then changed.
    operators.approve(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("3652", "3653")).unwrap();
    assert!(matches!(refused(&path), ApprovalProblem::Invalid { .. }));
    assert!(!out.exists() && !PathBuf::from(format!("{}.unfinished", out.display())).exists());
    std::fs::write(&path, text).unwrap();
    hold(&path, None, 0).unwrap();
}

/// Rewrites the transcript and signs it with a key of one's own: only the certificate tells.
fn forge(out: &Path) {
    let own = software_signer(&generate_p256_pkcs8().unwrap()).unwrap();
    let public = pem::encode(PemKind::PublicKey, own.spki_der());
    std::fs::write(out.join("public-key.pem"), public.as_bytes()).unwrap();
    let path = out.join("transcript.json");
    let mut forged: transcript::Transcript = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    forged.signed_by = sha256_hex(own.spki_der());
    forged.key.as_mut().unwrap().public_key_sha256 = forged.signed_by.clone();
    let listed = forged.artefacts.iter_mut().find(|artefact| artefact.file == "public-key.pem").unwrap();
    (listed.sha256, listed.octets) = (sha256_hex(public.as_bytes()), public.len());
    let text = serde_json::to_string(&forged).unwrap();
    std::fs::write(&path, &text).unwrap();
    std::fs::write(out.join("transcript.sig"), own.sign(text.as_bytes()).unwrap()).unwrap();
}

#[test]
fn every_change_after_the_ceremony_is_found() {
    let (folder, operators) = (Folder::new(), Operators::new());
    let path = folder.path().join("root.toml");
    let out = operators.write(&path, ROOT);
    operators.approve(&path);
    hold(&path, None, 0).unwrap();
    let transcript_path = out.join("transcript.json");
    for name in ["ceremony.toml", "approvals.toml", "began.json", "certificate.pem", "public-key.pem"] {
        let file = out.join(name);
        let good = std::fs::read(&file).unwrap();
        // A line end more changes no meaning, and is a change.
        std::fs::write(&file, [good.as_slice(), b"\n"].concat()).unwrap();
        let (_, looked) = transcript::check(&transcript_path).unwrap();
        assert!(changed(&looked).contains(&name), "{name}: {looked:#?}");
        std::fs::remove_file(&file).unwrap();
        let (_, looked) = transcript::check(&transcript_path).unwrap();
        assert!(changed(&looked).contains(&name), "{name} removed: {looked:#?}");
        std::fs::write(&file, good).unwrap();
    }
    let text = std::fs::read_to_string(&transcript_path).unwrap();
    for (from, to) in
        [("\"Alice\"", "\"Carol\""), ("\"auditor\"", "\"visitor\""), ("2025-11-22", "2025-11-21")]
    {
        assert!(text.contains(from));
        std::fs::write(&transcript_path, text.replacen(from, to, 1)).unwrap();
        let (_, looked) = transcript::check(&transcript_path).unwrap();
        assert!(changed(&looked).contains(&"transcript.sig"), "{from}: {looked:#?}");
    }
    std::fs::write(&transcript_path, &text).unwrap();
    assert!(changed(&transcript::check(&transcript_path).unwrap().1).is_empty());
    forge(&out);
    let (_, looked) = transcript::check(&transcript_path).unwrap();
    assert_eq!(changed(&looked), ["path"], "{looked:#?}");
    std::fs::write(
        &transcript_path,
        text.replacen("\"kazasu_key_ceremony\": 1", "\"kazasu_key_ceremony\": 2", 1),
    )
    .unwrap();
    assert!(transcript::check(&transcript_path).is_err());
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_by_key() {
    let (folder, operators) = (Folder::new(), Operators::new());
    let path = folder.path().join("c.toml");
    let said = |make: &str, change: (&str, &str)| {
        operators.write(&path, make);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(change.0), "{}", change.0);
        std::fs::write(&path, text.replacen(change.0, change.1, 1)).unwrap();
        CeremonyFile::load(&path).unwrap_err().to_string()
    };
    for (change, expected) in [
        (("approvals = 2", "approvals = 1"), "approvals must be at least 2"),
        (("approvals = 2", "approvals = 3"), "operator must name at least"),
        (("\"Bob\"", "\"Alice\""), "operator must have a name and a key of their own"),
        (("\"A test\"", "\"A\\ntest\""), "must be words on one line"),
        (("\"root.key\"", "\"/root.key\""), "key.place.file must be a name of its own"),
        (("\"root.key\"", "\"certificate.pem\""), "key.place.file must be a name of its own"),
        (("3652", "0"), "make.days must be"),
        (("3652", "20000"), "make.days must be"),
        (
            ("town = { common_name = \"Ceremony root\" }", "hpki-sign = { organization = \"X-TEST\" }"),
            "make.root.profile is of an authority under a root",
        ),
        (
            ("town = { common_name = \"Ceremony root\" }", "hpki-root = { organization = \"HPKI\" }"),
            "must contain EMULATED or TEST",
        ),
        (
            (
                "town = { common_name = \"Ceremony root\" }",
                "jpki-auth = { organization = \"X-TEST\", operator = \"Y\" }",
            ),
            "key.algorithm must be RSA",
        ),
        (("days = 3652", "days = 3652\nyears = 10"), "unknown field `years`"),
        (("[make.root]", "[make.twig]"), "unknown variant `twig`"),
    ] {
        let said = said(ROOT, change);
        assert!(said.contains(expected), "{change:?}: {said}");
    }
    let delegate = "[make.delegate]\ncommon_name = \"d\"\ndays = 30\nkey = { algorithm = \"p-256\", place = { file = \"d.key\" } }\n\
        issuer = { certificate = \"c.pem\", key = { file = \"k\" } }\n";
    assert!(said(delegate, ("days = 30", "days = 31")).contains("make.delegate.days"));
    assert!(said(delegate, ("p-256", "rsa-2048")).contains("make.delegate.key.algorithm"));
}
