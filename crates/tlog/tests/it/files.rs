//! Notes, checkpoints and proof files: what is taken, and what is not.

use crate::memory::{Log, ORIGIN, entry, policy, signer};
use tlog::checkpoint::{Checkpoint, CheckpointError, LogPolicy};
use tlog::hash::Hash;
use tlog::note::{Ed25519Signer, Note, NoteError, NoteSigner as _, SignatureKind, VerifierKey};
use tlog::proof::{ProofError, prove_inclusion};
use tlog::proof_file::{ProofFile, ProofFileError};

fn witness(number: u8) -> Ed25519Signer {
    let name = format!("witness.example/w{number}");
    Ed25519Signer::from_seed(&name, SignatureKind::Cosignature, &[number; 32]).unwrap()
}

/// The example of C2SP signed-note's page: a text and the signature of a key whose name and id are in it.
#[test]
fn the_specifications_note_is_read_and_written_back() {
    let note = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let read = Note::parse(note).unwrap();
    assert!(read.text().ends_with("subito sera.\n"));
    assert_eq!(read.signatures().len(), 1);
    assert_eq!(read.to_text(), note);
}

/// The log's signature in the example of C2SP tlog-cosignature's page is not ours to verify (its key is not
/// given there); the form is.
#[test]
fn the_specifications_checkpoint_is_read() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint = Checkpoint::parse(text).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_text(), text);
}

#[test]
fn a_checkpoint_is_believed_by_its_keys_only() {
    let log = Log::of(300);
    let note = log.note().to_text();
    let trusted = policy().trust(&note).unwrap();
    assert_eq!((trusted.size(), *trusted.root(), trusted.origin()), (300, log.edge.root(), ORIGIN));
    assert_eq!(trusted.witnessed_at(), None);
    // Another key of the same name; another log by the same key.
    let stranger = Ed25519Signer::from_seed(ORIGIN, SignatureKind::Ed25519, &[8; 32]).unwrap();
    let other = LogPolicy::log_alone(ORIGIN, stranger.verifier().clone());
    assert_eq!(other.trust(&note), Err(CheckpointError::Note(NoteError::NoKnownKey)));
    let elsewhere = Checkpoint { origin: "log.kazasu.example/other".into(), ..log.head() };
    let elsewhere = elsewhere.sign(&signer()).unwrap().to_text();
    assert!(matches!(policy().trust(&elsewhere), Err(CheckpointError::OtherLog { .. })));
    // One octet of the text changed.
    let bad = CheckpointError::Note(NoteError::BadSignature { name: ORIGIN.into() });
    assert_eq!(policy().trust(&note.replace("\n300\n", "\n301\n")), Err(bad));
}

#[test]
fn witnesses_are_counted_and_their_times_told() {
    let log = Log::of(5);
    let mut note = log.note();
    let witnesses: Vec<_> = (1..=3).map(witness).collect();
    let policy = LogPolicy {
        witnesses: witnesses.iter().map(|witness| witness.verifier().clone()).collect(),
        witnesses_min: 2,
        ..policy()
    };
    let missing = |found| Err(CheckpointError::Witnesses { wanted: 2, found });
    assert_eq!(policy.trust(&note.to_text()), missing(0));
    note.sign(&witnesses[0], Some(1_700_000_100)).unwrap();
    assert_eq!(policy.trust(&note.to_text()), missing(1));
    // The same witness twice counts once.
    note.sign(&witnesses[0], Some(1_700_000_000)).unwrap();
    assert_eq!(policy.trust(&note.to_text()), missing(1));
    note.sign(&witnesses[2], Some(1_700_000_050)).unwrap();
    assert_eq!(policy.trust(&note.to_text()).unwrap().witnessed_at(), Some(1_700_000_000));
    // Witnesses alone are not the log.
    let mut alone = Note::new(&log.head().to_text()).unwrap();
    alone.sign(&witnesses[0], Some(1)).unwrap();
    alone.sign(&witnesses[1], Some(1)).unwrap();
    assert_eq!(policy.trust(&alone.to_text()), Err(CheckpointError::NotByTheLog));
    // A time belongs to cosignatures and to nothing else.
    assert!(note.sign(&witnesses[1], None).is_err());
    assert!(note.sign(&witnesses[1], Some(u64::MAX)).is_err());
    assert!(note.sign(&signer(), Some(1)).is_err());
}

#[test]
fn one_witness_cannot_sign_twice_in_a_note() {
    let note = Log::of(1).note().to_text();
    let line = note.lines().last().unwrap();
    let twice = format!("{note}{line}\n");
    let twice_signed = NoteError::Malformed { what: "two signatures of one key" };
    assert_eq!(policy().trust(&twice), Err(CheckpointError::Note(twice_signed)));
}

#[test]
fn verifier_keys_have_one_form() {
    let key = signer().verifier().clone();
    let text = key.to_text();
    assert_eq!(VerifierKey::parse(&text), Ok(key));
    let (name, rest) = text.split_once('+').unwrap();
    for bad in [
        String::new(),
        name.to_owned(),
        format!("+{rest}"),
        format!("a b+{rest}"),
        format!("{name}x+{rest}"),
        format!("{name}+00000000+{}", rest.split_once('+').unwrap().1),
        text.to_uppercase(),
        format!("{text}="),
        format!("{text}AAAA"),
    ] {
        assert!(VerifierKey::parse(&bad).is_err(), "{bad}");
    }
    for name in ["", "a b", "a+b", "a\u{3000}b", "a\n"] {
        assert!(VerifierKey::new(name, SignatureKind::Ed25519, [0; 32]).is_err(), "{name:?}");
    }
}

#[test]
fn crooked_notes_and_checkpoints_are_refused() {
    let note = Log::of(3).note().to_text();
    for bad in [
        String::new(),
        note.trim_end().to_owned(),
        note.replace("\n\n", "\n"),
        note.replace("— ", "- "),
        note.replace('\n', "\r\n"),
        note.replace("log.kazasu", "log\tkazasu"),
        format!("{note}\n"),
        format!("{note}text\n"),
        note.replacen("— ", "—  ", 1),
        format!("{}{}", note, "— a AAAAAAAA\n".repeat(64)),
        "a".repeat(tlog::note::NOTE_OCTETS_MAX + 1),
    ] {
        assert!(Note::parse(&bad).is_err(), "{bad:?}");
    }
    let root = Hash::of_nothing().to_base64();
    for bad in [
        String::new(),
        "a\n".into(),
        "a\n1\n".into(),
        format!("\n1\n{root}\n"),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        format!("a\n1\n{}\n", root.trim_end_matches('=')),
        format!("a\n1\n{root}"),
        format!("a\n1\n{root}\n\nb\n"),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
}

fn proof_file(log: &Log, index: u64) -> ProofFile {
    let proof = prove_inclusion(log, index, log.edge.size()).unwrap();
    ProofFile { extra: None, index, proof, checkpoint: log.note().to_text() }
}

#[test]
fn a_proof_file_is_checked_offline() {
    let log = Log::of(1_000);
    for (index, extra) in [(0, None), (777, Some(b"salt".to_vec())), (999, None)] {
        let file = ProofFile { extra, ..proof_file(&log, index) };
        let read = ProofFile::parse(&file.to_text()).unwrap();
        assert_eq!(read, file);
        let (included, checkpoint) = read.verify(&entry(index), &policy()).unwrap();
        assert_eq!((included.index(), included.size(), checkpoint.size()), (index, 1_000, 1_000));
        let other = read.verify(&entry(index + 1), &policy()).unwrap_err();
        assert_eq!(other, ProofFileError::Proof(ProofError::OtherRoot));
        let elsewhere = ProofFile { index: (index + 1) % 1_000, ..read };
        assert!(elsewhere.verify(&entry(index), &policy()).is_err());
    }
}

#[test]
fn crooked_proof_files_are_refused() {
    let text = proof_file(&Log::of(10), 4).to_text();
    for bad in [
        String::new(),
        text.replace("@v1", "@v2"),
        text.replace("index 4", "index 04"),
        text.replace("index 4", "index -4"),
        text.replace("index 4", "index"),
        text.replace("index 4\n", ""),
        text.replace("index 4", "extra !\nindex 4"),
        text.replace("index 4", "index 4\nindex 4"),
        text.replacen('=', "", 1),
        text.replacen("\n\n", "\n", 1),
        text.replace("index 4", &format!("index 4\n{}", "x\n".repeat(70).trim_end())),
    ] {
        let refused = ProofFile::parse(&bad).map_or(true, |file| file.verify(&entry(4), &policy()).is_err());
        assert!(refused, "{bad}");
    }
}
