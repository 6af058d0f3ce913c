//! The ISO/IEC 7816-15 files of an HPKI card, after the examples of JAHIS 24-002 B.4.

use super::{Discovery, HpkiApplication, fid};
use crate::pkcs15::{
    AccessControlRule, AccessMode, ApplicationTemplate, CardFlags, CertificateContent, CiaInfo,
    CommonObjectAttributes, DirectoryKind, KeyAccessFlags, KeyUsageFlags, ObjectDirectory, ObjectFlags,
    Password, PasswordFlags, PasswordType, Path, PrivateRsaKey, SecurityCondition, Version, X509Certificate,
};

/// Identifies the PIN, and the key with its certificate: the short identifiers of their files, B.4.4.
const PIN_ID: &[u8] = &[0x16];
const KEY_ID: &[u8] = &[0x17];
/// P2 of VERIFY: the PIN's short identifier with the bit for references of the application, B.4.4.
const PIN_REFERENCE: u8 = 0x96;

/// How a file of the application is named. Our file identifiers end in the short identifiers.
fn path(discovery: Discovery, fid: u16) -> Path<'static> {
    match (discovery, u8::try_from(fid)) {
        (Discovery::ByName, Ok(short)) => Path::short(short),
        _ => Path::identifier(fid),
    }
}

/// B.4.2, and who made this card.
pub(super) fn cia_info() -> Vec<u8> {
    CiaInfo {
        version: Version::V2,
        serial_number: None,
        manufacturer: Some("KAZASU TEST"),
        label: Some("HPKI Application"),
        flags: CardFlags::AUTH_REQUIRED.with(CardFlags::PRN_GENERATION),
    }
    .encode()
}

/// B.4.3.
pub(super) fn object_directory(discovery: Discovery) -> Vec<u8> {
    [
        (DirectoryKind::AuthenticationObjects, fid::AUTHENTICATION_OBJECTS),
        (DirectoryKind::PrivateKeys, fid::PRIVATE_KEYS),
        (DirectoryKind::Certificates, fid::CERTIFICATES),
    ]
    .map(|(kind, fid)| ObjectDirectory::in_file(kind, path(discovery, fid)).encode())
    .concat()
}

/// B.4.4.
pub(super) fn authentication_objects() -> Vec<u8> {
    Password {
        common: CommonObjectAttributes {
            label: Some("PIN"),
            flags: ObjectFlags::MODIFIABLE,
            ..CommonObjectAttributes::default()
        },
        auth_id: Some(PIN_ID),
        flags: PasswordFlags::CASE_SENSITIVE.with(PasswordFlags::LOCAL).with(PasswordFlags::INITIALIZED),
        kind: PasswordType::Utf8,
        min_length: 4,
        stored_length: 16,
        max_length: Some(16),
        reference: PIN_REFERENCE,
        path: None,
    }
    .encode()
}

/// B.4.5: a signature binds and has the PIN presented every time, an authentication does neither.
pub(super) fn private_keys(application: HpkiApplication, discovery: Discovery) -> Vec<u8> {
    let rule = AccessControlRule { mode: AccessMode::EXECUTE, condition: SecurityCondition::AuthId(PIN_ID) };
    let rule = rule.encode();
    let (usage, user_consent) = match application {
        HpkiApplication::Signature => (KeyUsageFlags::NON_REPUDIATION, Some(1)),
        HpkiApplication::Authentication => (KeyUsageFlags::SIGN, None),
    };
    PrivateRsaKey {
        common: CommonObjectAttributes {
            label: Some("Private key of HPKI"),
            flags: ObjectFlags::PRIVATE,
            auth_id: Some(PIN_ID),
            user_consent,
            access_control_rules: &rule,
        },
        id: KEY_ID,
        usage,
        access: KeyAccessFlags::default(),
        key_reference: None,
        path: path(discovery, fid::PRIVATE_KEY),
        modulus_length: 2_048,
    }
    .encode()
}

/// B.4.6.
pub(super) fn certificates(discovery: Discovery) -> Vec<u8> {
    let entry = |label, id, is_authority, fid| {
        X509Certificate {
            common: CommonObjectAttributes { label: Some(label), ..CommonObjectAttributes::default() },
            id,
            is_authority,
            content: CertificateContent::Path(path(discovery, fid)),
        }
        .encode()
    };
    [
        entry("HPKI END ENTITY CERTIFICATE", KEY_ID, false, fid::CERTIFICATE),
        entry("KAZASU TEST ROOT CA CERTIFICATE", &[0x19], true, fid::ROOT),
        entry("KAZASU TEST HPKI CA CERTIFICATE", &[0x1A], true, fid::ISSUER),
    ]
    .concat()
}

/// EF.DIR. The authentication application first: a program that takes the first one and asks for its
/// PIN gets a key that binds nobody.
pub(super) fn directory() -> Vec<u8> {
    [(HpkiApplication::Authentication, "HPKI authentication"), (HpkiApplication::Signature, "HPKI signature")]
        .map(|(application, label)| {
            ApplicationTemplate { aid: &application.aid(), label: Some(label), path: None }.encode()
        })
        .concat()
}
