//! Two people at the store: conformance of what is kept, every operation executed once, whatever order
//! people try things in, and death in the middle.

use crate::crash;
use crate::town::{DAY, Folder, NOW, authority, child, desk, institution};
use jpki_authority::accredit::TerminalAccreditation;
use jpki_authority::approval::desk::{ApprovalDesk, Founding, InstitutionStanding, RequestState};
use jpki_authority::approval::{
    ApprovalError, Decided, Octets, Operation, Operator, RequestId, SignedDecision, SignedRequest, Verdict,
};
use jpki_authority::audit::{self, AuditLine};
use jpki_authority::error::AuthorityError;
use jpki_authority::operator::at_work;
use jpki_authority::{Authority, CertificateKind};
use pki::certificate::Certificate;
use pki::crl::ListView;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::entropy::Seeded;
use protocol::linkage_v1::WireSerial;
use protocol::time::UnixSeconds;
use std::collections::HashMap;

const AUTH: CertificateKind = CertificateKind::CardHolderAuth;
const HOUR: u64 = 3_600;

pub(crate) fn key() -> SoftwareP256Signer {
    SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap()
}

/// An authority with two operators.
struct Office {
    folder: Folder,
    authority: Authority,
    desk: ApprovalDesk,
    keys: HashMap<String, SoftwareP256Signer>,
    seed: u64,
}

impl Office {
    fn new() -> Self {
        let folder = Folder::new();
        let authority = authority(&folder);
        let desk = desk(&folder);
        let keys: HashMap<_, _> = ["aoi", "ben"].into_iter().map(|name| (name.to_owned(), key())).collect();
        for name in ["aoi", "ben"] {
            let operator = Operator::new(name, keys[name].spki_der(), NOW).unwrap();
            desk.found(&Founding::Operator(operator), "test", NOW).unwrap();
        }
        Self { folder, authority, desk, keys, seed: 0 }
    }

    fn sign(&mut self, operation: &Operation, by: &str, at: UnixSeconds) -> SignedRequest {
        self.seed += 1;
        let mut entropy = Seeded::new(self.seed);
        let scope = self.desk.scope();
        SignedRequest::sign(operation, (by, "because"), (at, HOUR), scope, &self.keys[by], &mut entropy)
            .unwrap()
    }

    fn file(&mut self, operation: &Operation, by: &str) -> SignedRequest {
        let request = self.sign(operation, by, NOW);
        self.desk.file(request.clone(), NOW).unwrap();
        request
    }

    fn decision(
        &self,
        request: &SignedRequest,
        verdict: Verdict,
        by: &str,
        at: UnixSeconds,
    ) -> SignedDecision {
        SignedDecision::sign(request, verdict, (by, at), self.desk.scope(), &self.keys[by]).unwrap()
    }

    fn approve(&self, request: &SignedRequest, by: &str) -> Result<Decided, AuthorityError> {
        let decision = self.decision(request, Verdict::Approve, by, NOW);
        self.desk.decide(request.id, &decision, NOW)
    }

    fn execute(&self, id: RequestId) -> Result<String, AuthorityError> {
        let done = self.desk.execute(id, Some(&self.authority), NOW, &mut Seeded::new(77));
        done.map(|execution| execution.outcome)
    }

    /// By two people from beginning to end.
    fn carry_out(&mut self, operation: &Operation) -> String {
        let request = self.file(operation, "aoi");
        self.approve(&request, "ben").unwrap();
        self.execute(request.id).unwrap()
    }

    fn lines(&self) -> Vec<AuditLine> {
        audit::verify(self.desk.store(), self.desk.audit_key(), None).unwrap();
        let kept = self.desk.store().audit_lines(1, 100_000).unwrap();
        kept.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect()
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, AuthorityError>) -> ApprovalError {
    match outcome {
        Err(AuthorityError::Approval(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn suspend() -> Operation {
    Operation::SuspendInstitution { institution: institution().as_str().to_owned() }
}

fn wire(serial: &SerialNumber) -> WireSerial {
    WireSerial::new(serial.as_bytes()).unwrap()
}

#[test]
fn a_request_is_kept_decided_and_executed_once_and_every_step_has_its_line() {
    let mut office = Office::new();
    let request = office.file(&suspend(), "aoi");
    let kept = office.desk.request(request.id).unwrap();
    assert_eq!((kept.request, kept.state, kept.decision), (request.clone(), RequestState::Pending, None));
    assert_eq!(refused(office.execute(request.id)), ApprovalError::NotToExecute);
    assert_eq!(refused(office.approve(&request, "aoi")), ApprovalError::SamePerson);
    assert!(matches!(office.approve(&request, "ben"), Ok(Decided::Approved(_))));
    assert_eq!(refused(office.approve(&request, "ben")), ApprovalError::Decided);
    assert_eq!(office.desk.unfinished().unwrap(), [request.id]);
    let code = institution();
    assert_eq!(office.desk.store().institution(&code), Ok(Some(InstitutionStanding::Accredited)));
    assert_eq!(office.execute(request.id).unwrap(), "executed");
    assert_eq!(office.desk.store().institution(&code), Ok(Some(InstitutionStanding::Suspended)));
    assert_eq!(refused(office.execute(request.id)), ApprovalError::NotToExecute);
    assert_eq!(refused(office.desk.file(request.clone(), NOW)), ApprovalError::Replayed);
    let kept = office.desk.request(request.id).unwrap();
    assert_eq!((kept.state, kept.outcome.as_str()), (RequestState::Executed, "executed"));
    let id = request.id.to_string();
    let told: Vec<_> = office
        .lines()
        .into_iter()
        .filter(|line| line.about == id)
        .map(|line| format!("{} {} {}", line.who, line.act, line.outcome))
        .collect();
    assert_eq!(
        told,
        [
            "operator:aoi request suspend_institution pending",
            "operator:aoi approve refused_same_person",
            "operator:ben approve approved",
            "operator:ben approve refused_decided",
            "operators:aoi,ben suspend_institution executed",
            "operator:aoi request refused_replayed",
        ]
    );
}

#[test]
fn a_request_that_was_changed_in_the_store_is_neither_approved_nor_executed() {
    let changes = [
        "UPDATE request SET operation = CAST(replace(CAST(operation AS TEXT), '1310000001', '1310000002') AS BLOB)",
        "UPDATE request SET requested_by = 'ben'",
        "UPDATE request SET expires_at = expires_at + 86400",
        "UPDATE request SET why = 'nothing'",
        "UPDATE operator SET spki = (SELECT x'3059') WHERE name = 'aoi'",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut office = Office::new();
        let connection = rusqlite::Connection::open(office.folder.config().store).unwrap();
        let request = office.file(&suspend(), "aoi");
        connection.execute(change, []).unwrap();
        assert_eq!(refused(office.approve(&request, "ben")), ApprovalError::Signature, "{number}");
        // The same after the approval.
        let mut office = Office::new();
        let connection = rusqlite::Connection::open(office.folder.config().store).unwrap();
        let request = office.file(&suspend(), "aoi");
        office.approve(&request, "ben").unwrap();
        connection.execute(change, []).unwrap();
        let why = refused(office.execute(request.id));
        assert!(matches!(why, ApprovalError::Signature | ApprovalError::SamePerson), "{number}: {why}");
        let standing = office.desk.store().institution(&institution());
        assert_eq!(standing, Ok(Some(InstitutionStanding::Accredited)), "{number}");
    }
    // An approval that was only written into the store, by nobody's key.
    let mut office = Office::new();
    let connection = rusqlite::Connection::open(office.folder.config().store).unwrap();
    let request = office.file(&suspend(), "aoi");
    let forged = "UPDATE request SET state = 1, verdict = 1, decided_by = 'ben', decided_at = requested_at,
        decision_signature = signature";
    connection.execute(forged, []).unwrap();
    assert_eq!(refused(office.execute(request.id)), ApprovalError::Signature);
}

#[test]
fn one_person_founds_until_there_are_two_and_never_again() {
    let folder = Folder::new();
    drop(authority(&folder));
    let desk = desk(&folder);
    let (first, second) = (key(), key());
    let operator = |name: &str, key: &SoftwareP256Signer| {
        Founding::Operator(Operator::new(name, key.spki_der(), NOW).unwrap())
    };
    desk.found(&operator("aoi", &first), "test", NOW).unwrap();
    // The same key or the same name again is not a second person.
    for twice in [operator("ben", &first), operator("aoi", &second)] {
        assert!(matches!(refused(desk.found(&twice, "test", NOW)), ApprovalError::Operation(_)));
    }
    desk.found(&operator("ben", &second), "test", NOW).unwrap();
    let late = [operator("chie", &key()), Founding::Institution { code: institution(), name: "見本".into() }];
    for founding in late {
        assert_eq!(refused(desk.found(&founding, "test", NOW)), ApprovalError::FoundingOver);
    }
}

#[test]
fn operators_come_and_go_by_two_and_two_are_left() {
    let mut office = Office::new();
    let third = key();
    let enrol = |name: &str, key: &SoftwareP256Signer| Operation::EnrolOperator {
        name: name.into(),
        public_key: Octets(key.spki_der().to_vec()),
    };
    let remove = |name: &str| Operation::RemoveOperator { name: name.into() };
    assert_eq!(office.carry_out(&remove("ben")), "void_too_few_operators");
    assert_eq!(office.carry_out(&enrol("chie", &third)), "executed");
    assert_eq!(office.carry_out(&enrol("dai", &third)), "void_operator_known");
    office.keys.insert("chie".into(), third);
    // Chie decides as well as anybody else; whoever is removed does not, and their requests wait for ever.
    let waiting = office.file(&suspend(), "ben");
    let request = office.file(&remove("ben"), "chie");
    office.approve(&request, "aoi").unwrap();
    assert_eq!(office.execute(request.id).unwrap(), "executed");
    assert_eq!(refused(office.approve(&waiting, "aoi")), ApprovalError::OperatorRemoved);
    let late = office.sign(&suspend(), "ben", NOW);
    assert_eq!(refused(office.desk.file(late, NOW)), ApprovalError::OperatorRemoved);
    assert_eq!(office.carry_out_by(&remove("ben"), "chie", "aoi"), "void_no_such_operator");
    // A name and a key stay somebody's.
    let again =
        Operation::EnrolOperator { name: "ben".into(), public_key: Octets(key().spki_der().to_vec()) };
    assert_eq!(office.carry_out_by(&again, "chie", "aoi"), "void_operator_known");
}

impl Office {
    fn carry_out_by(&mut self, operation: &Operation, one: &str, other: &str) -> String {
        let request = self.file(operation, one);
        self.approve(&request, other).unwrap();
        self.execute(request.id).unwrap()
    }
}

#[test]
fn a_suspended_institutions_terminals_get_no_certificates() {
    let mut office = Office::new();
    let secure_element = card::rsa_key::CardRsaKey::generate().unwrap();
    let code = institution();
    let terminal = TerminalAccreditation {
        institution: &code,
        institution_key_modulus: secure_element.public_modulus(),
    };
    assert!(office.authority.accredit(terminal, NOW).is_ok());
    assert_eq!(office.carry_out(&suspend()), "executed");
    assert!(matches!(office.authority.accredit(terminal, NOW), Err(AuthorityError::NotAccredited)));
    let accredit =
        Operation::AccreditInstitution { institution: code.as_str().into(), name: "見本".into() };
    assert_eq!(office.carry_out(&accredit), "executed");
    assert!(office.authority.accredit(terminal, NOW).is_ok());
    let nobody = protocol::ids::InstitutionCode::parse("1310000019").unwrap();
    let other = TerminalAccreditation { institution: &nobody, ..terminal };
    assert!(matches!(office.authority.accredit(other, NOW), Err(AuthorityError::NotAccredited)));
}

#[test]
fn many_are_revoked_together_and_what_stands_stands() {
    let mut office = Office::new();
    let issue = |seed| {
        let card = office.authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(seed));
        card.unwrap().card_holder_auth.serial
    };
    let mut serials: Vec<SerialNumber> = (1..=5).map(issue).collect();
    office.authority.apply_event(jpki_authority::CardEvent::ReturnedCard, &serials[0], NOW).unwrap();
    office.authority.apply_event(jpki_authority::CardEvent::LostCard, &serials[1], NOW).unwrap();
    serials.push(SerialNumber::from_octets(&[9; 8]).unwrap());
    let revoke = Operation::RevokeMany {
        certificate: AUTH,
        reason: "keyCompromise".into(),
        serials: serials.iter().map(wire).collect(),
    };
    assert_eq!(office.carry_out(&revoke), "executed 4 of 6");
    office.authority.publish(NOW.plus(60)).unwrap();
    let list = ListView::read(&office.authority.current_list(AUTH).unwrap().der).unwrap();
    let reasons: Vec<_> = serials.iter().map(|serial| list.entry(serial)).collect();
    let compromised = Some(RevocationReason::KeyCompromise);
    let returned = Some(RevocationReason::CessationOfOperation);
    assert_eq!(reasons, [returned, compromised, compromised, compromised, compromised, None]);
}

#[test]
fn a_list_may_lose_somebody_only_if_two_people_say_so() {
    let mut office = Office::new();
    let card = office.authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(1)).unwrap();
    let serial = card.card_holder_auth.serial;
    office.authority.apply_event(jpki_authority::CardEvent::ReturnedCard, &serial, NOW).unwrap();
    office.authority.publish(NOW).unwrap();
    // As if the store had been put back to before the revocation.
    let connection = rusqlite::Connection::open(office.folder.config().store).unwrap();
    connection.execute("UPDATE certificate SET revoked_at = NULL, reason = NULL WHERE kind = 1", []).unwrap();
    let refusal = office.authority.publish(NOW.plus(60)).unwrap_err();
    assert!(matches!(refusal, AuthorityError::Succession(_)), "{refusal}");
    let other = Operation::AcceptDeparture {
        certificate: CertificateKind::DocumentSignature,
        serials: vec![wire(&serial)],
    };
    assert_eq!(office.carry_out(&other), "executed");
    assert!(office.authority.publish(NOW.plus(60)).is_err(), "the other kind was meant");
    let accept = Operation::AcceptDeparture { certificate: AUTH, serials: vec![wire(&serial)] };
    assert_eq!(office.carry_out(&accept), "executed");
    office.authority.publish(NOW.plus(120)).unwrap();
    let list = ListView::read(&office.authority.current_list(AUTH).unwrap().der).unwrap();
    assert_eq!((list.entry(&serial), list.len()), (None, 0));
}

fn certify(spki: &[u8]) -> Operation {
    Operation::CertifyAuthority {
        certificate: CertificateKind::DocumentSignature,
        common_name: "Kazasu bridge".into(),
        public_key: Octets(spki.to_vec()),
        days: 30,
    }
}

#[test]
fn a_sub_authority_is_certified_by_the_authoritys_key_and_kept() {
    let mut office = Office::new();
    let sub = key();
    let request = office.file(&certify(sub.spki_der()), "aoi");
    office.approve(&request, "ben").unwrap();
    let without = office.desk.execute(request.id, None, NOW, &mut Seeded::new(7));
    assert_eq!(refused(without), ApprovalError::NeedsAuthority);
    assert_eq!(office.execute(request.id).unwrap(), "executed");
    let kept = office.desk.request(request.id).unwrap();
    let der = kept.product.unwrap();
    let certificate = Certificate::parse(&der).unwrap();
    let issuer = office.authority.ca_certificate_der(CertificateKind::DocumentSignature);
    assert!(certificate.is_signed_by(&Certificate::parse(issuer).unwrap()));
    assert_eq!(certificate.spki_der(), sub.spki_der());
    let standing =
        office.desk.store().standing(CertificateKind::DocumentSignature, certificate.serial()).unwrap();
    assert_eq!(standing.unwrap().not_after, Some(NOW.plus(30 * DAY)));
}

#[test]
fn delegates_are_replaced_when_two_people_order_it() {
    let mut office = Office::new();
    office.authority.rotate_delegates(NOW, &mut Seeded::new(1)).unwrap();
    assert_eq!(office.desk.store().delegates_ordered(), Ok(0));
    assert_eq!(office.carry_out(&Operation::ReplaceDelegates {}), "executed");
    assert_eq!(office.desk.store().delegates_ordered(), Ok(1));
    let serial = SerialNumber::random(16, &mut Seeded::new(2));
    assert_eq!(office.desk.store().standing(AUTH, &serial), Ok(None));
    office.authority.replace_delegates(NOW, &mut Seeded::new(2)).unwrap();
    assert!(
        office.desk.store().standing(AUTH, &serial).unwrap().is_some(),
        "a new delegate has a new number"
    );
}

/// Whatever is tried in whatever order, by whom and with what: nothing is done that two different people
/// did not sign, and nothing twice.
#[test]
fn no_order_of_tries_does_anything_twice_or_alone() {
    for seed in 0..12 {
        let mut office = Office::new();
        let mut entropy = Seeded::new(seed);
        let mut draw = move |below: usize| usize::try_from(entropy.next_u64() >> 1).unwrap() % below;
        let mut requests: Vec<SignedRequest> = Vec::new();
        // What a plain list of who said what expects.
        let mut expected: Vec<RequestState> = Vec::new();
        let mut executed = 0;
        for _ in 0..60 {
            let by = ["aoi", "ben"][draw(2)];
            let at = if requests.is_empty() { 0 } else { draw(requests.len()) };
            match draw(6) {
                0 => {
                    requests.push(office.file(&Operation::ReplaceDelegates {}, by));
                    expected.push(RequestState::Pending);
                }
                _ if requests.is_empty() => {}
                1 => {
                    assert_eq!(refused(office.desk.file(requests[at].clone(), NOW)), ApprovalError::Replayed);
                }
                2 => {
                    let no = office.decision(&requests[at], Verdict::Refuse, by, NOW);
                    let done = office.desk.decide(requests[at].id, &no, NOW);
                    assert_eq!(done.is_ok(), expected[at] == RequestState::Pending);
                    if done.is_ok() {
                        expected[at] = RequestState::Refused;
                    }
                }
                3 => {
                    let late = NOW.plus(HOUR);
                    let decision = office.decision(&requests[at], Verdict::Approve, by, late);
                    assert!(office.desk.decide(requests[at].id, &decision, late).is_err());
                }
                4 => {
                    let done = office.approve(&requests[at], by);
                    let may = expected[at] == RequestState::Pending && requests[at].requested_by != by;
                    assert_eq!(done.is_ok(), may);
                    if may {
                        expected[at] = RequestState::Approved;
                    }
                }
                _ => {
                    let done = office.execute(requests[at].id);
                    assert_eq!(done.is_ok(), expected[at] == RequestState::Approved);
                    if done.is_ok() {
                        expected[at] = RequestState::Executed;
                        executed += 1;
                    }
                }
            }
            assert_eq!(office.desk.store().delegates_ordered(), Ok(executed), "seed {seed}");
        }
        let states = office.desk.store().requests().unwrap().into_iter().map(|kept| kept.state);
        assert_eq!(states.collect::<Vec<_>>(), expected, "seed {seed}");
        let done = office.lines().into_iter().filter(|line| line.act == "replace_delegates").count();
        assert_eq!(u64::try_from(done).unwrap(), executed, "one line for each execution");
    }
}

#[test]
fn two_processes_execute_one_request_once() {
    let mut office = Office::new();
    let request = office.file(&Operation::ReplaceDelegates {}, "aoi");
    office.approve(&request, "ben").unwrap();
    let desks: Vec<ApprovalDesk> = (0..4).map(|_| desk(&office.folder)).collect();
    let done: usize = std::thread::scope(|scope| {
        let execute = |desk| {
            let request = &request;
            move || ApprovalDesk::execute(desk, request.id, None, NOW, &mut Seeded::new(1)).is_ok()
        };
        let threads: Vec<_> = desks.iter().map(|desk| scope.spawn(execute(desk))).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!((done, office.desk.store().delegates_ordered()), (1, Ok(1)));
}

/// Dies while it signs what two people approved: serial number and dates are fixed by then, and whoever
/// takes the authority up again finishes with exactly those.
#[test]
fn a_death_in_the_middle_of_an_execution_is_finished_once() {
    const NAME: &str = "approval::a_death_in_the_middle_of_an_execution_is_finished_once";
    if let Some(folder) = crash::folder_of_child() {
        let desk = ApprovalDesk::open(&Folder::config_in(&folder), &mut Seeded::new(3)).unwrap();
        let authority = crash::deadly(folder);
        let [id] = desk.unfinished().unwrap()[..] else { panic!("one request") };
        drop(desk.execute(id, Some(&authority), NOW.plus(5), &mut Seeded::new(11)));
        // Told to die after the signature it has none left to make: the process is killed here instead.
        std::process::abort();
    }
    // Before the signature, and after the execution was done but nobody was told.
    for (signatures, finished) in [(0, false), (1, true)] {
        let mut office = Office::new();
        let request = office.file(&certify(key().spki_der()), "aoi");
        office.approve(&request, "ben").unwrap();
        assert!(!crash::start(NAME, &office.folder, signatures).wait().unwrap().success());
        let state = office.desk.request(request.id).unwrap().state;
        assert_eq!(state, if finished { RequestState::Executed } else { RequestState::Begun });
        // Long afterwards, by another process, with other randomness.
        let later = NOW.plus(40 * DAY);
        let done = at_work::finish(&office.desk, &office.authority, later, &mut Seeded::new(99)).unwrap();
        assert_eq!(done, usize::from(!finished));
        assert_eq!(at_work::finish(&office.desk, &office.authority, later, &mut Seeded::new(98)).unwrap(), 0);
        let kept = office.desk.request(request.id).unwrap();
        let der = kept.product.unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(kept.state, RequestState::Executed);
        assert_eq!(*certificate.serial(), SerialNumber::random(16, &mut Seeded::new(11)));
        assert_eq!(certificate.not_before(), pki::asn1::time::CertificateTime::from(NOW.plus(5)));
        let done = office.lines().into_iter().filter(|line| line.act == "certify_authority").count();
        assert_eq!(done, 1);
        let connection = rusqlite::Connection::open(office.folder.config().store).unwrap();
        let spent: i64 = connection
            .query_row("SELECT count(*) FROM certificate WHERE length(serial) = 16", [], |row| row.get(0))
            .unwrap();
        assert_eq!(spent, 1, "one number for one certificate");
    }
}

/// Killed at any moment while requests are filed, approved and executed: what was acknowledged is there,
/// nothing was done twice, and the chain is whole.
#[test]
fn killed_at_any_moment_every_request_is_executed_once_at_most() {
    use std::io::{BufRead as _, BufReader, Write as _};
    const NAME: &str = "approval::killed_at_any_moment_every_request_is_executed_once_at_most";
    const DEATHS: u64 = 12;
    if let Some(folder) = crash::folder_of_child() {
        let desk = ApprovalDesk::open(&Folder::config_in(&folder), &mut Seeded::new(3)).unwrap();
        let keys = ["aoi", "ben"].map(|name| {
            SoftwareP256Signer::from_pkcs8(&std::fs::read(folder.join(format!("{name}.key"))).unwrap())
                .unwrap()
        });
        let mut out = std::io::stdout();
        let mut say = |word: &str, id: RequestId| {
            writeln!(out, "@ {word} {id}").unwrap();
            out.flush().unwrap();
        };
        loop {
            let operation = Operation::ReplaceDelegates {};
            let (scope, entropy) = (desk.scope(), &mut chassis::entropy::SystemEntropy);
            let request =
                SignedRequest::sign(&operation, ("aoi", ""), (NOW, HOUR), scope, &keys[0], entropy).unwrap();
            desk.file(request.clone(), NOW).unwrap();
            say("filed", request.id);
            let decision =
                SignedDecision::sign(&request, Verdict::Approve, ("ben", NOW), scope, &keys[1]).unwrap();
            desk.decide(request.id, &decision, NOW).unwrap();
            say("approved", request.id);
            desk.execute(request.id, None, NOW, entropy).unwrap();
            say("executed", request.id);
        }
    }
    let folder = Folder::new();
    let authority = authority(&folder);
    let desk = desk(&folder);
    for name in ["aoi", "ben"] {
        let pkcs8 = generate_p256_pkcs8().unwrap();
        std::fs::write(folder.path().join(format!("{name}.key")), &pkcs8).unwrap();
        let spki = SoftwareP256Signer::from_pkcs8(&pkcs8).unwrap().spki_der().to_vec();
        desk.found(&Founding::Operator(Operator::new(name, &spki, NOW).unwrap()), "test", NOW).unwrap();
    }
    let mut acknowledged: HashMap<String, String> = HashMap::new();
    let mut seed = Seeded::new(8);
    for _ in 0..DEATHS {
        let mut child = crash::start(NAME, &folder, 0);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let wanted = 1 + seed.next_u64() % 7;
        let (mut read, mut line) = (0, String::new());
        while read < wanted {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
            if let Some((word, id)) =
                line.trim_end().split_once("@ ").and_then(|(_, said)| said.split_once(' '))
            {
                acknowledged.insert(id.to_owned(), word.to_owned());
                read += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    at_work::finish(&desk, &authority, NOW, &mut Seeded::new(1)).unwrap();
    let all = desk.store().requests().unwrap();
    let states: HashMap<String, RequestState> =
        all.iter().map(|kept| (kept.request.id.to_string(), kept.state)).collect();
    for (id, word) in &acknowledged {
        let right = match word.as_str() {
            "filed" => true,
            _ => states[id] == RequestState::Executed,
        };
        assert!(right && states.contains_key(id), "{word}, and it is {:?}", states.get(id));
    }
    let executed = all.iter().filter(|kept| kept.state == RequestState::Executed).count();
    assert_eq!(desk.store().delegates_ordered(), Ok(u64::try_from(executed).unwrap()));
    assert!(executed >= 5 && acknowledged.len() > DEATHS as usize / 2, "the children did hardly anything");
    audit::verify(desk.store(), desk.audit_key(), None).unwrap();
}
