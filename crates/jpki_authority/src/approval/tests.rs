use super::*;
use pki::signer::{SoftwareP256Signer, generate_p256_pkcs8};
use protocol::entropy::Seeded;
use std::collections::HashSet;

const NOW: UnixSeconds = UnixSeconds(1_000_000);
const HOUR: u64 = 3_600;
const SCOPE: AuthorityScope = AuthorityScope([7; 32]);

fn key() -> SoftwareP256Signer {
    SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap()
}

/// Three operators with their keys.
fn three() -> (Roster, [SoftwareP256Signer; 3]) {
    let keys = [key(), key(), key()];
    let operators = ["aoi", "ben", "chie"]
        .iter()
        .zip(&keys)
        .map(|(name, key)| Operator::new(name, key.spki_der(), NOW.minus(HOUR)).unwrap());
    (Roster(operators.collect()), keys)
}

fn suspend() -> Operation {
    Operation::SuspendInstitution { institution: "1310000001".into() }
}

fn request(by: &str, key: &SoftwareP256Signer, seed: u64) -> SignedRequest {
    let when = (NOW, HOUR);
    SignedRequest::sign(&suspend(), (by, "stolen"), when, SCOPE, key, &mut Seeded::new(seed)).unwrap()
}

fn approve(request: &SignedRequest, by: &str, key: &SoftwareP256Signer, at: UnixSeconds) -> SignedDecision {
    SignedDecision::sign(request, Verdict::Approve, (by, at), SCOPE, key).unwrap()
}

fn pending(request: &SignedRequest, roster: &Roster) -> Pending {
    Pending::new(request.clone(), roster, SCOPE, NOW).unwrap()
}

#[test]
fn two_people_agree() {
    let (roster, [a, b, _]) = three();
    let request = request("aoi", &a, 1);
    let decision = approve(&request, "ben", &b, NOW);
    let decided = pending(&request, &roster).decide(&decision, &roster, SCOPE, NOW).unwrap();
    let Decided::Approved(approved) = decided else { panic!("refused") };
    assert_eq!((approved.operation(), approved.people()), (&suspend(), ["aoi", "ben"]));
    assert_eq!(Approved::again(request, &decision, &roster, SCOPE), Ok(approved));
}

#[test]
fn one_person_never_agrees_with_themselves() {
    let (mut roster, [a, b, _]) = three();
    let request = request("aoi", &a, 1);
    let decide = |decision: &SignedDecision, roster: &Roster| {
        pending(&request, roster).decide(decision, roster, SCOPE, NOW).unwrap_err()
    };
    assert_eq!(decide(&approve(&request, "aoi", &a, NOW), &roster), ApprovalError::SamePerson);
    // Under another's name, with the own key.
    assert_eq!(decide(&approve(&request, "ben", &a, NOW), &roster), ApprovalError::Signature);
    // The store refuses one key under two names; should it ever hold them, this does.
    roster.0[1].spki_der = a.spki_der().to_vec();
    assert_eq!(decide(&approve(&request, "ben", &a, NOW), &roster), ApprovalError::SameKey);
    assert_eq!(decide(&approve(&request, "ben", &b, NOW), &roster), ApprovalError::SameKey);
    assert_eq!(decide(&approve(&request, "nobody", &b, NOW), &roster), ApprovalError::OperatorUnknown);
}

/// What a change of a request has to be refused with.
type Change = fn(&mut SignedRequest);

#[test]
fn whatever_is_changed_after_signing_fits_no_signature() {
    let (roster, [a, b, _]) = three();
    let signed = request("aoi", &a, 1);
    let decision = approve(&signed, "ben", &b, NOW);
    let changes: [Change; 7] = [
        |request| request.id.0[0] ^= 1,
        |request| request.operation = Operation::ReplaceDelegates {}.to_bytes(),
        |request| request.why.push('!'),
        |request| request.requested_by = "chie".into(),
        |request| request.requested_at = request.requested_at.plus(1),
        |request| request.expires_at = request.expires_at.plus(1),
        |request| request.signature[10] ^= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = signed.clone();
        change(&mut changed);
        let refused = Err(ApprovalError::Signature);
        assert_eq!(Pending::new(changed.clone(), &roster, SCOPE, NOW), refused, "{number}");
        assert_eq!(Pending::again(changed.clone(), &roster, SCOPE), refused, "{number}");
        assert_eq!(
            Approved::again(changed.clone(), &decision, &roster, SCOPE),
            Err(ApprovalError::Signature),
            "{number}"
        );
        // Signed again by the requester, the change is the requester's; the approval is not for it.
        changed.requested_by = "aoi".into();
        changed.signature = a.sign(&changed.message(SCOPE)).unwrap();
        let is_new = changed.message(SCOPE) != signed.message(SCOPE);
        let again = Approved::again(changed, &decision, &roster, SCOPE);
        assert_eq!(again.err(), Some(ApprovalError::Signature), "{number} {is_new}");
    }
    // Another authority's operators, with the same keys.
    let elsewhere = AuthorityScope([8; 32]);
    assert_eq!(Pending::new(signed.clone(), &roster, elsewhere, NOW), Err(ApprovalError::Signature));
    // A decision to refuse is none to approve.
    let mut turned = SignedDecision::sign(&signed, Verdict::Refuse, ("ben", NOW), SCOPE, &b).unwrap();
    turned.verdict = Verdict::Approve;
    assert_eq!(Approved::again(signed, &turned, &roster, SCOPE), Err(ApprovalError::Signature));
}

#[test]
fn times_to_the_second() {
    let (roster, [a, b, _]) = three();
    let with = |at: UnixSeconds, wait: u64| {
        SignedRequest::sign(&suspend(), ("aoi", ""), (at, wait), SCOPE, &a, &mut Seeded::new(1)).unwrap()
    };
    let new = |request: SignedRequest| Pending::new(request, &roster, SCOPE, NOW).err();
    for (at, wait, expected) in [
        (NOW.minus(CLOCK_OFFSET_SECONDS_MAX), 1, None),
        (NOW.minus(CLOCK_OFFSET_SECONDS_MAX + 1), 1, Some(ApprovalError::ClockOff)),
        (NOW.plus(CLOCK_OFFSET_SECONDS_MAX), 1, None),
        (NOW.plus(CLOCK_OFFSET_SECONDS_MAX + 1), 1, Some(ApprovalError::ClockOff)),
        (NOW, WAIT_SECONDS_MAX, None),
        (NOW, WAIT_SECONDS_MAX + 1, Some(ApprovalError::WaitTooLong)),
        (NOW, 0, Some(ApprovalError::WaitTooLong)),
    ] {
        assert_eq!(new(with(at, wait)), expected, "{at:?} {wait}");
    }
    let request = request("aoi", &a, 1);
    let decide = |signed: UnixSeconds, now: UnixSeconds| {
        let decision = approve(&request, "ben", &b, signed);
        pending(&request, &roster).decide(&decision, &roster, SCOPE, now).err()
    };
    let last = NOW.plus(HOUR - 1);
    assert_eq!(decide(last, last), None);
    assert_eq!(decide(NOW.plus(HOUR), NOW.plus(HOUR)), Some(ApprovalError::Expired));
    // Signed in time, handed in too late.
    assert_eq!(decide(last, NOW.plus(HOUR)), Some(ApprovalError::Expired));
    assert_eq!(decide(NOW, last), Some(ApprovalError::ClockOff));
}

#[test]
fn whoever_left_neither_requests_nor_decides_nor_is_counted() {
    let (mut roster, [a, b, c]) = three();
    let request = request("aoi", &a, 1);
    let waiting = pending(&request, &roster);
    let by_ben = approve(&request, "ben", &b, NOW);
    roster.0[1].removed_at = Some(NOW);
    let refused = waiting.clone().decide(&by_ben, &roster, SCOPE, NOW);
    assert_eq!(refused.unwrap_err(), ApprovalError::OperatorRemoved);
    roster.0[0].removed_at = Some(NOW);
    let by_chie = approve(&request, "chie", &c, NOW);
    let refused = waiting.decide(&by_chie, &roster, SCOPE, NOW);
    assert_eq!(refused.unwrap_err(), ApprovalError::OperatorRemoved);
    assert_eq!(Pending::new(request, &roster, SCOPE, NOW), Err(ApprovalError::OperatorRemoved));
    assert_eq!(roster.active().count(), 1);
    assert!(!roster.is_founding(), "founding does not come back");
}

#[test]
fn anybody_may_refuse_and_the_requester_takes_back() {
    let (roster, [a, b, _]) = three();
    let signed = request("aoi", &a, 1);
    for (name, key) in [("aoi", &a), ("ben", &b)] {
        let no = SignedDecision::sign(&signed, Verdict::Refuse, (name, NOW), SCOPE, key).unwrap();
        let decided = pending(&signed, &roster).decide(&no, &roster, SCOPE, NOW);
        assert_eq!(decided, Ok(Decided::Refused));
        assert_eq!(Approved::again(signed.clone(), &no, &roster, SCOPE), Err(ApprovalError::NotToExecute));
    }
    let forged = SignedDecision::sign(&signed, Verdict::Refuse, ("ben", NOW), SCOPE, &a).unwrap();
    let refused = pending(&signed, &roster).decide(&forged, &roster, SCOPE, NOW);
    assert_eq!(refused, Err(ApprovalError::Signature));
}

#[test]
fn what_cannot_be_done_is_not_even_filed() {
    let (roster, [a, ..]) = three();
    let spki = Octets(a.spki_der().to_vec());
    let serials = vec![protocol::linkage_v1::WireSerial::new(&[1]).unwrap()];
    let certificate = crate::CertificateKind::CardHolderAuth;
    let revoke =
        |reason: &str, serials: Vec<_>| Operation::RevokeMany { certificate, reason: reason.into(), serials };
    let certify = |days| Operation::CertifyAuthority {
        certificate,
        common_name: "Sub".into(),
        public_key: spki.clone(),
        days,
    };
    let enrol = |name: &str, public_key: Octets| Operation::EnrolOperator { name: name.into(), public_key };
    for operation in [
        revoke("certificateHold", serials.clone()),
        revoke("removeFromCRL", serials.clone()),
        revoke("tired", serials.clone()),
        revoke("keyCompromise", Vec::new()),
        certify(0),
        certify(3_653),
        enrol("Aoi", spki.clone()),
        enrol("", spki.clone()),
        enrol("dai", Octets(vec![0])),
        Operation::SuspendInstitution { institution: "1".into() },
    ] {
        let signed =
            SignedRequest::sign(&operation, ("aoi", ""), (NOW, HOUR), SCOPE, &a, &mut Seeded::new(1))
                .unwrap();
        let refused = Pending::new(signed, &roster, SCOPE, NOW);
        assert!(matches!(refused, Err(ApprovalError::Operation(_))), "{operation:?}");
    }
    for operation in [revoke("keyCompromise", serials), certify(3_652), enrol("dai", spki)] {
        assert_eq!(operation.check(NOW), Ok(()), "{operation:?}");
        assert_eq!(Operation::from_bytes(&operation.to_bytes()), Ok(operation));
    }
    assert!(Operation::from_bytes(br#"{"operation":"replace_delegates","more":1}"#).is_err());
}

/// Whatever is tried, in whatever order: nobody gets an [`Approved`] without two active people with two
/// keys, one of whom signed the request and the other exactly this decision, in time.
#[test]
fn no_sequence_of_tries_makes_one_person_two() {
    let (roster, keys) = three();
    let names = ["aoi", "ben", "chie"];
    let mut outcomes = HashSet::new();
    for seed in 0..1_000 {
        let mut entropy = Seeded::new(seed);
        let mut draw = |below: usize| usize::try_from(entropy.next_u64()).unwrap() % below;
        let (requester, its_key, named, its_other_key) = (draw(3), draw(3), draw(3), draw(3));
        let mut roster = roster.clone();
        let (removed, signed) = (draw(9), draw(2 * 3_600));
        let times = [signed, signed + draw(400)];
        if let Some(operator) = roster.0.get_mut(removed) {
            operator.removed_at = Some(NOW);
        }
        let request = request(names[requester], &keys[its_key], seed);
        let [signed, handed_in] = times.map(|seconds| NOW.plus(seconds as u64));
        let decision = approve(&request, names[named], &keys[its_other_key], signed);
        let decided = Pending::new(request, &roster, SCOPE, NOW)
            .and_then(|pending| pending.decide(&decision, &roster, SCOPE, handed_in));
        let near = signed.since(handed_in).max(handed_in.since(signed)) <= CLOCK_OFFSET_SECONDS_MAX;
        let right = requester == its_key
            && named == its_other_key
            && requester != named
            && ![requester, named].contains(&removed)
            && near
            && handed_in < NOW.plus(HOUR);
        assert_eq!(decided.is_ok(), right, "seed {seed}: {decided:?}");
        outcomes.insert(decided.map(drop).map_err(|error| error.word()));
    }
    assert!(outcomes.len() >= 6, "{outcomes:?}");
}
