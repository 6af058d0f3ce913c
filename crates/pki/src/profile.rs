//! The shapes of the certificates that an authority of this project issues.
//!
//! The JPKI shapes follow what cards of the public test hierarchy show, field by field, with our own
//! names (`O=JPKI-EMULATED`) and our own object identifiers (see [`crate::oid`]): nothing issued here
//! can pass for the real thing. Report, "New JPKI"; RFC 5280 §4.2.

pub mod hpki;

use crate::asn1::time::days_in_month;
use crate::asn1::{tag, write};
use crate::certificate::KeyUsage;
use crate::crl::ListPlace;
use crate::issue::IssueError;
use crate::name::{DistinguishedName, NameAttribute, NameError};
use crate::oid;
use der::asn1::ObjectIdentifier;
use hpki::{HpkiHolder, HpkiPurpose};
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use std::net::IpAddr;

/// Where the policy of our certificates is described. The host is reserved (RFC 2606 §2): it never resolves.
pub const CPS_URI: &str = "https://jpki-emulated.example/cps.html";

/// First and last instant of validity, both included: RFC 5280 §4.1.2.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// notBefore.
    pub not_before: UnixSeconds,
    /// notAfter.
    pub not_after: UnixSeconds,
}

/// What the two authorities for card holders are for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JpkiPurpose {
    /// Certificates that say "this card was here" and name nobody.
    #[doc(alias = "利用者証明用")]
    Authentication,
    /// Certificates that sign documents and carry the four attributes.
    #[doc(alias = "署名用")]
    Signature,
}

/// Shape of an authority's own certificate.
#[derive(Clone, Copy, Debug)]
pub enum AuthorityProfile<'a> {
    /// One of the two authorities for card holders: RSA-2048, self-signed, one tier.
    Jpki {
        /// Which of the two.
        purpose: JpkiPurpose,
        /// `O` of its name; ours, never the real one.
        organization: &'a str,
        /// The last `OU` of its name: who operates it.
        operator: &'a str,
    },
    /// The root of the health professionals' authorities: self-signed.
    HpkiRoot {
        /// `O` of its name; ours, never the real one.
        organization: &'a str,
    },
    /// One of the two authorities for health professionals, under the root.
    Hpki {
        /// Which of the two.
        purpose: HpkiPurpose,
        /// `O` of its name; ours, never the real one.
        organization: &'a str,
    },
    /// The authority of the town's TLS certificates: P-256.
    Town {
        /// `CN` of its name.
        common_name: &'a str,
    },
}

impl AuthorityProfile<'_> {
    pub(crate) fn name(&self) -> Result<DistinguishedName, NameError> {
        match self {
            Self::Jpki { purpose, organization, operator } => DistinguishedName::new(&[
                (NameAttribute::Country, "JP"),
                (NameAttribute::Organization, organization),
                (
                    NameAttribute::OrganizationalUnit,
                    match purpose {
                        JpkiPurpose::Authentication => "KAZASU TEST for user authentication",
                        JpkiPurpose::Signature => "KAZASU TEST for digital signature",
                    },
                ),
                (NameAttribute::OrganizationalUnit, operator),
            ]),
            Self::HpkiRoot { organization } => hpki::root_name(organization),
            Self::Hpki { purpose, organization } => hpki::authority_name(*purpose, organization),
            Self::Town { common_name } => DistinguishedName::new(&[
                (NameAttribute::Country, "JP"),
                (NameAttribute::Organization, "KAZASU TEST TOWN"),
                (NameAttribute::CommonName, common_name),
            ]),
        }
    }

    /// Everything but the key identifiers; `issuer` is `name` for a self-signed authority.
    pub(crate) fn extensions(
        &self,
        name: &DistinguishedName,
        issuer: &DistinguishedName,
    ) -> Result<Vec<Vec<u8>>, IssueError> {
        let usage = KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN);
        let mut extensions = vec![
            key_usage(usage),
            extension(
                &oid::BASIC_CONSTRAINTS,
                Criticality::Critical,
                &write::sequence(&[&write::boolean_true()]),
            ),
        ];
        if let Self::Jpki { purpose, .. } = self {
            let japanese = DistinguishedName::new(&[
                (NameAttribute::Country, "JP"),
                (NameAttribute::Organization, "公的個人認証エミュレーション"),
                (
                    NameAttribute::OrganizationalUnit,
                    match purpose {
                        JpkiPurpose::Authentication => "利用者証明用（かざす試験）",
                        JpkiPurpose::Signature => "署名用（かざす試験）",
                    },
                ),
            ])?;
            let alternative = write::sequence(&[&directory_name(&japanese)]);
            extensions.push(extension(&oid::SUBJECT_ALT_NAME, Criticality::NonCritical, &alternative));
            let place = name.extended(&[(NameAttribute::OrganizationalUnit, "CRL Distribution Points")])?;
            extensions.push(crl_distribution_points(&place, None));
        }
        match self {
            Self::HpkiRoot { .. } => extensions.extend(hpki::root_extensions(name)?),
            Self::Hpki { purpose, .. } => extensions.extend(hpki::authority_extensions(*purpose, issuer)?),
            Self::Jpki { .. } | Self::Town { .. } => {}
        }
        Ok(extensions)
    }
}

/// Date of birth in the Gregorian calendar. Personal: no `Debug` of the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BirthDate {
    year: u16,
    month: u8,
    day: u8,
}

/// A date that does not exist or lies before 1868.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a date of birth")]
pub struct NotABirthDate;

impl BirthDate {
    /// A date from 1868-01-25 (the first day of Meiji) to 9999-12-31.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, NotABirthDate> {
        let exists = day >= 1 && i64::from(day) <= days_in_month(i64::from(year), i64::from(month));
        let in_range = year <= 9_999 && (year, month, day) >= (1868, 1, 25);
        if exists && in_range { Ok(Self { year, month, day }) } else { Err(NotABirthDate) }
    }

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Self, NotABirthDate> {
        let mut parts = text.splitn(3, '-');
        let mut part = |length: usize| {
            let digits = parts
                .next()
                .filter(|digits| digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u16>().ok()).ok_or(NotABirthDate)
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        Self::new(
            year,
            u8::try_from(month).map_err(|_| NotABirthDate)?,
            u8::try_from(day).map_err(|_| NotABirthDate)?,
        )
    }

    /// `EYYYYMMDD`: the era (1 Meiji, 2 Taishō, 3 Shōwa, 4 Heisei, 5 Reiwa) and the Gregorian date.
    fn era_digits(self) -> String {
        let era = match (self.year, self.month, self.day) {
            date if date >= (2019, 5, 1) => 5,
            date if date >= (1989, 1, 8) => 4,
            date if date >= (1926, 12, 25) => 3,
            date if date >= (1912, 7, 30) => 2,
            _ => 1,
        };
        format!("{era}{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

impl std::fmt::Debug for BirthDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BirthDate(****)")
    }
}

/// Sex as the card carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sex {
    /// `1`.
    Male,
    /// `2`.
    Female,
    /// `9`.
    NotApplicable,
}

impl Sex {
    const fn digit(self) -> &'static str {
        match self {
            Self::Male => "1",
            Self::Female => "2",
            Self::NotApplicable => "9",
        }
    }
}

/// The municipality that keeps a person in its register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Municipality {
    code: String,
    prefecture: String,
    city: String,
}

impl Municipality {
    /// `code` is the five-digit local government code without its check digit, `prefecture` and `city`
    /// are romanised as in `Tokyo-to`, `Kiyose-shi`.
    ///
    /// # Errors
    /// A code that is not five digits, or a name that a certificate cannot hold.
    pub fn new(code: &str, prefecture: &str, city: &str) -> Result<Self, IssueError> {
        if code.len() != 5 || !code.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(IssueError::Contents("a municipality code has five digits"));
        }
        DistinguishedName::new(&[
            (NameAttribute::OrganizationalUnit, prefecture),
            (NameAttribute::Locality, city),
        ])?;
        Ok(Self { code: code.to_owned(), prefecture: prefecture.to_owned(), city: city.to_owned() })
    }

    /// The five digits.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Romanised prefecture.
    pub fn prefecture(&self) -> &str {
        &self.prefecture
    }

    /// Romanised city, ward, town or village.
    pub fn city(&self) -> &str {
        &self.city
    }
}

/// The four attributes of a signature certificate, and who vouches for them. Personal.
#[doc(alias = "基本4情報")]
#[derive(Clone, PartialEq, Eq)]
pub struct FourAttributes {
    /// Full name.
    pub name: String,
    /// Date of birth.
    pub birth_date: BirthDate,
    /// Sex.
    pub sex: Sex,
    /// Address.
    pub address: String,
}

impl std::fmt::Debug for FourAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FourAttributes(****)")
    }
}

/// Shape of an end-entity certificate.
#[derive(Clone, Debug)]
pub enum LeafProfile<'a> {
    /// Card-holder authentication: no personal data at all.
    #[doc(alias = "利用者証明用電子証明書")]
    JpkiAuth {
        /// `CN`, from [`auth_common_name`].
        common_name: &'a str,
        /// Whose register the person is in.
        municipality: &'a Municipality,
        /// Where OCSP answers, if anywhere.
        ocsp_uri: Option<&'a str>,
        /// The part of the revocation list that will speak of it, if the list has parts.
        list_place: Option<&'a ListPlace>,
    },
    /// Document signature: carries the four attributes.
    #[doc(alias = "署名用電子証明書")]
    JpkiSign {
        /// `CN`, from [`sign_common_name`].
        common_name: &'a str,
        /// Whose register the person is in.
        municipality: &'a Municipality,
        /// The four attributes.
        attributes: &'a FourAttributes,
        /// The part of the revocation list that will speak of it, if the list has parts.
        list_place: Option<&'a ListPlace>,
    },
    /// A health professional's certificate.
    #[doc(alias = "HPKI証明書")]
    Hpki {
        /// For signatures or for authentication.
        purpose: HpkiPurpose,
        /// Whose.
        holder: HpkiHolder<'a>,
        /// Where the authority's revocation list is.
        crl_uri: &'a str,
    },
    /// A TLS server of the town.
    TlsServer {
        /// `CN`, for people; clients look at the alternative names.
        common_name: &'a str,
        /// dNSName entries.
        dns_names: &'a [&'a str],
        /// iPAddress entries.
        ip_addresses: &'a [IpAddr],
    },
    /// The TLS client that is a terminal.
    #[doc(alias = "端末認証")]
    TlsClient {
        /// `O`: name of the institution.
        institution_name: &'a str,
        /// `serialNumber` of the subject: the institution's code.
        institution_code: &'a str,
        /// `CN`: which terminal of the institution.
        terminal_name: &'a str,
    },
    /// Signs OCSP responses in the authority's place: RFC 6960 §4.2.2.2. It is not to be looked up itself
    /// (§4.2.2.2.1), so it has to be short-lived.
    OcspDelegate {
        /// `CN`.
        common_name: &'a str,
    },
}

impl LeafProfile<'_> {
    pub(crate) fn subject(&self) -> Result<DistinguishedName, NameError> {
        const C: (NameAttribute, &str) = (NameAttribute::Country, "JP");
        match self {
            Self::JpkiAuth { common_name, .. } => {
                DistinguishedName::new(&[C, (NameAttribute::CommonName, common_name)])
            }
            Self::JpkiSign { common_name, municipality, .. } => DistinguishedName::new(&[
                C,
                (NameAttribute::Locality, &municipality.prefecture),
                (NameAttribute::Locality, &municipality.city),
                (NameAttribute::CommonName, common_name),
            ]),
            Self::Hpki { holder, .. } => holder.subject(),
            Self::TlsServer { common_name, .. } | Self::OcspDelegate { common_name } => {
                DistinguishedName::new(&[C, (NameAttribute::CommonName, common_name)])
            }
            Self::TlsClient { institution_name, institution_code, terminal_name } => {
                DistinguishedName::new(&[
                    C,
                    (NameAttribute::Organization, institution_name),
                    (NameAttribute::SubjectSerialNumber, institution_code),
                    (NameAttribute::CommonName, terminal_name),
                ])
            }
        }
    }

    /// Everything but the two key identifiers, which the issuing authority adds.
    pub(crate) fn extensions(
        &self,
        issuer: &DistinguishedName,
        issuer_alternative_names: Option<&[u8]>,
    ) -> Result<Vec<Vec<u8>>, IssueError> {
        let mut extensions = Vec::with_capacity(8);
        match self {
            Self::JpkiAuth { municipality, ocsp_uri, list_place, .. } => {
                extensions.push(key_usage(KeyUsage::DIGITAL_SIGNATURE));
                extensions.push(extended_key_usage(&oid::CLIENT_AUTH));
                extensions.push(policy(&oid::JPKI_AUTH_POLICY));
                extensions.push(crl_distribution_points(&register_place(issuer, municipality)?, *list_place));
                if let Some(uri) = ocsp_uri {
                    extensions.push(ocsp_access(uri)?);
                }
            }
            Self::JpkiSign { municipality, attributes, list_place, .. } => {
                extensions.push(key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::NON_REPUDIATION)));
                extensions.push(policy(&oid::JPKI_SIGN_POLICY));
                extensions.push(four_attributes(attributes)?);
                extensions.push(crl_distribution_points(&register_place(issuer, municipality)?, *list_place));
            }
            Self::Hpki { purpose, holder, crl_uri } => {
                extensions.extend(hpki::leaf_extensions(*purpose, holder, crl_uri)?);
            }
            Self::TlsServer { dns_names, ip_addresses, .. } => {
                extensions.push(key_usage(KeyUsage::DIGITAL_SIGNATURE));
                extensions.push(extended_key_usage(&oid::SERVER_AUTH));
                extensions.push(server_names(dns_names, ip_addresses)?);
            }
            Self::TlsClient { .. } => {
                extensions.push(key_usage(KeyUsage::DIGITAL_SIGNATURE));
                extensions.push(extended_key_usage(&oid::CLIENT_AUTH));
            }
            Self::OcspDelegate { .. } => {
                extensions.push(key_usage(KeyUsage::DIGITAL_SIGNATURE));
                extensions.push(extended_key_usage(&oid::OCSP_SIGNING));
                extensions.push(extension(&oid::OCSP_NOCHECK, Criticality::NonCritical, &[tag::NULL, 0]));
            }
        }
        if let Some(names) = issuer_alternative_names {
            extensions.push(extension(&oid::ISSUER_ALT_NAME, Criticality::NonCritical, names));
        }
        Ok(extensions)
    }
}

/// `CN` of an authentication certificate: 14 random characters, the municipality, three digits and a
/// letter; 23 in all. It says nothing about the person.
pub fn auth_common_name(municipality: &Municipality, entropy: &mut dyn Entropy) -> String {
    let random = draw(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 14, entropy);
    format!("{random}{}{}", municipality.code, tail(entropy))
}

/// `CN` of a signature certificate: the time as `YYYYMMDDhhmmss`, five digits, the municipality, three
/// digits and a letter; 28 in all.
pub fn sign_common_name(municipality: &Municipality, now: UnixSeconds, entropy: &mut dyn Entropy) -> String {
    let random = draw(b"0123456789", 5, entropy);
    format!("{}{random}{}{}", crate::asn1::time::digits_of(now), municipality.code, tail(entropy))
}

fn tail(entropy: &mut dyn Entropy) -> String {
    draw(b"0123456789", 3, entropy) + &draw(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1, entropy)
}

fn draw(alphabet: &[u8], count: usize, entropy: &mut dyn Entropy) -> String {
    let mut drawn = vec![0u8; count * 2];
    entropy.fill(&mut drawn);
    drawn
        .as_chunks::<2>()
        .0
        .iter()
        // 16 bits over at most 36 letters: a bias below one in a thousand, harmless in a name.
        .filter_map(|pair| alphabet.get(usize::from(u16::from_be_bytes(*pair)) % alphabet.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

/// Whether an application that does not know the extension must refuse the certificate: RFC 5280 §4.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Criticality {
    /// It must.
    Critical,
    /// It may go on.
    NonCritical,
}

/// One Extension: RFC 5280 §4.1.
pub(crate) fn extension(kind: &ObjectIdentifier, criticality: Criticality, value: &[u8]) -> Vec<u8> {
    let critical = match criticality {
        Criticality::Critical => write::boolean_true(),
        Criticality::NonCritical => Vec::new(),
    };
    write::sequence(&[&write::oid(kind), &critical, &write::tlv(tag::OCTET_STRING, value)])
}

fn key_usage(usage: KeyUsage) -> Vec<u8> {
    extension(&oid::KEY_USAGE, Criticality::Critical, &write::named_bits(usage.0))
}

fn extended_key_usage(purpose: &ObjectIdentifier) -> Vec<u8> {
    extension(&oid::EXTENDED_KEY_USAGE, Criticality::NonCritical, &write::sequence(&[&write::oid(purpose)]))
}

fn policy(policy: &ObjectIdentifier) -> Vec<u8> {
    let cps = write::tlv(tag::IA5, CPS_URI.as_bytes());
    let qualifier = write::sequence(&[&write::oid(&oid::QUALIFIER_CPS), &cps]);
    let information = write::sequence(&[&write::oid(policy), &write::sequence(&[&qualifier])]);
    extension(&oid::CERTIFICATE_POLICIES, Criticality::Critical, &write::sequence(&[&information]))
}

/// GeneralName `directoryName`: explicit, because Name is a CHOICE (RFC 5280 §4.2.1.6).
pub(crate) fn directory_name(name: &DistinguishedName) -> Vec<u8> {
    write::explicit(4, name.as_der())
}

/// cRLDistributionPoints: the directory entry that the cards name, and the part of the list that will
/// speak of this certificate. RFC 5280 §4.2.1.13.
fn crl_distribution_points(directory: &DistinguishedName, list_place: Option<&ListPlace>) -> Vec<u8> {
    let full_name = write::explicit(0, &directory_name(directory));
    let mut points = write::sequence(&[&write::explicit(0, &full_name)]);
    if let Some(place) = list_place {
        points.extend(place.distribution_point());
    }
    let value = write::tlv(tag::SEQUENCE, &points);
    extension(&oid::CRL_DISTRIBUTION_POINTS, Criticality::NonCritical, &value)
}

fn register_place(
    issuer: &DistinguishedName,
    municipality: &Municipality,
) -> Result<DistinguishedName, NameError> {
    issuer.extended(&[
        (NameAttribute::OrganizationalUnit, "CRL Distribution Points"),
        (NameAttribute::OrganizationalUnit, &municipality.prefecture),
        (NameAttribute::CommonName, &format!("{} CRLDP", municipality.city)),
    ])
}

pub(crate) fn ia5(text: &str) -> Result<&[u8], IssueError> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(IssueError::Contents("a URI or host name has visible ASCII characters only"));
    }
    Ok(text.as_bytes())
}

fn ocsp_access(uri: &str) -> Result<Vec<u8>, IssueError> {
    let location = write::tlv(tag::context(6), ia5(uri)?);
    let description = write::sequence(&[&write::oid(&oid::ACCESS_OCSP), &location]);
    Ok(extension(&oid::AUTHORITY_INFO_ACCESS, Criticality::NonCritical, &write::sequence(&[&description])))
}

/// subjectAltName of otherNames with UTF8Strings: RFC 5280 §4.2.1.6.
fn four_attributes(attributes: &FourAttributes) -> Result<Vec<u8>, IssueError> {
    let birth = attributes.birth_date.era_digits();
    let entries = [
        (oid::HOLDER_NAME, attributes.name.as_str()),
        (oid::HOLDER_BIRTH, birth.as_str()),
        (oid::HOLDER_SEX, attributes.sex.digit()),
        (oid::HOLDER_ADDRESS, attributes.address.as_str()),
    ];
    let mut names = Vec::new();
    for (kind, text) in entries {
        if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
            return Err(IssueError::Contents(
                "one of the four attributes is empty, too long or has control characters",
            ));
        }
        let value = write::explicit(0, &write::tlv(tag::UTF8, text.as_bytes()));
        names.extend(write::constructed(tag::context_constructed(0), &[&write::oid(&kind), &value]));
    }
    Ok(extension(&oid::SUBJECT_ALT_NAME, Criticality::NonCritical, &write::tlv(tag::SEQUENCE, &names)))
}

fn server_names(dns_names: &[&str], ip_addresses: &[IpAddr]) -> Result<Vec<u8>, IssueError> {
    if dns_names.is_empty() && ip_addresses.is_empty() {
        return Err(IssueError::Contents("a TLS server needs a name or an address"));
    }
    let mut names = Vec::new();
    for name in dns_names {
        names.extend(write::tlv(tag::context(2), ia5(name)?));
    }
    for address in ip_addresses {
        names.extend(match address {
            IpAddr::V4(four) => write::tlv(tag::context(7), &four.octets()),
            IpAddr::V6(six) => write::tlv(tag::context(7), &six.octets()),
        });
    }
    Ok(extension(&oid::SUBJECT_ALT_NAME, Criticality::NonCritical, &write::tlv(tag::SEQUENCE, &names)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::entropy::Seeded;

    #[test]
    fn common_names_have_the_lengths_of_real_cards() {
        let municipality = Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap();
        let mut entropy = Seeded::new(1);
        let auth_name = auth_common_name(&municipality, &mut entropy);
        assert_eq!(auth_name.len(), 23);
        assert_eq!(&auth_name[14..19], "13221");
        let sign_name = sign_common_name(&municipality, UnixSeconds(1_763_773_323), &mut entropy);
        assert_eq!(sign_name.len(), 28);
        assert!(sign_name.starts_with("20251122010203"));
        assert_eq!(&sign_name[19..24], "13221");
        assert!(Municipality::new("1322", "Tokyo-to", "Kiyose-shi").is_err());
    }

    #[test]
    fn eras_change_on_their_days() {
        for (date, digits) in [
            ("1868-01-25", "118680125"),
            ("1912-07-29", "119120729"),
            ("1912-07-30", "219120730"),
            ("1926-12-24", "219261224"),
            ("1926-12-25", "319261225"),
            ("1989-01-07", "319890107"),
            ("1989-01-08", "419890108"),
            ("2019-04-30", "420190430"),
            ("2019-05-01", "520190501"),
        ] {
            assert_eq!(BirthDate::parse(date).unwrap().era_digits(), digits);
        }
        for bad in ["1868-01-24", "2025-02-29", "2025-13-01", "2025-1-1", "+025-01-01", "", "2025-01-01-01"] {
            assert!(BirthDate::parse(bad).is_err(), "{bad}");
        }
    }
}
