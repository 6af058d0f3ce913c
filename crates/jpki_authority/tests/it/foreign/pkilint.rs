//! pkilint, DigiCert's linter for RFC 5280 and RFC 6960, over everything that we issue: a thousand
//! certificates of every profile, lists of every form and reason, responses of every status.
//!
//! Every finding is either none or known here: by file, severity, code, and what is said, with the reason
//! why it is right to be as it is. A known finding that is no longer found fails the test too.

use crate::town::{DAY, Folder, NOW, authority, card_keys, person};
use jpki_authority::store::{ListForm, ListName, ListScope};
use jpki_authority::{Authority, CertificateKind};
use pki::hc_role::HealthcareRole;
use pki::issue::IssuingAuthority;
use pki::ocsp::request::request_der;
use pki::ocsp::{CertIdHash, IssuerHashes};
use pki::profile::hpki::{HpkiHolder, HpkiPurpose, TwoNames};
use pki::profile::{AuthorityProfile, JpkiPurpose, LeafProfile, Validity};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner, generate_p256_pkcs8, generate_rsa_2048_pkcs8, software_signer};
use protocol::entropy::{Entropy as _, Seeded};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "0.13.3";
const CARDS: usize = 360;
const PROFESSIONALS: usize = 96;
const EACH_OF_THE_TOWN: usize = 56;
/// Servers that answer to `localhost` too.
const ON_ONE_MACHINE: &str = "on-one-machine";
const VALIDITY: Validity = Validity { not_before: NOW, not_after: NOW.plus(365 * DAY) };

/// What is found, in which samples, and is right to be as it is.
const KNOWN: [Known; 3] = [
    // RFC 7093 §2 offers this method in place of RFC 5280's SHA-1; pkilint only names it.
    Known {
        samples: "",
        severity: "INFO",
        code: "pkix.subject_key_identifier_rfc7093_method_1_identified",
        said: "",
    },
    // Cards of the public test hierarchy have the CPS pointer, and so does the policy of the HPKI.
    // RFC 5280 §4.2.1.4 recommends to leave qualifiers out and defines this one.
    Known {
        samples: "",
        severity: "NOTICE",
        code: "pkix.certificate_policies_policy_has_qualifier",
        said: "",
    },
    // RFC 5280 §4.2.1.6 asks for the preferred name syntax of RFC 1034 §3.5, where one label is a
    // domain; RFC 6761 §6.3 reserves this one. pkilint wants two. Only servers of a town on one
    // machine have it, and they are counted apart from the thousand.
    Known {
        samples: "on-one-machine-",
        severity: "ERROR",
        code: "pkix.invalid_domain_name_syntax",
        said: "Invalid domain name syntax: \"localhost\"",
    },
];

/// A finding that has its reason.
struct Known {
    /// How the names of the samples begin.
    samples: &'static str,
    severity: &'static str,
    code: &'static str,
    /// What pkilint says beyond the code.
    said: &'static str,
}

/// A folder that is filled.
struct Samples {
    folder: PathBuf,
    counts: BTreeMap<&'static str, usize>,
}

impl Samples {
    fn add(&mut self, extension: &'static str, what: &str, der: &[u8]) {
        let count = self.counts.entry(extension).or_default();
        *count += 1;
        std::fs::write(self.folder.join(format!("{what}-{count:04}.{extension}")), der).unwrap();
    }
}

fn rsa() -> Box<dyn IssuerSigner> {
    software_signer(&generate_rsa_2048_pkcs8().unwrap()).unwrap()
}

fn p256() -> Box<dyn IssuerSigner> {
    software_signer(&generate_p256_pkcs8().unwrap()).unwrap()
}

/// Cards of both kinds, with the register's own authority.
fn cards(samples: &mut Samples, authority: &Authority, entropy: &mut Seeded) -> Vec<[SerialNumber; 2]> {
    for kind in CertificateKind::ALL {
        samples.add("cer", &format!("jpki-authority-{}", kind.word()), authority.ca_certificate_der(kind));
    }
    let towns = [("13221", "Tokyo-to", "Kiyose-shi"), ("01100", "Hokkaido", "Sapporo-shi")];
    (0..CARDS)
        .map(|place| {
            let mut registration = person();
            let (code, prefecture, city) = towns[place % towns.len()];
            registration.municipality = pki::profile::Municipality::new(code, prefecture, city).unwrap();
            registration.name = format!("見本　{place}子");
            registration.valid_until = NOW.plus(DAY * (1 + place as u64 * 5));
            let card = authority.issue_person_certificates(&registration, NOW, entropy).unwrap();
            let sign = card.document_signature.unwrap();
            samples.add("cer", "jpki-auth", &card.card_holder_auth.der);
            samples.add("cer", "jpki-sign", &sign.der);
            [card.card_holder_auth.serial, sign.serial]
        })
        .collect()
}

/// Health professionals of every role, with and without an institution.
fn professionals(samples: &mut Samples, entropy: &mut Seeded) {
    let ten_years = Validity { not_before: NOW, not_after: NOW.plus(3_652 * DAY) };
    let mut serial = || SerialNumber::random(16, entropy);
    let organization = "KAZASU TEST";
    let profile = AuthorityProfile::HpkiRoot { organization };
    let root = IssuingAuthority::self_signed(&profile, serial(), ten_years, rsa()).unwrap();
    samples.add("cer", "hpki-root", root.certificate_der());
    let spki = card_keys()[0].spki_der();
    for purpose in [HpkiPurpose::Signature, HpkiPurpose::Authentication] {
        let signer = rsa();
        let profile = AuthorityProfile::Hpki { purpose, organization };
        let certificate = root.issue_authority(&profile, serial(), ten_years, signer.spki_der()).unwrap();
        samples.add("cer", "hpki-authority", &certificate);
        let authority = IssuingAuthority::from_certificate(certificate, signer).unwrap();
        for place in 0..PROFESSIONALS {
            let role = HealthcareRole::ALL.get(place % (HealthcareRole::ALL.len() + 1)).copied();
            let named = role.is_some_and(HealthcareRole::is_office) || place % 2 == 0;
            let names = TwoNames { roman: "Kazasu Clinic", japanese: "かざす診療所" };
            let holder = HpkiHolder {
                name: TwoNames { roman: "MIHON Hanako", japanese: "見本　花子" },
                registration: &format!("{place:06}"),
                organization: named.then_some(names),
                role,
            };
            let profile =
                LeafProfile::Hpki { purpose, holder, crl_uri: "http://lists.hpki-emulated.example/sign.crl" };
            samples.add("cer", "hpki", &authority.issue(&profile, serial(), VALIDITY, spki).unwrap());
        }
    }
}

/// Servers, terminals and OCSP delegates.
fn town(samples: &mut Samples, entropy: &mut Seeded) {
    let ten_years = Validity { not_before: NOW, not_after: NOW.plus(3_652 * DAY) };
    let week = Validity { not_before: NOW, not_after: NOW.plus(7 * DAY) };
    let mut serial = || SerialNumber::random(16, entropy);
    let profile = AuthorityProfile::Town { common_name: "Kazasu town CA" };
    let town = IssuingAuthority::self_signed(&profile, serial(), ten_years, p256()).unwrap();
    samples.add("cer", "town-authority", town.certificate_der());
    let profile = AuthorityProfile::Jpki {
        purpose: JpkiPurpose::Signature,
        organization: "JPKI-EMULATED",
        operator: "KAZASU TEST municipalities",
    };
    let jpki = IssuingAuthority::self_signed(&profile, serial(), ten_years, rsa()).unwrap();
    samples.add("cer", "jpki-authority", jpki.certificate_der());
    let key = p256();
    let addresses: [IpAddr; 2] = ["127.0.0.1", "::1"].map(|text| text.parse().unwrap());
    for place in 0..EACH_OF_THE_TOWN {
        let dns_name = format!("room-{place}.kazasu.example");
        for (what, dns_names) in
            [("tls-server", [dns_name.as_str()].as_slice()), (ON_ONE_MACHINE, &[&dns_name, "localhost"])]
        {
            let ip_addresses = &addresses[..place % 3];
            let server = LeafProfile::TlsServer { common_name: &dns_name, dns_names, ip_addresses };
            samples.add("cer", what, &town.issue(&server, serial(), VALIDITY, key.spki_der()).unwrap());
        }
        let terminal = LeafProfile::TlsClient {
            institution_name: "かざす診療所",
            institution_code: "1310000001",
            terminal_name: &format!("reception {place}"),
        };
        samples.add("cer", "tls-client", &town.issue(&terminal, serial(), VALIDITY, key.spki_der()).unwrap());
        let delegate = LeafProfile::OcspDelegate { common_name: &format!("OCSP responder {place}") };
        samples.add("cer", "delegate", &jpki.issue(&delegate, serial(), week, key.spki_der()).unwrap());
    }
}

/// Every list of both kinds: empty, with every reason, with a hold that has ended.
fn lists(samples: &mut Samples, authority: &Authority, cards: &[[SerialNumber; 2]]) {
    let mut save = |round: &str| {
        let scopes =
            std::iter::once(ListScope::Everything).chain((0..crate::town::SHARDS).map(ListScope::Shard));
        for scope in scopes {
            for (form, word) in [(ListForm::Complete, "complete"), (ListForm::Delta, "delta")] {
                for kind in CertificateKind::ALL {
                    if let Some(list) = authority.list(kind, ListName { scope, form }) {
                        samples.add("crl", &format!("{round}-{word}-{}", kind.word()), &list.der);
                    }
                }
            }
        }
    };
    authority.publish(NOW.plus(10)).unwrap();
    save("empty");
    let reasons =
        RevocationReason::ALL.into_iter().filter(|reason| *reason != RevocationReason::RemoveFromCrl);
    for (reason, serials) in reasons.cycle().zip(&cards[..90]) {
        for (kind, serial) in CertificateKind::ALL.into_iter().zip(serials) {
            authority.revoke(*serial, kind, reason, NOW.plus(11)).unwrap();
        }
    }
    authority.publish(NOW.plus(12)).unwrap();
    save("reasons");
    for serials in &cards[..90] {
        authority.release_card(&serials[0], NOW.plus(13)).unwrap();
    }
    authority.publish(NOW.plus(14)).unwrap();
    save("released");
}

/// Responses of every status, one and several at once, with and without a nonce.
fn responses(
    samples: &mut Samples,
    authority: &Authority,
    cards: &[[SerialNumber; 2]],
    entropy: &mut Seeded,
) {
    authority.rotate_delegates(NOW.plus(15), entropy).unwrap();
    let at = NOW.plus(20);
    let mut nonce = [0; 32];
    for (place, serials) in cards.iter().take(96).enumerate() {
        for (kind, serial) in CertificateKind::ALL.into_iter().zip(serials) {
            let hashes = IssuerHashes::of_certificate(authority.ca_certificate_der(kind)).unwrap();
            let hash = CertIdHash::ALL[place % CertIdHash::ALL.len()];
            let stranger = SerialNumber::random(8, entropy);
            let ids = [*serial, stranger].map(|serial| hashes.cert_id_der(hash, &serial));
            entropy.fill(&mut nonce);
            let nonce = (place % 2 == 0).then_some(&nonce[..]);
            let answer =
                authority.answer_ocsp(&request_der(&ids[..1 + usize::from(place % 5 == 0)], nonce), at);
            assert!(answer.der.len() > 500);
            samples.add("ocsp", &format!("answer-{}", kind.word()), &answer.der);
        }
    }
}

fn judged(folder: &Path) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("foreign").join(format!("pkilint-{VERSION}")).join("bin/python3");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pkilint");
    assert!(
        python.is_file(),
        "missing pkilint: apt-get install python3-venv, python3 -m venv {0}, and {0}/bin/pip install -r {1}",
        python.parent().unwrap().parent().unwrap().display(),
        ours.join("requirements.txt").display()
    );
    let output = Command::new(python).arg("-I").arg(ours.join("judge.py")).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pkilint_finds_no_error_in_a_thousand_certificates_and_all_forms_of_status() {
    let holder = Folder::new();
    let mut samples = Samples { folder: holder.path().join("samples"), counts: BTreeMap::new() };
    std::fs::create_dir(&samples.folder).unwrap();
    let mut entropy = Seeded::new(5_280);
    let authority = authority(&holder);
    let cards = cards(&mut samples, &authority, &mut entropy);
    professionals(&mut samples, &mut entropy);
    town(&mut samples, &mut entropy);
    lists(&mut samples, &authority, &cards);
    responses(&mut samples, &authority, &cards, &mut entropy);
    let certificates = samples.counts["cer"] - EACH_OF_THE_TOWN;
    assert!(certificates >= 1_000 && samples.counts["crl"] >= 20 && samples.counts["ocsp"] >= 100);

    let said = judged(&samples.folder);
    let read = format!("read\t{}", samples.counts.values().sum::<usize>());
    assert!(said.lines().last() == Some(&read), "{:?}, and not {read:?}", said.lines().last());
    let mut unknown = BTreeMap::<(&str, &str), (usize, &str)>::new();
    let mut known = [0_usize; KNOWN.len()];
    for line in said.lines() {
        let [file, severity, code, _, said] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let place = KNOWN.iter().position(|known| {
            file.starts_with(known.samples)
                && (severity, code, said) == (known.severity, known.code, known.said)
        });
        match place {
            Some(place) => known[place] += 1,
            None => unknown.entry((severity, code)).or_insert((0, line)).0 += 1,
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(known[0] >= certificates && known[1] > 0 && known[2] == EACH_OF_THE_TOWN, "{known:?}");
}
