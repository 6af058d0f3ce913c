use super::*;
use crate::asn1::{tag, write};
use crate::extension::KeyUsage;
use crate::issue::IssuingAuthority;
use crate::oid;
use crate::profile::{Criticality, JpkiPurpose, extension};
use crate::revocation::UnknownCause;
use crate::testing::{self, NOW, TEN_YEARS_SECONDS, Town, YEAR_SECONDS, jpki_authority};
use proptest::prelude::*;

fn refusal(leaf: &[u8], anchors: &[TrustAnchor], profile: Profile) -> CertificateProblem {
    path(leaf, anchors, profile, NOW).unwrap_err()
}

#[test]
fn each_profile_takes_its_own_certificate_and_no_other() {
    let town = Town::new();
    let leaves = [
        (Profile::JpkiAuth, town.auth_leaf()),
        (Profile::JpkiSign, town.sign_leaf()),
        (Profile::Terminal, town.terminal_leaf()),
    ];
    for (profile, leaf) in &leaves {
        let good = path(leaf, &town.anchors(), *profile, NOW).unwrap();
        assert_eq!(good.profile(), *profile);
        assert_eq!(good.not_after(), NOW.plus(YEAR_SECONDS));
        assert_eq!(*good.certificate_sha256(), sha256(leaf));
        for (other, _) in leaves.iter().filter(|(other, _)| other != profile) {
            assert!(matches!(
                refusal(leaf, &town.anchors(), *other),
                CertificateProblem::WrongProfile { .. }
            ));
        }
    }
    let server = town.server_leaf();
    for profile in [Profile::JpkiAuth, Profile::JpkiSign, Profile::Terminal] {
        assert!(matches!(
            refusal(&server, &town.anchors(), profile),
            CertificateProblem::WrongProfile { .. }
        ));
        let authority = town.auth.certificate_der();
        let what = "an authority's certificate";
        assert_eq!(refusal(authority, &town.anchors(), profile), CertificateProblem::WrongProfile { what });
    }
}

#[test]
fn an_authority_with_the_same_name_does_not_vouch() {
    let town = Town::new();
    let twin = jpki_authority(JpkiPurpose::Authentication, 1);
    assert_eq!(twin.subject(), town.auth.subject());
    let twin_anchor = TrustAnchor::from_certificate(twin.certificate_der()).unwrap();
    let leaf = town.auth_leaf();
    assert_eq!(
        refusal(&leaf, std::slice::from_ref(&twin_anchor), Profile::JpkiAuth),
        CertificateProblem::ForeignIssuer
    );
    assert_eq!(refusal(&leaf, &[], Profile::JpkiAuth), CertificateProblem::ForeignIssuer);
    // Both generations trusted: the right one is found, whatever the order.
    let right = TrustAnchor::from_certificate(town.auth.certificate_der()).unwrap();
    for anchors in [[twin_anchor.clone(), right.clone()], [right.clone(), twin_anchor]] {
        let good = path(&leaf, &anchors, Profile::JpkiAuth, NOW).unwrap();
        assert_eq!(good.issuer_key_id(), right.key_id());
    }
}

#[test]
fn dates_include_their_ends() {
    let town = Town::new();
    let leaf = town.auth_leaf();
    let at = |now: UnixSeconds| path(&leaf, &town.anchors(), Profile::JpkiAuth, now).map(|_| ());
    assert_eq!(at(NOW.minus(1)), Err(CertificateProblem::NotYetValid));
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW.plus(YEAR_SECONDS)), Ok(()));
    assert_eq!(at(NOW.plus(YEAR_SECONDS + 1)), Err(CertificateProblem::Expired));
    assert_eq!(at(UnixSeconds(u64::MAX)), Err(CertificateProblem::Expired));
    // The same for evidence from a cache.
    let kept = path(&leaf, &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(kept.still_valid_at(NOW.plus(YEAR_SECONDS)), Ok(()));
    assert_eq!(kept.still_valid_at(NOW.plus(YEAR_SECONDS + 1)), Err(CertificateProblem::Expired));
    let status = Status::Good { this_update: NOW, age_seconds: 0 };
    let late = conclude(&kept, NOW.plus(YEAR_SECONDS + 1), status, OnUnknownStatus::Accept);
    assert_eq!(late.err(), Some(CertificateProblem::Expired));
}

#[test]
fn signatures_by_the_certificates_key_are_told_from_others() {
    let town = Town::new();
    let card_key = testing::signer(testing::rsa_key(2));
    let kept = path(&town.auth_leaf(), &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    let signature = card_key.sign(b"statement").unwrap();
    let good = kept.verify_signature(b"statement", &signature).unwrap();
    assert_eq!(good.certificate_sha256(), kept.certificate_sha256());
    let bad = |message: &[u8], signature: &[u8]| kept.verify_signature(message, signature).err();
    assert_eq!(bad(b"statement.", &signature), Some(CertificateProblem::BadSignature));
    assert_eq!(bad(b"statement", &[]), Some(CertificateProblem::BadSignature));
    let other = testing::signer(testing::rsa_key(1)).sign(b"statement").unwrap();
    assert_eq!(bad(b"statement", &other), Some(CertificateProblem::BadSignature));
}

#[test]
fn conclusions_follow_the_status_and_the_policy() {
    let town = Town::new();
    let kept = path(&town.auth_leaf(), &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    let both = |status| {
        [OnUnknownStatus::Refuse, OnUnknownStatus::Accept]
            .map(|policy| conclude(&kept, NOW, status, policy).map(|good| good.status_basis()))
    };
    let (this_update, at) = (NOW.minus(9), NOW.minus(5));
    let fresh = StatusBasis::FreshList { this_update, age_seconds: 9 };
    assert_eq!(both(Status::Good { this_update, age_seconds: 9 }), [Ok(fresh), Ok(fresh)]);
    let reason = RevocationReason::Superseded;
    let revoked = CertificateProblem::Revoked { reason, at };
    assert_eq!(both(Status::Revoked { reason, at }), [Err(revoked.clone()), Err(revoked)]);
    let held = CertificateProblem::Revoked { reason: RevocationReason::CertificateHold, at };
    assert_eq!(both(Status::Hold { since: at }), [Err(held.clone()), Err(held)]);
    let cause = UnknownCause::NoList;
    let unknown = CertificateProblem::StatusUnknown { cause };
    assert_eq!(both(Status::Unknown(cause)), [Err(unknown), Ok(StatusBasis::Nothing)]);
    let (age_seconds, limit_seconds) = (9, 8);
    let old = CertificateProblem::StatusTooOld { this_update, age_seconds, limit_seconds };
    let accepted = StatusBasis::OldList { this_update, age_seconds };
    assert_eq!(both(Status::Stale { this_update, age_seconds, limit_seconds }), [Err(old), Ok(accepted)]);

    let good =
        conclude(&kept, NOW, Status::Good { this_update, age_seconds: 9 }, OnUnknownStatus::Refuse).unwrap();
    assert_eq!(good.serial(), kept.serial());
    assert_eq!((good.status_age_seconds(), good.concluded_at()), (Some(9), NOW));
    assert_eq!((good.profile(), good.certificate_sha256()), (Profile::JpkiAuth, kept.certificate_sha256()));
}

#[test]
fn evidence_is_small_enough_to_keep_for_every_card_and_says_nothing_in_a_log() {
    // Measured with the parsed RSA key behind it: 1.2 kB, and 2.1 kB once it has verified a signature.
    assert!(size_of::<PathGood>() <= 320);
    let town = Town::new();
    let kept = path(&town.auth_leaf(), &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(format!("{kept:?}"), "PathGood { profile: JpkiAuth, .. }");
    fn shareable<T: Send + Sync>(_: &T) {}
    shareable(&kept);
}

/// A certificate under the town's authentication authority with exactly these extensions.
fn with_extensions(authority: &IssuingAuthority, serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    let list = write::sequence(extensions);
    let extensions = if extensions.is_empty() { Vec::new() } else { write::explicit(3, &list) };
    let tbs = write::sequence(&[
        &write::explicit(0, &[tag::INTEGER, 1, 2]),
        &write::tlv(tag::INTEGER, serial),
        &authority.algorithm_identifier(),
        authority.subject().as_der(),
        &write::sequence(&[&write::time(NOW), &write::time(NOW.plus(9))]),
        authority.subject().as_der(),
        &testing::rsa_spki(2),
        &extensions,
    ]);
    authority.sign(&tbs).unwrap()
}

#[test]
fn what_the_profile_wants_is_wanted() {
    let town = Town::new();
    let usage = |bits| extension(&oid::KEY_USAGE, Criticality::Critical, &write::named_bits(bits));
    let signing = usage(0x8000);
    let purpose = extension(
        &oid::EXTENDED_KEY_USAGE,
        Criticality::NonCritical,
        &write::sequence(&[&write::oid(&oid::CLIENT_AUTH)]),
    );
    let other_purpose = extension(
        &oid::EXTENDED_KEY_USAGE,
        Criticality::NonCritical,
        &write::sequence(&[&write::oid(&oid::SERVER_AUTH)]),
    );
    let policies = |policy| {
        let list = write::sequence(&[&write::sequence(&[&write::oid(policy)])]);
        extension(&oid::CERTIFICATE_POLICIES, Criticality::Critical, &list)
    };
    let (ours, other) = (policies(&oid::JPKI_AUTH_POLICY), policies(&oid::JPKI_SIGN_POLICY));
    let unknown = |criticality| extension(&oid::HOLDER_NAME, criticality, &[tag::NULL, 0]);
    let (harmless, critical) = (unknown(Criticality::NonCritical), unknown(Criticality::Critical));
    let outcome = |serial: &[u8], extensions: &[&[u8]]| {
        path(&with_extensions(&town.auth, serial, extensions), &town.anchors(), Profile::JpkiAuth, NOW)
            .map(|_| ())
    };
    assert_eq!(outcome(&[5], &[&signing, &purpose, &ours]), Ok(()));
    assert_eq!(outcome(&[5], &[&signing, &purpose, &ours, &harmless]), Ok(()));
    let wrong = |what| Err(CertificateProblem::WrongProfile { what });
    assert_eq!(
        outcome(&[5], &[&signing, &purpose, &ours, &critical]),
        wrong("critical extension that is not supported")
    );
    assert_eq!(outcome(&[5], &[&purpose, &ours]), wrong("no key usage"));
    assert_eq!(
        outcome(&[5], &[&usage(0x4000), &purpose, &ours]),
        wrong("key usage without digitalSignature")
    );
    assert_eq!(outcome(&[5], &[&signing, &ours]), wrong("extended key usage without clientAuth"));
    assert_eq!(
        outcome(&[5], &[&signing, &other_purpose, &ours]),
        wrong("extended key usage without clientAuth")
    );
    assert_eq!(outcome(&[5], &[&signing, &purpose]), wrong("policy of authentication certificates missing"));
    assert_eq!(
        outcome(&[5], &[&signing, &purpose, &other]),
        wrong("policy of authentication certificates missing")
    );
    // -1 would share its octet with 255 where only octets are compared.
    assert_eq!(outcome(&[0xFF], &[&signing, &purpose, &ours]), wrong("serial number that is not positive"));
    assert_eq!(outcome(&[0], &[&signing, &purpose, &ours]), wrong("serial number that is not positive"));
    assert!(matches!(
        outcome(&[5], &[&signing, &signing]),
        Err(CertificateProblem::Malformed { what: "repeated extension", .. })
    ));
    assert_eq!(outcome(&[5], &[]), wrong("no key usage"));
}

#[test]
fn an_anchor_must_be_an_authority_that_may_sign_what_it_signed() {
    let town = Town::new();
    let leaf = town.auth_leaf();
    assert!(matches!(TrustAnchor::from_certificate(&leaf), Err(CertificateProblem::WrongProfile { .. })));
    assert!(matches!(TrustAnchor::from_certificate(b"x"), Err(CertificateProblem::Malformed { .. })));
    let mut mute = town.anchors();
    for anchor in &mut mute {
        anchor.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
    }
    assert_eq!(refusal(&leaf, &mute, Profile::JpkiAuth), CertificateProblem::BadSignature);
    let list = town.crl(1, &[]);
    let problem = crate::crl::RevocationIndex::from_crl(&list, &mute, None).unwrap_err();
    assert_eq!(problem, crate::crl::CrlProblem::NotAListSigner);
}

#[test]
fn an_expired_authority_no_longer_vouches() {
    let town = Town::new();
    let mut anchors = town.anchors();
    for anchor in &mut anchors {
        anchor.not_after = NOW.plus(9).into();
    }
    let kept = path(&town.auth_leaf(), &anchors, Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(kept.not_after(), NOW.plus(9));
    assert_eq!(kept.still_valid_at(NOW.plus(10)), Err(CertificateProblem::Expired));
    let authority = Certificate::parse(town.auth.certificate_der()).unwrap();
    assert_eq!(authority.not_after(), NOW.plus(TEN_YEARS_SECONDS).into());
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused() {
    let town = Town::new();
    let anchors = town.anchors();
    for (profile, leaf) in [(Profile::JpkiAuth, town.auth_leaf()), (Profile::Terminal, town.terminal_leaf())]
    {
        for length in 0..leaf.len() {
            assert!(path(&leaf[..length], &anchors, profile, NOW).is_err(), "{length}");
        }
        for bit in 0..leaf.len() * 8 {
            let mut flipped = leaf.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(path(&flipped, &anchors, profile, NOW).is_err(), "bit {bit}");
        }
        let trailing = [leaf.as_slice(), &[0]].concat();
        let what = "certificate";
        let offset = leaf.len();
        assert_eq!(refusal(&trailing, &anchors, profile), CertificateProblem::Malformed { what, offset });
    }
}

proptest! {
    #[test]
    fn noise_is_refused_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..800)) {
        prop_assert!(Certificate::parse(&noise).is_err());
        prop_assert!(TrustAnchor::from_certificate(&noise).is_err());
        prop_assert!(VerifyingKey::from_spki_der(&noise).is_err());
    }

    #[test]
    fn noise_inside_a_certificate_is_read_or_refused_without_a_panic(
        noise in proptest::collection::vec(any::<u8>(), 1..40),
        place in 0usize..900,
    ) {
        static LEAF: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut leaf = LEAF.get_or_init(|| Town::new().auth_leaf()).clone();
        for (to, from) in leaf.iter_mut().skip(place).zip(&noise) {
            *to = *from;
        }
        // Whatever it became, its signature is not valid unless nothing changed.
        if let Ok(certificate) = Certificate::parse(&leaf) {
            prop_assert!(certificate.serial().as_bytes().len() <= 21);
        }
    }
}
