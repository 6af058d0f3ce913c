//! A relying party keeps certificates and asks after each publication what has changed: every cell of
//! `tests/vectors/revocation_meaning.csv`, step by step, with publications missed, and with old ones offered again.

use crate::town::{Folder, NOW, SHARDS, authority, person};
use jpki_authority::store::{ListForm, ListName, ListScope};
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::ocsp::CertIdHash;
use pki::ocsp::ask::{AnswerRules, Inquiry, NoncePolicy};
use pki::revocation::RevocationReason;
use pki::validate::TrustAnchor;
use pki::validate::input::Freshness;
use pki::watch::{Change, Kept, KeptStatus, Publications, Word, compare};
use protocol::entropy::Seeded;
use protocol::time::UnixSeconds;

const VECTORS: &str = include_str!("../vectors/revocation_meaning.csv");
const STEPS: usize = 3;

fn rows() -> Vec<[&'static str; 4]> {
    let rows = VECTORS.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split(", ").collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn stories() -> Vec<&'static str> {
    let mut stories: Vec<_> = rows().into_iter().map(|[story, ..]| story).collect();
    stories.dedup();
    assert_eq!(stories.len(), 9);
    stories
}

fn happen(authority: &Authority, card: &PersonCertificates, event: &str, now: UnixSeconds) {
    let auth = &card.card_holder_auth.serial;
    let event = match event {
        "moved_or_married" => CardEvent::MovedOrMarried,
        "left_register" => CardEvent::LeftRegister,
        "lost_card" => CardEvent::LostCard,
        "renewed" => CardEvent::Renewed,
        "returned_card" => CardEvent::ReturnedCard,
        "found" => return drop(authority.release_card(auth, now).unwrap()),
        "no_reason_given" => {
            let sign = card.document_signature.as_ref().unwrap().serial;
            let reason = RevocationReason::Unspecified;
            authority.revoke(*auth, CertificateKind::CardHolderAuth, reason, now).unwrap();
            authority.revoke(sign, CertificateKind::DocumentSignature, reason, now).unwrap();
            return;
        }
        other => panic!("no such event: {other}"),
    };
    authority.apply_event(event, auth, now).unwrap();
}

fn der(card: &PersonCertificates, kind: CertificateKind) -> &[u8] {
    match kind {
        CertificateKind::CardHolderAuth => &card.card_holder_auth.der,
        CertificateKind::DocumentSignature => &card.document_signature.as_ref().unwrap().der,
    }
}

/// When the lists of a step are published.
const fn at(step: usize) -> UnixSeconds {
    NOW.plus(100 * (step as u64 + 1))
}

/// Lists of one kind, by name.
type Lists = Vec<(ListName, Vec<u8>)>;

/// An authority, a card for each story, and what it published at each step.
struct Told {
    cards: Vec<PersonCertificates>,
    anchors: Vec<TrustAnchor>,
    /// Lists by step and kind: file name and DER.
    lists: Vec<[Lists; 2]>,
    /// OCSP words by step, source, story and kind.
    answers: Vec<Vec<(&'static str, usize, CertificateKind, Word)>>,
}

fn published(authority: &Authority, kind: CertificateKind) -> Lists {
    let scopes = std::iter::once(ListScope::Everything).chain((0..SHARDS).map(ListScope::Shard));
    let names =
        scopes.flat_map(|scope| [ListForm::Complete, ListForm::Delta].map(|form| ListName { scope, form }));
    names.filter_map(|name| Some((name, authority.list(kind, name)?.der.to_vec()))).collect()
}

fn ask(
    authority: &Authority,
    certificate: &[u8],
    kind: CertificateKind,
    source: &str,
    at: UnixSeconds,
) -> Word {
    let policy = if source == "ocsp" { NoncePolicy::Omit } else { NoncePolicy::Require };
    let issuer = authority.ca_certificate_der(kind);
    let inquiry =
        Inquiry::about(certificate, issuer, CertIdHash::Sha256, policy, &mut Seeded::new(at.0)).unwrap();
    let answer = authority.answer_ocsp(inquiry.request_der(), at);
    Word::of_answer(&inquiry.judge(&answer.der, &AnswerRules::default(), at).unwrap()).unwrap()
}

fn told() -> Told {
    let folder = Folder::new();
    let authority = authority(&folder);
    authority.rotate_delegates(NOW, &mut Seeded::new(71)).unwrap();
    let stories = stories();
    let issue = |place: usize| {
        authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(200 + place as u64)).unwrap()
    };
    let cards: Vec<_> = (0..stories.len()).map(issue).collect();
    let anchors = CertificateKind::ALL
        .map(|kind| TrustAnchor::from_certificate(authority.ca_certificate_der(kind)).unwrap());
    let mut told = Told { cards, anchors: anchors.into(), lists: Vec::new(), answers: Vec::new() };
    for step in 0..=STEPS {
        for (story, card) in stories.iter().zip(&told.cards) {
            if let Some(event) = story.split(" > ").nth(step.wrapping_sub(1)) {
                happen(&authority, card, event, at(step).minus(1));
            }
        }
        authority.publish(at(step)).unwrap();
        told.lists.push(CertificateKind::ALL.map(|kind| published(&authority, kind)));
        let mut answers = Vec::new();
        for (place, card) in told.cards.iter().enumerate() {
            for kind in CertificateKind::ALL {
                for source in ["ocsp", "ocsp_nonce"] {
                    answers.push((
                        source,
                        place,
                        kind,
                        ask(&authority, der(card, kind), kind, source, at(step)),
                    ));
                }
            }
        }
        told.answers.push(answers);
    }
    told
}

impl Told {
    /// What a source says at a step of the certificate of a story.
    fn words(&self, step: usize, story: usize, kind: CertificateKind, source: &str) -> Vec<Word> {
        if source.starts_with("ocsp") {
            let found =
                self.answers[step].iter().filter(|(s, p, k, _)| (*s, *p, *k) == (source, story, kind));
            return found.map(|(.., word)| *word).collect();
        }
        let place = CertificateKind::ALL.into_iter().position(|known| known == kind).unwrap();
        let is = |name: &ListName, everything: bool, form| {
            (name.scope == ListScope::Everything) == everything && name.form == form
        };
        // Everything for one kind, the parts for the other: both have deltas.
        let whole = kind == CertificateKind::DocumentSignature;
        let mut publications = Publications::new();
        let mut add = |step: usize, wanted: &dyn Fn(&ListName) -> bool| {
            for (_, der) in self.lists[step][place].iter().filter(|(name, _)| wanted(name)) {
                publications.add(der, &self.anchors).unwrap();
            }
        };
        match source {
            "full" => add(step, &|name| is(name, true, ListForm::Complete)),
            "sharded" => add(step, &|name| is(name, false, ListForm::Complete)),
            "delta" => {
                add(step.saturating_sub(1), &|name| is(name, whole, ListForm::Complete));
                add(step, &|name| is(name, whole, ListForm::Delta));
            }
            other => panic!("no such source: {other}"),
        }
        publications.words(&[self.fresh(story, kind)]).unwrap().remove(0)
    }

    fn fresh(&self, story: usize, kind: CertificateKind) -> Kept {
        Kept::of_certificate(der(&self.cards[story], kind), &self.anchors).unwrap()
    }

    fn compare(&self, kept: &Kept, step: usize, cell: (usize, CertificateKind, &str)) -> (Change, Kept) {
        let (story, kind, source) = cell;
        let words = self.words(step, story, kind, source);
        assert!(!words.is_empty(), "{source} covers {kind:?} at {step}");
        let (change, _, kept) = compare(kept, &words, at(step), &Freshness::default());
        (change, kept)
    }
}

/// What each step of a story is to one who asks after every publication.
fn expected(story: &str, kind: CertificateKind) -> Vec<&'static str> {
    let stays = kind == CertificateKind::CardHolderAuth;
    match story {
        "moved_or_married" if stays => vec!["unchanged"],
        "moved_or_married" | "left_register" | "renewed" | "returned_card" | "no_reason_given" => {
            vec!["revoked"]
        }
        "lost_card" => vec!["put-on-hold"],
        "lost_card > found" => vec!["put-on-hold", "released"],
        "lost_card > found > lost_card" => vec!["put-on-hold", "released", "put-on-hold"],
        "lost_card > renewed" => vec!["put-on-hold", "hold-became-revoked"],
        other => panic!("no such story: {other}"),
    }
}

fn word_of(status: KeptStatus) -> &'static str {
    match status {
        KeptStatus::Unknown => "unknown",
        KeptStatus::Good => "good",
        KeptStatus::Hold { .. } => "certificateHold",
        KeptStatus::Revoked { reason, .. } => reason.as_str(),
    }
}

#[test]
fn every_cell_of_the_table_is_seen_as_the_change_it_is() {
    let told = told();
    let stories = stories();
    let mut executed = 0;
    for [story, certificate, source, status] in rows() {
        let kind = CertificateKind::ALL.into_iter().find(|kind| kind.word() == certificate).unwrap();
        let place = stories.iter().position(|known| *known == story).unwrap();
        let cell = (place, kind, source);
        // There is no delta yet at the first publication: it is begun with the list of everything.
        let (first, begun) = told.compare(
            &told.fresh(place, kind),
            0,
            (place, kind, if source == "delta" { "full" } else { source }),
        );
        assert_eq!(first, Change::FirstSeen(KeptStatus::Good));
        let (mut kept, mut seen) = (begun.clone(), Vec::new());
        let steps = story.split(" > ").count();
        for step in 1..=steps {
            let (change, next) = told.compare(&kept, step, cell);
            seen.push(change.as_str());
            // Asked again with the same publication: nothing.
            assert!(matches!(told.compare(&next, step, cell).0, Change::Unchanged(_)), "{story} {source}");
            // The publication before it, offered again, is refused, whoever offers it.
            if !source.starts_with("delta") {
                let (old, stays) = told.compare(&next, step - 1, cell);
                assert!(matches!(old, Change::OlderThanKept { .. }), "{story} {source} {old:?}");
                assert_eq!(stays, next);
            }
            kept = next;
        }
        assert_eq!(seen, expected(story, kind), "{story}, {certificate}, {source}");
        assert_eq!(word_of(kept.status), status, "{story}, {certificate}, {source}");
        // One who slept through everything in between comes to the same end.
        let (_, late) = told.compare(&begun, steps, cell);
        assert_eq!(late.status, kept.status, "{story} {source}");
        executed += 1;
    }
    assert_eq!(executed, 90);
}

#[test]
fn who_missed_publications_learns_what_can_still_be_known() {
    let told = told();
    let place = |story: &str| stories().iter().position(|known| *known == story).unwrap();
    for kind in CertificateKind::ALL {
        for source in ["full", "sharded", "ocsp"] {
            let from_to = |story: &str, from: usize, to: usize| {
                let cell = (place(story), kind, source);
                let (_, kept) = told.compare(&told.fresh(cell.0, kind), from, cell);
                told.compare(&kept, to, cell).0
            };
            // Lost and found in between: it is as it was.
            assert_eq!(from_to("lost_card > found", 0, 2), Change::Unchanged(KeptStatus::Good));
            // On hold, and on hold: the date tells that it was released in between.
            let again = from_to("lost_card > found > lost_card", 1, 3);
            assert_eq!(again, Change::HeldAgain { since: at(3).minus(1) });
            let reason = RevocationReason::Superseded;
            assert_eq!(from_to("lost_card > renewed", 0, 2), Change::Revoked { reason, at: at(2).minus(1) });
            assert_eq!(
                from_to("lost_card > renewed", 1, 2),
                Change::HoldBecame { reason, at: at(2).minus(1) }
            );
        }
    }
}
