use crate::town::{DAY, Folder, NOW, authority, child, person};
use jpki_authority::store::RevokeOutcome;
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::crl::RevocationIndex;
use pki::revocation::{RevocationReason, Status};
use pki::validate::TrustAnchor;
use protocol::entropy::Seeded;
use protocol::time::UnixSeconds;

fn status(authority: &Authority, kind: CertificateKind, card: &PersonCertificates) -> Status {
    let anchor = TrustAnchor::from_certificate(authority.ca_certificate_der(kind)).unwrap();
    let list = authority.current_list(kind).unwrap();
    let index = RevocationIndex::from_crl(&list.der, &[anchor], None).unwrap();
    let serial = match kind {
        CertificateKind::CardHolderAuth => card.card_holder_auth.serial,
        CertificateKind::DocumentSignature => card.document_signature.as_ref().unwrap().serial,
    };
    index.status(&serial, list.this_update, DAY)
}

fn expected(event: CardEvent, kind: CertificateKind, at: UnixSeconds, published: UnixSeconds) -> Status {
    match event.reason_for(kind) {
        None => Status::Good { this_update: published, age_seconds: 0 },
        Some(RevocationReason::CertificateHold) => Status::Hold { since: at },
        Some(reason) => Status::Revoked { reason, at },
    }
}

#[test]
fn every_event_reaches_every_certificate_as_the_report_says() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let untouched = authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(90)).unwrap();
    let (at, published) = (NOW.plus(10), NOW.plus(20));
    for (place, event) in CardEvent::ALL.into_iter().enumerate() {
        let mut entropy = Seeded::new(100 + place as u64);
        let card = authority.issue_person_certificates(&person(), NOW, &mut entropy).unwrap();
        authority.apply_event(event, &card.card_holder_auth.serial, at).unwrap();
        authority.publish(published).unwrap();
        for kind in CertificateKind::ALL {
            assert_eq!(
                status(&authority, kind, &card),
                expected(event, kind, at, published),
                "{event:?} {kind:?}"
            );
            let good = Status::Good { this_update: published, age_seconds: 0 };
            assert_eq!(status(&authority, kind, &untouched), good);
        }
    }
    // Four of the five events list authentication certificates, all five list signature certificates.
    assert_eq!(authority.current_list(CertificateKind::CardHolderAuth).unwrap().entries, 4);
    assert_eq!(authority.current_list(CertificateKind::DocumentSignature).unwrap().entries, 5);
}

#[test]
fn a_hold_may_become_permanent_and_a_permanent_reason_stays() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let card = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(7)).unwrap();
    let serial = card.card_holder_auth.serial;
    let kind = CertificateKind::CardHolderAuth;
    let apply = |event, at| authority.apply_event(event, &serial, at).unwrap();

    assert_eq!(apply(CardEvent::MovedOrMarried, NOW), []);
    assert_eq!(apply(CardEvent::LostCard, NOW.plus(1)), [(kind, RevokeOutcome::Recorded)]);
    // Reported lost again: the date of the first report stands.
    let stands = RevokeOutcome::Stands { reason: RevocationReason::CertificateHold, at: NOW.plus(1) };
    assert_eq!(apply(CardEvent::LostCard, NOW.plus(2)), [(kind, stands)]);
    assert_eq!(apply(CardEvent::Renewed, NOW.plus(3)), [(kind, RevokeOutcome::Recorded)]);
    let stands = RevokeOutcome::Stands { reason: RevocationReason::Superseded, at: NOW.plus(3) };
    for event in [CardEvent::LostCard, CardEvent::ReturnedCard, CardEvent::LeftRegister] {
        assert_eq!(apply(event, NOW.plus(4)), [(kind, stands)]);
    }
    authority.publish(NOW.plus(5)).unwrap();
    let revoked = Status::Revoked { reason: RevocationReason::Superseded, at: NOW.plus(3) };
    assert_eq!(status(&authority, kind, &card), revoked);
}

#[test]
fn one_certificate_can_be_revoked_alone() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let card = authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(7)).unwrap();
    let kind = CertificateKind::DocumentSignature;
    let serial = card.document_signature.as_ref().unwrap().serial;
    let outcome = authority.revoke(serial, kind, RevocationReason::KeyCompromise, NOW).unwrap();
    assert_eq!(outcome, RevokeOutcome::Recorded);
    authority.publish(NOW).unwrap();
    let revoked = Status::Revoked { reason: RevocationReason::KeyCompromise, at: NOW };
    assert_eq!(status(&authority, kind, &card), revoked);
    let good = Status::Good { this_update: NOW, age_seconds: 0 };
    assert_eq!(status(&authority, CertificateKind::CardHolderAuth, &card), good);
    // The serial numbers of the two kinds are different spaces.
    let other_kind =
        authority.revoke(serial, CertificateKind::CardHolderAuth, RevocationReason::Superseded, NOW);
    assert!(other_kind.is_err());
}
