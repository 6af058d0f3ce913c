//! The healthcare role in a certificate: which qualification its holder has (ISO 17090-2 §6.3.6, the
//! attribute hcRole; ISO 17090-3 for how certificates carry it).
//!
//! ```text
//! subjectDirectoryAttributes ::= SEQUENCE OF Attribute          RFC 5280 §4.2.1.8
//! Attribute    ::= SEQUENCE { type 1.0.17090.0.1, values SET OF HCActorData }
//! HCActorData  ::= SET OF HCActor
//! HCActor      ::= SEQUENCE { codedData [0] CodedData, regionalHCData [1] SEQUENCE OF … OPTIONAL }
//! CodedData    ::= SET { codingSchemeReference [0] OBJECT IDENTIFIER,
//!                        codeDataValue [1] NumericString OPTIONAL,
//!                        codeDataFreeText [2] DirectoryString OPTIONAL }
//! ```
//!
//! The certificate policy of the Japanese healthcare PKI (保健医療福祉分野PKI認証局 証明書ポリシ §7.1.2)
//! uses the free text alone, with one word for each qualification. Reading a role decides nothing about
//! it: it is as good as the path of the certificate that it came from.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use crate::oid::{self, HEALTHCARE_ACTOR, SUBJECT_DIRECTORY_ATTRIBUTES};
use der::asn1::ObjectIdentifier;

/// id-jhpki-cdata, the words of the Japanese healthcare PKI: to know it when it is read. What is issued
/// here names [`oid::HPKI_CODED_DATA`].
const JAPANESE_HPKI_CODED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.100495.1.6.1.1");
/// NumericString.
const NUMERIC: u8 = 0x12;
/// Most characters of a free text: the upper bound of a DirectoryString as names have it.
const FREE_TEXT_MAX: usize = 128;

macro_rules! roles {
    ($($(#[$meta:meta])* $name:ident = $word:literal, $japanese:literal;)*) => {
        /// A qualification of a health professional, or the office of one who runs an institution: the
        /// list of the Japanese healthcare PKI, 27 qualifications and 5 offices.
        #[doc(alias = "保健医療福祉分野の資格")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum HealthcareRole {
            $($(#[$meta])* #[doc = concat!($japanese, ".")] $name,)*
        }

        impl HealthcareRole {
            /// All of them, in the order of the policy.
            pub const ALL: [Self; 32] = [$(Self::$name),*];

            /// The word for it in a certificate.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it is called in Japanese.
            pub const fn japanese(self) -> &'static str {
                match self { $(Self::$name => $japanese,)* }
            }
        }
    };
}

roles! {
    /// Physician,
    MedicalDoctor = "Medical Doctor", "医師";
    /// Dentist,
    Dentist = "Dentist", "歯科医師";
    /// Pharmacist,
    Pharmacist = "Pharmacist", "薬剤師";
    /// Medical technologist,
    MedicalTechnologist = "Medical Technologist", "臨床検査技師";
    /// Radiological technologist,
    RadiologicalTechnologist = "Radiological Technologist", "診療放射線技師";
    /// Nurse,
    GeneralNurse = "General Nurse", "看護師";
    /// Public health nurse,
    PublicHealthNurse = "Public Health Nurse", "保健師";
    /// Midwife,
    Midwife = "Midwife", "助産師";
    /// Physical therapist,
    PhysicalTherapist = "Physical Therapist", "理学療法士";
    /// Occupational therapist,
    OccupationalTherapist = "Occupational Therapist", "作業療法士";
    /// Orthoptist,
    Orthoptist = "Orthoptist", "視能訓練士";
    /// Speech therapist,
    SpeechTherapist = "Speech Therapist", "言語聴覚士";
    /// Dental technician,
    DentalTechnician = "Dental Technician", "歯科技工士";
    /// Dietitian,
    NationalRegisteredDietitian = "National Registered Dietitian", "管理栄養士";
    /// Social worker,
    CertifiedSocialWorker = "Certified Social Worker", "社会福祉士";
    /// Care worker,
    CertifiedCareWorker = "Certified Care Worker", "介護福祉士";
    /// Emergency medical technician,
    EmergencyMedicalTechnician = "Emergency Medical Technician", "救急救命士";
    /// Psychiatric social worker,
    PsychiatricSocialWorker = "Psychiatric Social Worker", "精神保健福祉士";
    /// Clinical engineer,
    ClinicalEngineer = "Clinical Engineer", "臨床工学技士";
    /// Masseur,
    MassageAndFingerPressurePractitioner =
        "Massage and Finger Pressure Practitioner", "あん摩マッサージ指圧師";
    /// Acupuncturist,
    Acupuncturist = "Acupuncturist", "はり師";
    /// Moxibustion practitioner,
    MoxibustionPractitioner = "Moxibustion Practitioner", "きゅう師";
    /// Dental hygienist,
    DentalHygienist = "Dental Hygienist", "歯科衛生士";
    /// Maker of prostheses and orthoses,
    ProstheticsAndOrthotics = "Prosthetics & Orthotic", "義肢装具士";
    /// Judo therapist,
    JudoTherapist = "Judo Therapist", "柔道整復師";
    /// Clinical laboratory technician,
    ClinicalLaboratoryTechnician = "Clinical Laboratory Technician", "衛生検査技師";
    /// Psychologist,
    CertifiedPublicPsychologist = "Certified Public Psychologist", "公認心理師";
    /// Runs a hospital,
    DirectorOfHospital = "Director of Hospital", "病院長";
    /// Runs a clinic,
    DirectorOfClinic = "Director of Clinic", "診療所院長";
    /// Supervises a pharmacy,
    SupervisorOfPharmacy = "Supervisor of Pharmacy", "管理薬剤師";
    /// Owns a pharmacy,
    ProprietorOfPharmacy = "Proprietor of Pharmacy", "薬局開設者";
    /// Runs another institution,
    Director = "Director", "その他の保健医療福祉機関の管理責任者";
}

impl HealthcareRole {
    /// The role that a word of the list means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// Whether it is an office: then the certificate names the institution, and `Director` as its unit
    /// (the policy's §7.1.2).
    pub const fn is_office(self) -> bool {
        matches!(
            self,
            Self::DirectorOfHospital
                | Self::DirectorOfClinic
                | Self::SupervisorOfPharmacy
                | Self::ProprietorOfPharmacy
                | Self::Director
        )
    }
}

/// Whose words the free text is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CodingScheme {
    /// The Japanese healthcare PKI's.
    JapaneseHpki,
    /// The same words under our own identifier: specimen certificates.
    KazasuTest,
    /// Another's.
    Other,
}

impl CodingScheme {
    fn of(content: &[u8]) -> Self {
        match content {
            known if known == JAPANESE_HPKI_CODED_DATA.as_bytes() => Self::JapaneseHpki,
            known if known == oid::HPKI_CODED_DATA.as_bytes() => Self::KazasuTest,
            _ => Self::Other,
        }
    }
}

/// One `HCActor`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthcareActor<'a> {
    /// Whose words.
    pub scheme: CodingScheme,
    /// `codeDataValue`, which the Japanese policy does not use.
    pub code: Option<&'a str>,
    /// `codeDataFreeText`.
    pub text: Option<&'a str>,
}

impl HealthcareActor<'_> {
    /// The role, if the words are the list's and this is one of them.
    pub fn role(&self) -> Option<HealthcareRole> {
        match self.scheme {
            CodingScheme::JapaneseHpki | CodingScheme::KazasuTest => {
                self.text.and_then(HealthcareRole::from_word)
            }
            CodingScheme::Other => None,
        }
    }
}

/// Everything that a certificate (DER) says about its holder's roles, in its order; nothing where it has
/// no such attribute.
///
/// # Errors
/// The certificate or the attribute is malformed, or there are more than 16 actors.
pub fn healthcare_actors(certificate_der: &[u8]) -> Result<Vec<HealthcareActor<'_>>, Malformed> {
    const ACTORS_MAX: usize = 16;
    let mut actors = Vec::new();
    let Some(mut attributes) = subject_directory_attributes(certificate_der)? else {
        return Ok(actors);
    };
    while !attributes.is_empty() {
        let mut attribute = attributes.expect(tag::SEQUENCE, "attribute")?.inside();
        let kind = attribute.expect(tag::OID, "attribute type")?;
        let values = attribute.expect(tag::SET, "attribute values")?;
        attribute.finish("attribute")?;
        if kind.content != HEALTHCARE_ACTOR.as_bytes() {
            continue;
        }
        let mut values = values.inside();
        while !values.is_empty() {
            let mut data = values.expect(tag::SET, "HCActorData")?.inside();
            while !data.is_empty() {
                let actor = data.expect(tag::SEQUENCE, "HCActor")?;
                if actors.len() >= ACTORS_MAX {
                    return Err(actor.malformed("HCActor"));
                }
                actors.push(read_actor(&actor)?);
            }
        }
    }
    Ok(actors)
}

/// The one role of a certificate (DER). The guideline for the cards has one role in a certificate
/// (JAHIS 24-002 §5.1.2 (4)); one that says more is refused, so that nobody takes the first for all.
///
/// # Errors
/// As [`healthcare_actors`], and more than one actor.
pub fn healthcare_role(certificate_der: &[u8]) -> Result<Option<HealthcareRole>, Malformed> {
    match healthcare_actors(certificate_der)?.as_slice() {
        [] => Ok(None),
        [actor] => Ok(actor.role()),
        _ => Err(Malformed { what: "more than one healthcare role", offset: 0 }),
    }
}

/// The inside of the extension's SEQUENCE, if the certificate has the extension.
fn subject_directory_attributes(certificate_der: &[u8]) -> Result<Option<Reader<'_>>, Malformed> {
    let mut outer = Reader::only_sequence(certificate_der, "certificate")?;
    let mut fields = outer.expect(tag::SEQUENCE, "tbsCertificate")?.inside();
    while !fields.is_empty() {
        let field = fields.any("tbsCertificate")?;
        if field.tag != tag::context_constructed(3) {
            continue;
        }
        let mut extensions = field.inside().expect(tag::SEQUENCE, "extensions")?.inside();
        while !extensions.is_empty() {
            let mut extension = extensions.expect(tag::SEQUENCE, "extension")?.inside();
            let kind = extension.expect(tag::OID, "extnID")?;
            extension.optional(tag::BOOLEAN, "critical")?;
            let value = extension.expect(tag::OCTET_STRING, "extnValue")?;
            if kind.content == SUBJECT_DIRECTORY_ATTRIBUTES.as_bytes() {
                let mut inside = value.inside();
                let list = inside.expect(tag::SEQUENCE, "subjectDirectoryAttributes")?;
                inside.finish("subjectDirectoryAttributes")?;
                return Ok(Some(list.inside()));
            }
        }
    }
    Ok(None)
}

fn read_actor<'a>(actor: &Tlv<'a>) -> Result<HealthcareActor<'a>, Malformed> {
    let mut fields = actor.inside();
    let coded = only(&fields.expect(tag::context_constructed(0), "codedData")?, tag::SET, "codedData")?;
    // Regional data: no business of this list.
    fields.optional(tag::context_constructed(1), "regionalHCData")?;
    fields.finish("HCActor")?;
    // A SET in DER stands in the order of its tags (X.690 §10.3).
    let mut coded = coded.inside();
    let scheme = coded.expect(tag::context_constructed(0), "codingSchemeReference")?;
    let scheme = only(&scheme, tag::OID, "codingSchemeReference")?;
    let code = coded.optional(tag::context_constructed(1), "codeDataValue")?;
    let code = code.map(|code| only(&code, NUMERIC, "codeDataValue")).transpose()?;
    let text = coded.optional(tag::context_constructed(2), "codeDataFreeText")?;
    let text = text.map(|text| directory_string(&text)).transpose()?;
    coded.finish("codedData")?;
    if code.is_none() && text.is_none() {
        return Err(actor.malformed("codedData"));
    }
    let code = code.map(|code| digits(&code)).transpose()?;
    Ok(HealthcareActor { scheme: CodingScheme::of(scheme.content), code, text })
}

/// The one element inside an explicit tag.
fn only<'a>(wrapper: &Tlv<'a>, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
    let mut inside = wrapper.inside();
    let element = inside.expect(tag, what)?;
    inside.finish(what)?;
    Ok(element)
}

fn digits<'a>(code: &Tlv<'a>) -> Result<&'a str, Malformed> {
    let numeric = code.content.iter().all(|octet| octet.is_ascii_digit() || *octet == b' ');
    let text = std::str::from_utf8(code.content).ok().filter(|_| numeric);
    text.ok_or_else(|| code.malformed("codeDataValue"))
}

/// UTF8String or PrintableString; the choice has more, which no policy uses.
fn directory_string<'a>(wrapper: &Tlv<'a>) -> Result<&'a str, Malformed> {
    let what = "codeDataFreeText";
    let mut inside = wrapper.inside();
    let text = inside.any(what)?;
    inside.finish(what)?;
    if !matches!(text.tag, tag::UTF8 | tag::PRINTABLE) {
        return Err(text.malformed(what));
    }
    let content = std::str::from_utf8(text.content).map_err(|_| text.malformed(what))?;
    let fits = (1..=FREE_TEXT_MAX).contains(&content.chars().count());
    if fits { Ok(content) } else { Err(text.malformed(what)) }
}

/// The extension for this role: not critical (RFC 5280 §4.2.1.8), the words under our own identifier.
pub(crate) fn extension(role: HealthcareRole) -> Vec<u8> {
    let scheme = write::explicit(0, &write::oid(&oid::HPKI_CODED_DATA));
    let text = write::explicit(2, &write::tlv(tag::UTF8, role.word().as_bytes()));
    let coded = write::explicit(0, &write::constructed(tag::SET, &[&scheme, &text]));
    let data = write::tlv(tag::SET, &write::sequence(&[&coded]));
    let attribute = write::sequence(&[&write::oid(&HEALTHCARE_ACTOR), &write::tlv(tag::SET, &data)]);
    let value = write::tlv(tag::OCTET_STRING, &write::sequence(&[&attribute]));
    write::sequence(&[&write::oid(&SUBJECT_DIRECTORY_ATTRIBUTES), &value])
}

#[cfg(test)]
mod tests;
