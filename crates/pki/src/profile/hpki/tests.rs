use super::*;
use crate::certificate::Certificate;
use crate::hc_role::healthcare_role;
use crate::issue::IssuingAuthority;
use crate::profile::{AuthorityProfile, LeafProfile, Validity};
use crate::testing::{self, NOW, TEN_YEARS_SECONDS, YEAR_SECONDS};
use der::{Decode, Encode};

const ORGANIZATION: &str = "KAZASU TEST";
const CRL_URI: &str = "http://hpki-emulated.example/list.crl";

fn holder(role: Option<HealthcareRole>) -> HpkiHolder<'static> {
    HpkiHolder {
        name: TwoNames { roman: "Shiken Sato", japanese: "試験　佐藤" },
        registration: "TEST000001",
        organization: Some(TwoNames { roman: "KAZASU CLINIC", japanese: "かざす診療所" }),
        role,
    }
}

/// Root on key 0, an authority on key 1, a certificate for key 2.
fn chain(purpose: HpkiPurpose, holder: HpkiHolder<'_>) -> Result<[Vec<u8>; 3], IssueError> {
    let whole = Validity { not_before: NOW, not_after: NOW.plus(TEN_YEARS_SECONDS) };
    let root = IssuingAuthority::self_signed(
        &AuthorityProfile::HpkiRoot { organization: ORGANIZATION },
        testing::serial(1),
        whole,
        testing::signer(testing::rsa_key(0)),
    )?;
    let profile = AuthorityProfile::Hpki { purpose, organization: ORGANIZATION };
    let authority = root.issue_authority(&profile, testing::serial(4), whole, &testing::rsa_spki(1))?;
    let issuing =
        IssuingAuthority::from_certificate(authority.clone(), testing::signer(testing::rsa_key(1)))?;
    let profile = LeafProfile::Hpki { purpose, holder, crl_uri: CRL_URI };
    let year = Validity { not_before: NOW, not_after: NOW.plus(YEAR_SECONDS) };
    let leaf = issuing.issue(&profile, testing::serial(350), year, &testing::rsa_spki(2))?;
    Ok([root.certificate_der().to_vec(), authority, leaf])
}

#[test]
fn a_chain_of_three_that_says_what_each_is_for() {
    for (purpose, usage, policy) in [
        (HpkiPurpose::Signature, KeyUsage::NON_REPUDIATION, oid::HPKI_SIGN_POLICY),
        (HpkiPurpose::Authentication, KeyUsage::DIGITAL_SIGNATURE, oid::HPKI_AUTH_POLICY),
    ] {
        let chain = chain(purpose, holder(Some(HealthcareRole::MedicalDoctor))).unwrap();
        for certificate in &chain {
            let foreign = x509_cert::Certificate::from_der(certificate).unwrap();
            assert_eq!(foreign.to_der().unwrap(), *certificate);
        }
        let [root, authority, leaf] = chain.each_ref().map(|der| Certificate::parse(der).unwrap());
        assert_eq!(leaf.issuer_der(), authority.subject_der());
        assert_eq!(authority.issuer_der(), root.subject_der());
        let key_identifiers = |certificate: &Certificate<'_>| {
            let extensions = certificate.extensions();
            (
                extensions.authority_key_identifier.map(<[u8]>::to_vec),
                extensions.subject_key_identifier.map(<[u8]>::to_vec),
            )
        };
        assert_eq!(key_identifiers(&leaf).0, key_identifiers(&authority).1);
        assert_eq!(key_identifiers(&authority).0, key_identifiers(&root).1);
        assert_eq!(leaf.extensions().key_usage, Some(usage), "this and nothing else");
        assert!(leaf.extensions().has_policy(&policy) && authority.extensions().has_policy(&policy));
        assert!(authority.extensions().basic_constraints.unwrap().is_authority);
        assert_eq!(leaf.extensions().basic_constraints, None);
        assert_eq!(healthcare_role(&chain[2]), Ok(Some(HealthcareRole::MedicalDoctor)));
        // The leaf names the authority's certificate by its issuer and serial number too.
        let expected = write::tlv(tag::context(2), testing::serial(4).as_bytes());
        assert!(chain[2].windows(expected.len()).any(|window| window == expected));
    }
}

#[test]
fn only_an_office_is_named_with_the_institution() {
    let subject = |holder: HpkiHolder<'_>| {
        let [_, _, leaf] = chain(HpkiPurpose::Signature, holder)?;
        let leaf = Certificate::parse(&leaf)?;
        let attribute = |attribute| {
            leaf.subject_attribute(attribute).map(|value| value.map(str::to_owned)).map_err(IssueError::from)
        };
        Ok::<_, IssueError>([
            attribute(NameAttribute::CommonName)?,
            attribute(NameAttribute::Organization)?,
            attribute(NameAttribute::OrganizationalUnit)?,
            attribute(NameAttribute::SubjectSerialNumber)?,
        ])
    };
    let alone = HpkiHolder { organization: None, ..holder(Some(HealthcareRole::GeneralNurse)) };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(subject(alone).unwrap(), [text("Shiken Sato"), None, None, text("TEST000001")]);
    let nobody = HpkiHolder { role: None, ..alone };
    assert_eq!(subject(nobody).unwrap()[0], text("Shiken Sato"));
    let office = holder(Some(HealthcareRole::DirectorOfClinic));
    assert_eq!(
        subject(office).unwrap(),
        [text("Shiken Sato"), text("KAZASU CLINIC"), text("Director"), text("TEST000001")]
    );
    let homeless = HpkiHolder { organization: None, ..office };
    assert!(matches!(subject(homeless), Err(IssueError::Contents(_))));
    let unprintable = HpkiHolder { registration: "１２３", ..alone };
    assert!(matches!(subject(unprintable), Err(IssueError::Name(_))));
    assert_eq!(format!("{office:?}"), "HpkiHolder(****)");
}

#[test]
fn nothing_real_is_in_a_certificate() {
    let chain = chain(HpkiPurpose::Signature, holder(Some(HealthcareRole::MedicalDoctor))).unwrap();
    // The arc of the ministry, and words that the real authorities have in their names.
    let arc = [0x2A, 0x83, 0x08, 0x86, 0x91, 0x0F];
    for certificate in &chain {
        for needle in [&arc[..], b"MHLW", b"MEDIS", b"Ministry", b"mhlw.go.jp", b"medis.or.jp"] {
            assert!(!certificate.windows(needle.len()).any(|window| window == needle));
        }
    }
}

#[test]
fn an_authority_issues_within_its_life_and_under_its_own_key() {
    let whole = Validity { not_before: NOW, not_after: NOW.plus(YEAR_SECONDS) };
    let root = IssuingAuthority::self_signed(
        &AuthorityProfile::HpkiRoot { organization: ORGANIZATION },
        testing::serial(1),
        whole,
        testing::signer(testing::rsa_key(0)),
    )
    .unwrap();
    let purpose = HpkiPurpose::Authentication;
    let profile = AuthorityProfile::Hpki { purpose, organization: ORGANIZATION };
    let beyond = Validity { not_after: NOW.plus(YEAR_SECONDS + 1), ..whole };
    let issue = |validity, spki: &[u8]| root.issue_authority(&profile, testing::serial(2), validity, spki);
    assert_eq!(issue(beyond, &testing::rsa_spki(1)), Err(IssueError::Validity));
    assert_eq!(issue(whole, b"no key"), Err(IssueError::SubjectKey));
    let authority = issue(whole, &testing::rsa_spki(1)).unwrap();
    let wrong_key = testing::signer(testing::rsa_key(2));
    assert!(IssuingAuthority::from_certificate(authority.clone(), wrong_key).is_err());
    let leaf = LeafProfile::Hpki { purpose, holder: holder(None), crl_uri: CRL_URI };
    let issuing =
        IssuingAuthority::from_certificate(authority, testing::signer(testing::rsa_key(1))).unwrap();
    assert_eq!(
        issuing.issue(&leaf, testing::serial(3), whole, &testing::p256_spki(1)),
        Err(IssueError::SubjectKey)
    );
    let nowhere = LeafProfile::Hpki { purpose, holder: holder(None), crl_uri: "" };
    assert!(issuing.issue(&nowhere, testing::serial(3), whole, &testing::rsa_spki(2)).is_err());
}

/// openssl as a second reader.
mod foreign {
    use super::*;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    /// A folder that goes away with its owner.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kazasu-hpki-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// As PEM: openssl writes what it reads, so that no test of a pure crate does.
        fn keep(&self, name: &str, der: &[u8]) {
            let (kept, said) = openssl(Some(self), &["x509", "-inform", "DER", "-out", name], der);
            assert!(kept, "{said}");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    fn openssl(folder: Option<&Folder>, arguments: &[&str], input: &[u8]) -> (bool, String) {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = folder {
            command.current_dir(&folder.0);
        }
        let mut child = command.spawn().expect("openssl 3 is installed (Debian: apt-get install openssl)");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn openssl_reads_what_the_certificate_says() {
        let purpose = HpkiPurpose::Signature;
        let [_, authority, leaf] = chain(purpose, holder(Some(HealthcareRole::MedicalDoctor))).unwrap();
        let text = ["x509", "-inform", "DER", "-noout", "-text"];
        let (read, said) = openssl(None, &text, &leaf);
        assert!(read, "{said}");
        for words in [
            "CN = KAZASU-TEST-SignCA-forNonRepudiation",
            "O = KAZASU CLINIC, CN = Shiken Sato, serialNumber = TEST000001",
            "X509v3 Key Usage: critical\n                Non Repudiation\n",
            "X509v3 Certificate Policies: critical\n                Policy: 1.3.6.1.4.1.32473.1.5.1.1.0.1",
            "CPS: https://hpki-emulated.example/cps.html",
            "URI:http://hpki-emulated.example/list.crl",
            "X509v3 Subject Directory Attributes:",
            "OU=KAZASU TEST HPKI Root CA",
            "Medical Doctor",
        ] {
            assert!(said.contains(words), "{words} is missing in\n{said}");
        }
        let (read, said) = openssl(None, &text, &authority);
        assert!(read && said.contains("CA:TRUE") && said.contains("CN = SARL"), "{said}");
        // The attribute's own structure, type and word.
        let (_, said) = openssl(None, &["asn1parse", "-inform", "DER"], &leaf);
        let line =
            said.lines().skip_while(|line| !line.contains("Subject Directory Attributes")).nth(1).unwrap();
        let offset = line.split(':').next().unwrap().trim();
        let (read, said) = openssl(None, &["asn1parse", "-inform", "DER", "-strparse", offset], &leaf);
        assert!(read, "{said}");
        let words: Vec<_> =
            said.lines().filter_map(|line| line.split_once("prim: ").map(|(_, word)| word)).collect();
        let plain: Vec<String> = words.iter().map(|word| word.split_whitespace().collect()).collect();
        assert_eq!(
            plain,
            ["OBJECT:1.0.17090.0.1", "OBJECT:1.3.6.1.4.1.32473.1.6.1.1", "UTF8STRING:MedicalDoctor"]
        );
    }

    #[test]
    fn openssl_finds_the_path_and_its_policy() {
        let folder = Folder::new("path");
        let purpose = HpkiPurpose::Authentication;
        let [root, authority, leaf] = chain(purpose, holder(Some(HealthcareRole::Pharmacist))).unwrap();
        folder.keep("root.pem", &root);
        folder.keep("authority.pem", &authority);
        folder.keep("leaf.pem", &leaf);
        let at = (NOW.0 + 3).to_string();
        let verify = |policy: &str| {
            let path = ["-CAfile", "root.pem", "-untrusted", "authority.pem", "leaf.pem"];
            let ask =
                ["verify", "-x509_strict", "-attime", &at, "-policy_check", "-explicit_policy", "-policy"];
            openssl(Some(&folder), &[&ask[..], &[policy], &path].concat(), &[])
        };
        let (good, said) = verify("1.3.6.1.4.1.32473.1.5.1.2.0.1");
        assert!(good, "{said}");
        let (good, said) = verify("1.3.6.1.4.1.32473.1.5.1.1.0.1");
        assert!(!good && said.contains("no explicit policy"), "{said}");
    }
}
