//! The authority's operators and partners in a town: two specimen operators with keys of their own, the
//! institution that is accredited from the beginning, and the programs that may ask for linkage.

use crate::pki_commands::office::make_key;
use crate::town::build::{Places, YEAR, town_authority, write_pem};
use crate::town::people;
use chassis::entropy::SystemEntropy;
use jpki_authority::approval::Operator;
use jpki_authority::approval::desk::{ApprovalDesk, Founding};
use jpki_authority::config::Config;
use pki::issue::IssuingAuthority;
use pki::pem::PemKind;
use pki::profile::{LeafProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Who is in the audit for what the town itself does.
const TOWN: &str = "town";
/// The specimen operators.
const OPERATORS: [&str; 2] = ["aoi", "ben"];

/// A specimen operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpecimenOperator {
    /// The name.
    pub(crate) name: String,
    /// PEM of the private key.
    pub(crate) key: PathBuf,
}

/// A program that asks the authority for linkage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Partner {
    /// Its name in the audit.
    pub(crate) name: String,
    /// What it is: `linkage.clients.role` of the authority's configuration.
    pub(crate) role: String,
    /// What it may ask for.
    pub(crate) purpose: String,
    /// PEM of its client certificate.
    pub(crate) cert: PathBuf,
    /// PEM of its private key.
    pub(crate) key: PathBuf,
}

/// A specimen partner: name, role, what it may ask beyond that, purpose, and where its identity lies.
struct SpecimenPartner(&'static str, &'static str, &'static str, &'static str, &'static str);

const PARTNERS: [SpecimenPartner; 3] = [
    SpecimenPartner("eligibility", "eligibility_platform", "", "eligibility", "eligibility/linkage"),
    SpecimenPartner("bank", "signature_verifier", "", "account", "partners/bank"),
    SpecimenPartner(
        "portal",
        "by_name",
        "\"auth_of_sign\", \"sign_of_auth\"",
        "own_history",
        "partners/portal",
    ),
];

/// The operators as `town.json` lists them.
pub(super) fn operators(dir: &Path) -> Vec<SpecimenOperator> {
    OPERATORS
        .iter()
        .map(|name| SpecimenOperator {
            name: (*name).to_owned(),
            key: dir.join(format!("operators/{name}.key")),
        })
        .collect()
}

/// The partners as `town.json` lists them.
pub(super) fn partners(dir: &Path) -> Vec<Partner> {
    PARTNERS
        .iter()
        .map(|SpecimenPartner(name, role, _, purpose, files)| Partner {
            name: (*name).to_owned(),
            role: (*role).to_owned(),
            purpose: (*purpose).to_owned(),
            cert: dir.join(format!("{files}.pem")),
            key: dir.join(format!("{files}.key")),
        })
        .collect()
}

/// The part of the authority's configuration that says who may ask.
pub(super) fn linkage_config(port: u16) -> String {
    let mut text =
        format!("\n[linkage]\nlisten = \"127.0.0.1:{port}\"\nclient_ca = \"../ca/partner-ca.pem\"\n");
    for SpecimenPartner(name, role, also, purpose, files) in &PARTNERS {
        text.push_str(&format!(
            "\n[[linkage.clients]]\nname = \"{name}\"\ncertificate = \"../{files}.pem\"\nrole = \"{role}\"\n\
             also = [{also}]\npurposes = [\"{purpose}\"]\nquestions_per_minute = 600\n"
        ));
    }
    text
}

/// Accredits the specimen clinic and enrols the two operators: founding, which one person does.
fn found(places: &Places<'_>, config: &Config, now: UnixSeconds) -> anyhow::Result<()> {
    let desk = ApprovalDesk::open(config, &mut SystemEntropy)?;
    let (code, name) = people::institution()?;
    desk.found(&Founding::Institution { code, name: name.to_owned() }, TOWN, now)?;
    for SpecimenOperator { name, key } in operators(places.0) {
        let operator = Operator::new(&name, &make_key(&key)?, now)?;
        desk.found(&Founding::Operator(operator), TOWN, now)?;
    }
    Ok(())
}

fn partner(
    authority: &IssuingAuthority,
    places: &Places<'_>,
    specimen: &SpecimenPartner,
    now: UnixSeconds,
) -> anyhow::Result<()> {
    let SpecimenPartner(name, _, _, _, files) = specimen;
    let (code, _) = people::institution()?;
    let key = generate_p256_pkcs8()?;
    let signer = SoftwareP256Signer::from_pkcs8(&key)?;
    let profile = LeafProfile::TlsClient {
        institution_name: "見本の照会機関",
        institution_code: code.as_str(),
        terminal_name: name,
    };
    let validity = Validity { not_before: now.minus(60), not_after: now.plus(2 * YEAR) };
    let serial = SerialNumber::random(16, &mut SystemEntropy);
    let certificate = authority.issue(&profile, serial, validity, signer.spki_der())?;
    write_pem(&places.at(&format!("{files}.pem")), PemKind::Certificate, &certificate)?;
    write_pem(&places.at(&format!("{files}.key")), PemKind::PrivateKey, &key)
}

/// Makes everything of this kind, before the first terminal is certified.
pub(super) fn make(places: &Places<'_>, config: &Config, now: UnixSeconds) -> anyhow::Result<()> {
    found(places, config, now)?;
    let (authority, key) = town_authority("Kazasu partner CA", now)?;
    write_pem(&places.at("ca/partner-ca.pem"), PemKind::Certificate, authority.certificate_der())?;
    write_pem(&places.at("ca/partner-ca.key"), PemKind::PrivateKey, &key)?;
    PARTNERS.iter().try_for_each(|specimen| partner(&authority, places, specimen, now))
}
