//! The linkage service over mutual TLS: who gets what, and what stands in the audit of it.

use crate::town::{Folder, NOW, authority, child, person};
use chassis::client::{Client, ClientError, Reply};
use chassis::config::TlsFiles;
use chassis::listener::{ListenerLimits, serve};
use chassis::shutdown::ShutdownSignal;
use chassis::tls::{ClientAuth, client_config, server_config};
use jpki_authority::audit::{self, AuditKey, AuditLine, AuditStore as _};
use jpki_authority::linkage::http::{DESCRIPTION, router};
use jpki_authority::linkage::{LinkageClient, LinkageDesk, LinkageRole, LinkageService};
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::issue::IssuingAuthority;
use pki::pem::{self, PemKind};
use pki::profile::{AuthorityProfile, LeafProfile, Validity};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::entropy::Seeded;
use protocol::linkage_v1::{
    LINKAGE_DESCRIPTION_PATH, LINKAGE_PATH, LinkageAnswer, LinkageQuestion, LinkageResponse, QUESTIONS_MAX,
};
use protocol::time::{Clock as _, FixedClock, UnixSeconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn ca(name: &str) -> IssuingAuthority {
    let key = generate_p256_pkcs8().unwrap();
    let signer = Box::new(SoftwareP256Signer::from_pkcs8(&key).unwrap());
    let now = chassis::clock::SystemClock.now();
    let validity = Validity { not_before: now.minus(3_600), not_after: now.plus(86_400) };
    let serial = SerialNumber::random(16, &mut Seeded::new(name.len() as u64));
    IssuingAuthority::self_signed(&AuthorityProfile::Town { common_name: name }, serial, validity, signer)
        .unwrap()
}

/// A certificate and its key in `folder`.
fn identity(ca: &IssuingAuthority, profile: &LeafProfile<'_>, folder: &Path, name: &str) -> TlsFiles {
    let key = generate_p256_pkcs8().unwrap();
    let signer = SoftwareP256Signer::from_pkcs8(&key).unwrap();
    let validity = Validity { not_before: ca.not_before(), not_after: ca.not_after() };
    let serial = SerialNumber::random(16, &mut Seeded::new(9));
    let der = ca.issue(profile, serial, validity, signer.spki_der()).unwrap();
    let files =
        TlsFiles { cert: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    std::fs::write(&files.cert, pem::encode(PemKind::Certificate, &der)).unwrap();
    std::fs::write(&files.key, pem::encode(PemKind::PrivateKey, &key)).unwrap();
    files
}

const PURPOSE: &str = "account";

/// Callers: name, role, what they may ask by name. The last one is configured nowhere.
const CALLERS: [(&str, Option<LinkageRole>, &[LinkageQuestion]); 6] = [
    ("eligibility_platform", Some(LinkageRole::EligibilityPlatform), &[]),
    ("signature_verifier", Some(LinkageRole::SignatureVerifier), &[]),
    ("by_name", Some(LinkageRole::ByName), &[]),
    ("by_name_auth_of_sign", Some(LinkageRole::ByName), &[LinkageQuestion::AuthOfSign]),
    ("by_name_sign_of_auth", Some(LinkageRole::ByName), &[LinkageQuestion::SignOfAuth]),
    ("stranger", None, &[]),
];

/// The service on a port of its own, with its callers' identities.
struct Service {
    folder: Folder,
    authority: Authority,
    store: Arc<SqliteStore>,
    clock: Arc<FixedClock>,
    per_minute: u32,
}

impl Service {
    fn new(per_minute: u32) -> Self {
        let folder = Folder::new();
        let authority = authority(&folder);
        let store = Arc::new(SqliteStore::open(&folder.config().store).unwrap());
        let (partners, server) = (ca("partners"), ca("server"));
        let write = |name: &str, ca: &IssuingAuthority| {
            let text = pem::encode(PemKind::Certificate, ca.certificate_der());
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("partners.pem", &partners);
        write("server-ca.pem", &server);
        let loopback = [std::net::Ipv4Addr::LOCALHOST.into()];
        let profile =
            LeafProfile::TlsServer { common_name: "x", dns_names: &["localhost"], ip_addresses: &loopback };
        identity(&server, &profile, folder.path(), "server");
        for (name, ..) in CALLERS {
            identity(&partners, &Self::client(name), folder.path(), name);
        }
        identity(&ca("other"), &Self::client("foreign"), folder.path(), "foreign");
        let clock = Arc::new(FixedClock::at(NOW));
        Self { folder, authority, store, clock, per_minute }
    }

    fn client(name: &str) -> LeafProfile<'_> {
        LeafProfile::TlsClient {
            institution_name: "見本",
            institution_code: "9912345676",
            terminal_name: name,
        }
    }

    fn files(&self, name: &str) -> TlsFiles {
        let at = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        TlsFiles { cert: at("pem"), key: at("key") }
    }

    fn key(&self) -> AuditKey {
        AuditKey::open(&self.folder.config().keys_dir, self.store.as_ref(), &mut Seeded::new(3)).unwrap()
    }

    fn configured(&self) -> LinkageService {
        let client = |(name, role, also): (&str, Option<LinkageRole>, &[LinkageQuestion])| {
            Some(LinkageClient {
                name: name.to_owned(),
                certificate: self.files(name).cert,
                role: role?,
                also: also.to_vec(),
                purposes: vec![PURPOSE.to_owned()],
                questions_per_minute: self.per_minute,
            })
        };
        LinkageService {
            listen: "127.0.0.1:0".parse().unwrap(),
            client_ca: self.folder.path().join("partners.pem"),
            clients: CALLERS.into_iter().filter_map(client).collect(),
        }
    }

    fn desk(&self) -> LinkageDesk {
        LinkageDesk::open(&self.configured(), self.store.clone(), self.key(), NOW).unwrap()
    }

    /// Serves, lets `ask` ask, and stops.
    fn serve<T>(&self, ask: impl AsyncFnOnce(&dyn Fn(&str) -> Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client_auth = ClientAuth::Required { ca_pem: self.configured().client_ca };
            let tls = server_config(&self.files("server"), client_auth).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap());
            let (trigger, shutdown) = ShutdownSignal::new();
            let router = router(Arc::new(self.desk()), self.clock.clone());
            let serving = tokio::spawn(serve(listener, tls, router, shutdown, ListenerLimits::default()));
            let client = |name: &str| {
                let ca = self.folder.path().join("server-ca.pem");
                Client::new(&url, client_config(&ca, Some(&self.files(name))).unwrap()).unwrap()
            };
            let asked = ask(&client).await;
            trigger.pull();
            serving.await.unwrap();
            asked
        })
    }

    fn lines(&self) -> Vec<AuditLine> {
        audit::verify(self.store.as_ref(), &self.key(), None).unwrap();
        let kept = self.store.audit_lines(1, 100_000).unwrap();
        let read = |text: &str| serde_json::from_str(text).unwrap();
        kept.iter().map(|line| read(&line.text)).filter(|line: &AuditLine| line.who != "test").collect()
    }
}

fn hex(serial: &SerialNumber) -> String {
    serial.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn asking(ask: LinkageQuestion, serials: &[&SerialNumber]) -> Value {
    let questions: Vec<Value> =
        serials.iter().map(|serial| json!({ "ask": ask.word(), "serial": hex(serial) })).collect();
    json!({ "purpose": PURPOSE, "questions": questions })
}

fn answers(reply: &Reply) -> Vec<LinkageAnswer> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json::<LinkageResponse>().unwrap().answers
}

fn code(reply: &Reply) -> String {
    format!("{} {}", reply.status, reply.json::<Value>().unwrap()["code"].as_str().unwrap())
}

fn serials(card: &PersonCertificates) -> [SerialNumber; 2] {
    [card.card_holder_auth.serial, card.document_signature.as_ref().unwrap().serial]
}

/// Cards in every state that matters, as (authentication, signature).
fn cards(authority: &Authority) -> Vec<[SerialNumber; 2]> {
    let issue =
        |seed: u64| authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(seed)).unwrap();
    let mut all = vec![serials(&issue(1))];
    for (seed, event) in (2..).zip(CardEvent::ALL) {
        let card = issue(seed);
        authority.apply_event(event, &card.card_holder_auth.serial, NOW).unwrap();
        all.push(serials(&card));
    }
    let old = serials(&issue(20));
    let mut entropy = Seeded::new(21);
    authority.renew_person_certificates(&old[0], &person(), NOW, &mut entropy).unwrap();
    all.push(old);
    all.push([99, 98].map(|octet| SerialNumber::from_octets(&[octet; 8]).unwrap()));
    all
}

/// Endpoint × caller × what leaves, as people review it.
#[test]
fn who_gets_what_is_the_table_in_the_vectors() {
    let service = Service::new(100_000);
    let cards = cards(&service.authority);
    let table = service.serve(async |client| {
        let mut table = String::from(
            "# endpoint, question, caller -> status and code, or the outcomes and fields that leave over all states\n",
        );
        for (caller, ..) in CALLERS {
            let client = client(caller);
            for ask in LinkageQuestion::ALL {
                let about_auth = matches!(ask, LinkageQuestion::RenewedAuth | LinkageQuestion::SignOfAuth);
                let asked: Vec<&SerialNumber> =
                    cards.iter().map(|[auth, sign]| if about_auth { auth } else { sign }).collect();
                let reply = client.post_json(LINKAGE_PATH, &asking(ask, &asked)).await.unwrap();
                let said = if reply.status == 200 { fields(&reply) } else { code(&reply) };
                table.push_str(&format!("POST {LINKAGE_PATH}, {}, {caller} -> {said}\n", ask.word()));
            }
            for path in [LINKAGE_DESCRIPTION_PATH, "/", "/crl/auth.crl", "/metrics"] {
                let reply = client.get(path).await.unwrap();
                let said =
                    if reply.status == 200 { "200, the description".into() } else { code(&reply) };
                table.push_str(&format!("GET {path}, -, {caller} -> {said}\n"));
            }
        }
        let refused = client("foreign").get("/").await.unwrap_err();
        assert!(matches!(refused, ClientError::ClientCertificateForeign { .. }), "{refused}");
        table.push_str("anything, -, a certificate of another CA, or none -> no connection\n");
        table
    });
    let golden = include_str!("../vectors/linkage_access.txt");
    assert!(table == golden, "tests/vectors/linkage_access.txt says otherwise:\n{table}");
}

/// `outcome: fields` of every kind of answer in a reply.
fn fields(reply: &Reply) -> String {
    let body: Value = reply.json().unwrap();
    let top: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(top, BTreeSet::from(["answers", "as_of", "audit_line"]));
    let kinds: BTreeSet<String> = body["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| {
            let fields: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
            let beside: Vec<&str> = fields.into_iter().filter(|field| *field != "outcome").collect();
            format!("{}({})", answer["outcome"].as_str().unwrap(), beside.join(" "))
        })
        .collect();
    format!("200 {}", kinds.into_iter().collect::<Vec<_>>().join(" "))
}

#[test]
fn one_card_leads_to_the_other_certificate_and_over_renewals_to_the_last() {
    let service = Service::new(100_000);
    let authority = &service.authority;
    let issue = |seed| authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(seed)).unwrap();
    let first = issue(1);
    let [auth, sign] = serials(&first);
    let renew = |old: &SerialNumber, seed| {
        authority.renew_person_certificates(old, &person(), NOW, &mut Seeded::new(seed)).unwrap()
    };
    let second = renew(&auth, 2);
    let third = renew(&second.card_holder_auth.serial, 3);
    let [last_auth, last_sign] = serials(&third);
    let young = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(4)).unwrap();
    let ask = |name: &str, ask: LinkageQuestion, serial: &SerialNumber| {
        let reply = service.serve(async |client| {
            client(name).post_json(LINKAGE_PATH, &asking(ask, &[serial])).await.unwrap()
        });
        answers(&reply).remove(0)
    };
    let linked = |serial: &SerialNumber, standing: &str, renewals: u32| {
        let value =
            json!({ "outcome": "linked", "serial": hex(serial), "standing": standing, "renewals": renewals });
        serde_json::from_value::<LinkageAnswer>(value).unwrap()
    };
    let renewed = |serial: &SerialNumber| ask("eligibility_platform", LinkageQuestion::RenewedAuth, serial);
    let verifier = |serial: &SerialNumber| ask("signature_verifier", LinkageQuestion::RenewedSign, serial);
    assert_eq!(renewed(&auth), linked(&last_auth, "good", 2));
    assert_eq!(renewed(&last_auth), LinkageAnswer::Current);
    assert_eq!(verifier(&sign), linked(&last_sign, "good", 2));
    let other = |serial: &SerialNumber| ask("by_name_auth_of_sign", LinkageQuestion::AuthOfSign, serial);
    assert_eq!(other(&last_sign), linked(&last_auth, "good", 0));
    assert_eq!(other(&sign), LinkageAnswer::Superseded);
    let back = |serial: &SerialNumber| ask("by_name_sign_of_auth", LinkageQuestion::SignOfAuth, serial);
    assert_eq!(back(&young.card_holder_auth.serial), LinkageAnswer::NoCounterpart);
    // The wrong kind of number is nobody's.
    assert_eq!(renewed(&sign), LinkageAnswer::Unknown);
    // Lost: the link is told along, the card is not told of; found again, as before; handed back: nothing.
    authority.apply_event(CardEvent::LostCard, &last_auth, NOW).unwrap();
    assert_eq!(renewed(&auth), linked(&last_auth, "on_hold", 2));
    assert_eq!((renewed(&last_auth), other(&last_sign)), (LinkageAnswer::OnHold, LinkageAnswer::OnHold));
    authority.release_card(&last_auth, NOW).unwrap();
    assert_eq!(other(&last_sign), linked(&last_auth, "good", 0));
    authority.apply_event(CardEvent::ReturnedCard, &last_auth, NOW).unwrap();
    let ended = LinkageAnswer::Ended { reason: RevocationReason::CessationOfOperation.as_str().to_owned() };
    assert_eq!((renewed(&auth), other(&last_sign)), (ended.clone(), ended));
}

#[test]
fn what_was_never_issued_looks_the_same_whatever_it_is() {
    let service = Service::new(100_000);
    let drawn = SerialNumber::random(8, &mut Seeded::new(7));
    // Spent and never signed; a delegate's; an unlikely one.
    use jpki_authority::store::{CertificateStore as _, NewCertificate};
    let kind = CertificateKind::CardHolderAuth;
    service.store.spend_serials(&[NewCertificate { kind, serial: drawn, shard: None }], None, NOW).unwrap();
    service.authority.rotate_delegates(NOW, &mut Seeded::new(5)).unwrap();
    let delegate = SerialNumber::random(16, &mut Seeded::new(5));
    assert!(service.store.standing(kind, &delegate).unwrap().unwrap().not_after.is_some());
    let short = SerialNumber::from_octets(&[1]).unwrap();
    let asked = asking(LinkageQuestion::RenewedAuth, &[&drawn, &delegate, &short]);
    let reply = service
        .serve(async |client| client("eligibility_platform").post_json(LINKAGE_PATH, &asked).await.unwrap());
    assert_eq!(answers(&reply), [LinkageAnswer::Unknown, LinkageAnswer::Unknown, LinkageAnswer::Unknown]);
    let body: Value = reply.json().unwrap();
    assert_eq!(body["answers"][0].to_string(), body["answers"][2].to_string());
}

#[test]
fn every_question_has_its_line_and_no_line_has_a_serial_number() {
    let service = Service::new(100_000);
    let cards = cards(&service.authority);
    let asked: Vec<&SerialNumber> = cards.iter().map(|[auth, _]| auth).collect();
    service.serve(async |client| {
        let good = client("eligibility_platform");
        answers(&good.post_json(LINKAGE_PATH, &asking(LinkageQuestion::RenewedAuth, &asked)).await.unwrap());
        let refused = good.post_json(LINKAGE_PATH, &asking(LinkageQuestion::SignOfAuth, &asked[..2])).await;
        assert_eq!(code(&refused.unwrap()), "403 linkage_not_allowed");
        let other = json!({ "purpose": "花子の氏名", "questions": asking(LinkageQuestion::RenewedAuth, &asked[..1])["questions"] });
        assert_eq!(code(&good.post_json(LINKAGE_PATH, &other).await.unwrap()), "403 linkage_not_allowed");
        assert_eq!(code(&good.post_json(LINKAGE_PATH, &json!({})).await.unwrap()), "400 malformed_request");
        let stranger = client("stranger").post_json(LINKAGE_PATH, &json!({})).await.unwrap();
        assert_eq!(code(&stranger), "403 linkage_client_unknown");
    });
    let lines = service.lines();
    let outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.as_str()).collect();
    let answered = ["current", "current", "ended", "on_hold", "no_successor", "ended", "linked", "unknown"];
    assert_eq!(outcomes[..8], answered);
    let refused = ["not_allowed", "not_allowed", "not_allowed", "malformed", "client_unknown"];
    assert_eq!(outcomes[8..], refused.map(|word| format!("refused_{word}")));
    assert!(lines[..10].iter().all(|line| line.who == "linkage:eligibility_platform"));
    assert!(lines[..10].iter().all(|line| line.purpose == PURPOSE && line.at == NOW));
    assert_eq!((lines[10].purpose.as_str(), lines[12].who.as_str()), ("", "linkage:stranger"));
    let key = service.key();
    for (line, [auth, _]) in lines.iter().zip(&cards) {
        assert_eq!(line.about, key.reference(CertificateKind::CardHolderAuth, auth));
    }
    let all: String = lines.iter().map(AuditLine::text).collect();
    for serial in cards.iter().flatten() {
        assert!(!all.contains(&hex(serial)), "a serial number in the audit");
    }
    assert!(!all.contains("花子"), "what a client wrote does not reach the audit");
}

#[test]
fn nothing_is_told_when_its_line_cannot_be_written() {
    let service = Service::new(100_000);
    let [auth, _] = cards(&service.authority)[0];
    let connection = rusqlite::Connection::open(service.folder.config().store).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END;";
    connection.execute_batch(full).unwrap();
    let asked = asking(LinkageQuestion::RenewedAuth, &[&auth]);
    let reply = service
        .serve(async |client| client("eligibility_platform").post_json(LINKAGE_PATH, &asked).await.unwrap());
    assert_eq!(code(&reply), "503 authority_store_failed");
    assert!(!String::from_utf8_lossy(&reply.body).contains("outcome"));
}

#[test]
fn more_than_agreed_is_refused_and_the_flood_is_counted() {
    let service = Service::new(10);
    let [auth, _] = cards(&service.authority)[0];
    service.serve(async |client| {
        let client = client("eligibility_platform");
        let ask = |count: usize| {
            let asked = asking(LinkageQuestion::RenewedAuth, &vec![&auth; count]);
            let client = &client;
            async move { client.post_json(LINKAGE_PATH, &asked).await.unwrap() }
        };
        assert_eq!(answers(&ask(10).await).len(), 10);
        for _ in 0..5 {
            let refused = ask(1).await;
            assert_eq!(code(&refused), "429 linkage_too_many");
            assert_eq!(refused.json::<Value>().unwrap()["retry_after"], 6);
        }
        service.clock.set(NOW.plus(6));
        assert_eq!(answers(&ask(1).await).len(), 1);
    });
    let lines = service.lines();
    let told: Vec<(&str, &str)> =
        lines[10..].iter().map(|line| (line.outcome.as_str(), line.about.as_str())).collect();
    assert_eq!(told[..2], [("refused_too_many", ""), ("refused_too_many", "4 more")]);
    assert_eq!((told.len(), told[2].0), (3, "current"));
}

#[test]
fn what_is_no_request_is_refused_by_name() {
    let service = Service::new(100_000);
    let [auth, _] = cards(&service.authority)[0];
    let good = asking(LinkageQuestion::RenewedAuth, &[&auth]).to_string();
    service.serve(async |client| {
        use chassis::client::Repeat;
        let client = client("eligibility_platform");
        let post = async |kind: &'static str, body: String| {
            code(&client.post(LINKAGE_PATH, kind, body.into(), Repeat::Unsent).await.unwrap())
        };
        assert_eq!(post("text/plain", good.clone()).await, "415 unsupported_media_type");
        let many = asking(LinkageQuestion::RenewedAuth, &vec![&auth; QUESTIONS_MAX + 1]).to_string();
        let bad = [
            good[..good.len() - 1].to_owned(),
            good.replace(&hex(&auth), "00"),
            good.replace("renewed_auth", "everything"),
            good.replace("\"purpose\"", "\"reason\""),
            json!({ "purpose": PURPOSE, "questions": [] }).to_string(),
            many,
            " ".repeat(40_000) + &good,
            String::new(),
        ];
        for body in bad {
            let shown = body.get(..60).unwrap_or(&body).to_owned();
            assert_eq!(post("application/json", body).await, "400 malformed_request", "{shown}");
        }
        let most = asking(LinkageQuestion::RenewedAuth, &vec![&auth; QUESTIONS_MAX]);
        assert_eq!(answers(&client.post_json(LINKAGE_PATH, &most).await.unwrap()).len(), QUESTIONS_MAX);
        let expired = UnixSeconds(chassis::clock::SystemClock.now().0 + 100 * 86_400);
        service.clock.set(expired);
        let late = client.post_json(LINKAGE_PATH, &most).await.unwrap();
        assert_eq!(code(&late), "403 linkage_client_expired");
    });
    let outcomes: Vec<String> = service.lines().into_iter().map(|line| line.outcome).collect();
    assert_eq!(outcomes[..2], ["refused_not_json", "refused_malformed"]);
    let malformed = outcomes.iter().filter(|word| *word == "refused_malformed").count();
    assert_eq!((malformed, outcomes.last().unwrap().as_str()), (8, "refused_client_expired"));
}

#[test]
fn the_description_says_what_the_interface_does() {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let schemas = &description["components"]["schemas"];
    let words: Vec<&str> = LinkageQuestion::ALL.iter().map(|ask| ask.word()).collect();
    assert_eq!(schemas["LinkageQuestion"]["enum"], json!(words));
    assert_eq!(schemas["LinkageRequest"]["properties"]["questions"]["maxItems"], QUESTIONS_MAX);
    assert!(description["paths"][LINKAGE_PATH]["post"].is_object());
    assert!(description["paths"][LINKAGE_DESCRIPTION_PATH]["get"].is_object());
    let golden = include_str!("../vectors/linkage_answers.txt");
    let said: BTreeSet<&str> = golden
        .lines()
        .filter_map(|line| Some(line.split_once("-> ")?.1.split(',').next().unwrap()))
        .filter(|word| *word != "answer")
        .chain(["unknown"])
        .collect();
    let outcomes = schemas["LinkageAnswer"]["properties"]["outcome"]["enum"].as_array().unwrap();
    assert_eq!(said, outcomes.iter().map(|word| word.as_str().unwrap()).collect());
}

#[test]
fn a_service_that_cannot_be_meant_is_not_opened() {
    let service = Service::new(1);
    let open = |change: &dyn Fn(&mut LinkageService)| {
        let mut configured = service.configured();
        change(&mut configured);
        let opened = LinkageDesk::open(&configured, service.store.clone(), service.key(), NOW);
        opened.map(drop).unwrap_err().to_string()
    };
    assert!(open(&|service| service.clients[0].purposes.clear()).contains("linkage.clients"));
    assert!(open(&|service| service.clients[0].questions_per_minute = 0).contains("linkage.clients"));
    assert!(
        open(&|service| service.clients[1].certificate = service.clients[0].certificate.clone())
            .contains("key of another client")
    );
    assert!(open(&|service| service.clients[1].certificate = "/nowhere".into()).contains("/nowhere"));
}
