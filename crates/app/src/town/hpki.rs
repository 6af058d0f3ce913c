//! The town's health professionals: who certifies them, and the HPKI card of `dr-sato`.
//!
//! Three authorities, as in the healthcare PKI: a root, one for signatures and one for authentication.
//! They are no room: an HPKI issuer belongs to a profession, and the town's has issued once and for all.
//! Its lists of revoked certificates are empty, and good for as long as the authorities are.

use crate::card_file::{BuiltInLayout, CardFile};
use crate::town::build::{PIN, Places, SIGN_PASSWORD, YEAR, write_pem};
use crate::town::{HealthAuthorities, HealthAuthority, Person};
use card::hpki_card::{Discovery, HpkiFunction, HpkiPersonalisation, HpkiPin};
use card::rsa_key::CardRsaKey;
use chassis::entropy::SystemEntropy;
use pki::crl::CrlContents;
use pki::hc_role::HealthcareRole;
use pki::issue::IssuingAuthority;
use pki::pem::PemKind;
use pki::profile::hpki::{HpkiHolder, HpkiPurpose, TwoNames};
use pki::profile::{AuthorityProfile, LeafProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::SoftwareRsaSigner;
use protocol::problem::ProblemCode;
use protocol::time::UnixSeconds;
use std::path::Path;

/// How many RSA keys this takes: three authorities, two keys on the card.
pub(crate) const KEYS: u64 = 5;
/// `O` of the authorities. Never a real one's.
const ORGANIZATION: &str = "KAZASU TEST";
/// Where the certificates say that their lists are. The host is reserved (RFC 2606 §2): it never resolves.
const LISTS: &str = "http://hpki-emulated.example/repository";
/// How long authorities and lists are good, and how long the holder's certificates.
const AUTHORITY_YEARS: u64 = 20;
const HOLDER_YEARS: u64 = 5;

/// A health professional of the town. The registration is in no register: real ones have no letters.
struct Professional {
    name: &'static str,
    written: TwoNames<'static>,
    registration: &'static str,
    role: HealthcareRole,
    story: (&'static str, &'static str),
}

const DOCTOR: Professional = Professional {
    name: "dr-sato",
    written: TwoNames { roman: "Sato Mihon", japanese: "佐藤　見本" },
    registration: "MIHON-000001",
    role: HealthcareRole::MedicalDoctor,
    story: (
        "HPKI カードを持つ医師。患者のカードではないので、かざしても資格は調べない",
        "physician with an HPKI card: no patient's card, so a touch checks nothing",
    ),
};

/// Where an authority's files are, below the town's folder.
fn place_of(dir: &Path, name: &str) -> HealthAuthority {
    let file = |end: &str| dir.join(format!("ca/hpki-{name}.{end}"));
    HealthAuthority { cert: file("pem"), crl: file("crl") }
}

/// Where all of them are.
pub(crate) fn places_of(dir: &Path) -> HealthAuthorities {
    let [root, sign, auth] = ["root", "sign-ca", "auth-ca"].map(|name| place_of(dir, name));
    HealthAuthorities { root, sign, auth }
}

type NextKey<'a> = dyn FnMut() -> anyhow::Result<CardRsaKey> + 'a;

/// An authority, with its certificate, its key and its empty list in the town's files.
struct Made(IssuingAuthority);

impl Made {
    fn keep(
        places: &Places<'_>,
        name: &str,
        authority: IssuingAuthority,
        key: &CardRsaKey,
        valid: Validity,
    ) -> anyhow::Result<Self> {
        let HealthAuthority { cert, crl } = place_of(places.0, name);
        write_pem(&cert, PemKind::Certificate, authority.certificate_der())?;
        write_pem(&places.at(&format!("ca/hpki-{name}.key")), PemKind::PrivateKey, &key.pkcs8_der()?)?;
        let list = authority.issue_crl(&CrlContents {
            number: 1,
            this_update: valid.not_before,
            next_update: valid.not_after,
            entries: &[],
        })?;
        chassis::files::write_atomic(&crl, &list)?;
        Ok(Self(authority))
    }

    fn root(places: &Places<'_>, key: &CardRsaKey, valid: Validity) -> anyhow::Result<Self> {
        let authority = IssuingAuthority::self_signed(
            &AuthorityProfile::HpkiRoot { organization: ORGANIZATION },
            serial(),
            valid,
            Box::new(SoftwareRsaSigner::from_pkcs8(&key.pkcs8_der()?)?),
        )?;
        Self::keep(places, "root", authority, key, valid)
    }

    /// One of the two authorities under this root.
    fn certify(
        &self,
        places: &Places<'_>,
        purpose: HpkiPurpose,
        key: &CardRsaKey,
        valid: Validity,
    ) -> anyhow::Result<Self> {
        let profile = AuthorityProfile::Hpki { purpose, organization: ORGANIZATION };
        let certificate = self.0.issue_authority(&profile, serial(), valid, key.spki_der())?;
        let signer = Box::new(SoftwareRsaSigner::from_pkcs8(&key.pkcs8_der()?)?);
        let authority = IssuingAuthority::from_certificate(certificate, signer)?;
        Self::keep(places, authority_name(purpose), authority, key, valid)
    }

    /// What goes into the professional's card for this purpose.
    fn function(
        &self,
        root: &Self,
        purpose: HpkiPurpose,
        private_key: CardRsaKey,
        (pin, valid): (&str, Validity),
    ) -> anyhow::Result<HpkiFunction> {
        let Professional { written, registration, role, .. } = DOCTOR;
        let profile = LeafProfile::Hpki {
            purpose,
            holder: HpkiHolder { name: written, registration, organization: None, role: Some(role) },
            crl_uri: &format!("{LISTS}/{}.crl", authority_name(purpose)),
        };
        Ok(HpkiFunction {
            end_entity_der: self.0.issue(&profile, serial(), valid, private_key.spki_der())?,
            issuer_der: self.0.certificate_der().to_vec(),
            root_der: root.0.certificate_der().to_vec(),
            private_key,
            pin: HpkiPin::parse(pin)?,
        })
    }
}

const fn authority_name(purpose: HpkiPurpose) -> &'static str {
    match purpose {
        HpkiPurpose::Signature => "sign-ca",
        HpkiPurpose::Authentication => "auth-ca",
    }
}

fn serial() -> SerialNumber {
    SerialNumber::random(16, &mut SystemEntropy)
}

/// Makes the authorities and the physician with [`KEYS`] keys from `next`, and writes all of it.
pub(super) fn make(places: &Places<'_>, next: &mut NextKey<'_>, now: UnixSeconds) -> anyhow::Result<Person> {
    let for_years = |years| Validity { not_before: now.minus(60), not_after: now.plus(years * YEAR) };
    let valid = for_years(AUTHORITY_YEARS);
    let root = Made::root(places, &next()?, valid)?;
    let [for_signatures, for_authentication] = [HpkiPurpose::Signature, HpkiPurpose::Authentication];
    let sign = root.certify(places, for_signatures, &next()?, valid)?;
    let auth = root.certify(places, for_authentication, &next()?, valid)?;
    let valid = for_years(HOLDER_YEARS);
    let holder = HpkiPersonalisation {
        signature: sign.function(&root, for_signatures, next()?, (SIGN_PASSWORD, valid))?,
        authentication: auth.function(&root, for_authentication, next()?, (PIN, valid))?,
        // So that OpenSC finds the card too; a program that knows HPKI cards does not see the difference.
        discovery: Discovery::EfDir,
    };
    let certificate = |purpose: &str, function: &HpkiFunction| {
        let path = places.at(&format!("people/{}.hpki-{purpose}.pem", DOCTOR.name));
        write_pem(&path, PemKind::Certificate, &function.end_entity_der)?;
        anyhow::Ok(path)
    };
    let card = places.at(&format!("people/{}.card", DOCTOR.name));
    CardFile::of(BuiltInLayout::HpkiCard, &holder.contents()?).write(&card)?;
    Ok(Person {
        name: DOCTOR.name.to_owned(),
        story_ja: DOCTOR.story.0.to_owned(),
        story_en: DOCTOR.story.1.to_owned(),
        expected: ProblemCode::CardOfOtherKind.as_str().to_owned(),
        auth_cert: None,
        sign_cert: None,
        hpki_auth_cert: Some(certificate("auth", &holder.authentication)?),
        hpki_sign_cert: Some(certificate("sign", &holder.signature)?),
        pin: PIN.to_owned(),
        sign_password: Some(SIGN_PASSWORD.to_owned()),
        card_face: None,
        card,
    })
}
