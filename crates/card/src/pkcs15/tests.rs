use super::*;
use proptest::prelude::*;

fn hexadecimal(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn one<'a, T: Entry<'a>>(file: &'a [u8]) -> Result<T, Pkcs15Error> {
    let mut all = entries(file);
    let first = all.next().unwrap();
    assert!(all.next().is_none());
    first
}

/// The examples of the HPKI card guideline (JAHIS 24-002, appendix B.4), encoded by hand.
mod guideline {
    use super::*;

    #[test]
    fn card_information() {
        let info = CiaInfo {
            version: Version::V2,
            serial_number: None,
            manufacturer: None,
            label: Some("HPKI Application"),
            flags: CardFlags::AUTH_REQUIRED.with(CardFlags::PRN_GENERATION),
        };
        let bytes = hexadecimal("3019 020101 8010 48504B49204170706C69636174696F6E 03020560");
        assert_eq!(info.encode(), bytes);
        assert_eq!(CiaInfo::parse(&bytes), Ok(info));
    }

    #[test]
    fn object_directory() {
        let bytes = hexadecimal("A805 3003 040198 A005 3003 0401A0 A405 3003 0401A8");
        let found: Vec<_> = entries::<ObjectDirectory<'_>>(&bytes).map(Result::unwrap).collect();
        let listed = [
            (DirectoryKind::AuthenticationObjects, 0x13),
            (DirectoryKind::PrivateKeys, 0x14),
            (DirectoryKind::Certificates, 0x15),
        ]
        .map(|(kind, short)| ObjectDirectory::in_file(kind, Path::short(short)));
        assert_eq!(found, listed);
        assert_eq!(listed.map(|entry| entry.encode()).concat(), bytes);
        // A file is often longer than what is in it.
        for unused in [0x00, 0xFF] {
            let padded = [bytes.clone(), vec![unused; 40]].concat();
            assert_eq!(entries::<ObjectDirectory<'_>>(&padded).count(), 3);
        }
    }

    fn pin() -> Password<'static> {
        Password {
            common: CommonObjectAttributes {
                label: Some("PIN"),
                flags: ObjectFlags::MODIFIABLE,
                ..CommonObjectAttributes::default()
            },
            auth_id: Some(&[0x16]),
            flags: PasswordFlags::CASE_SENSITIVE.with(PasswordFlags::LOCAL).with(PasswordFlags::INITIALIZED),
            kind: PasswordType::Utf8,
            min_length: 4,
            stored_length: 16,
            max_length: Some(16),
            reference: 0x96,
            path: None,
        }
    }

    #[test]
    fn password() {
        let attributes = "030203C8 0A0102 020104 020110 020110 80020096";
        let common = "3009 0C0350494E 03020640 3003 040116";
        let bytes = hexadecimal(&format!("3028 {common} A116 3014 {attributes}"));
        assert_eq!(pin().encode(), bytes);
        assert_eq!(one(&bytes), Ok(AuthenticationObject::Password(pin())));
        // The same without the SEQUENCE under the tag, as an issued card was seen with.
        let implicit = hexadecimal(&format!("3026 {common} A114 {attributes}"));
        assert_eq!(one(&implicit), Ok(AuthenticationObject::Password(pin())));
    }

    #[test]
    fn private_key() {
        let rule =
            AccessControlRule { mode: AccessMode::EXECUTE, condition: SecurityCondition::AuthId(&[0x16]) };
        let rule_bytes = hexadecimal("3007 03020520 040116");
        assert_eq!(rule.encode(), rule_bytes);
        assert_eq!(one(&rule_bytes), Ok(rule));
        let key = PrivateRsaKey {
            common: CommonObjectAttributes {
                label: Some("Private key of HPKI"),
                flags: ObjectFlags::PRIVATE,
                auth_id: Some(&[0x16]),
                user_consent: Some(1),
                access_control_rules: &rule_bytes,
            },
            id: &[0x17],
            usage: KeyUsageFlags::NON_REPUDIATION,
            access: KeyAccessFlags::default(),
            key_reference: None,
            path: Path::short(0x17),
            modulus_length: 2_048,
        };
        let bytes = hexadecimal(
            "3043 302A 0C1350726976617465206B6579206F662048504B49 03020780 040116 020101 3009 3007 03020520 040116 \
             3008 040117 0303060040 A10B 3009 3003 0401B8 02020800",
        );
        assert_eq!(key.encode(), bytes);
        assert_eq!(one(&bytes), Ok(PrivateKeyObject::Rsa(key)));
    }

    #[test]
    fn certificates() {
        let certificate = |label, id, is_authority, short| X509Certificate {
            common: CommonObjectAttributes { label: Some(label), ..CommonObjectAttributes::default() },
            id,
            is_authority,
            content: CertificateContent::Path(Path::short(short)),
        };
        let holder = certificate("EE", &[0x17], false, 0x18);
        let authority = certificate("CA", &[0x19], true, 0x19);
        let holder_bytes = hexadecimal("3014 3004 0C024545 3003 040117 A107 3005 3003 0401C0");
        let authority_bytes = hexadecimal("3017 3004 0C024341 3006 040119 0101FF A107 3005 3003 0401C8");
        assert_eq!(holder.encode(), holder_bytes);
        assert_eq!(authority.encode(), authority_bytes);
        let file = [holder_bytes, authority_bytes].concat();
        let found: Vec<_> = entries::<CertificateObject<'_>>(&file).map(Result::unwrap).collect();
        assert_eq!(found, [CertificateObject::X509(holder), CertificateObject::X509(authority)]);
        let implicit = hexadecimal("3012 3004 0C024545 3003 040117 A105 3003 0401C0");
        assert_eq!(one(&implicit), Ok(CertificateObject::X509(holder)));
    }
}

#[test]
fn applications() {
    let bytes = hexadecimal("6118 4F10 E828BD080FA000000391000000000002 5004 41555448");
    let template = ApplicationTemplate {
        aid: &hexadecimal("E828BD080FA000000391000000000002"),
        label: Some("AUTH"),
        path: None,
    };
    assert_eq!(template.encode(), bytes);
    assert_eq!(one(&bytes), Ok(template));
    for bad in ["6102 4F00", "6113 4F11 0102030405060708090A0B0C0D0E0F1011", "6100", "6206 4F04 01020304"] {
        assert!(one::<ApplicationTemplate<'_>>(&hexadecimal(bad)).is_err(), "{bad}");
    }
}

#[test]
fn paths() {
    let read = |text: &str| {
        let bytes = hexadecimal(text);
        let path = tlv::read_single(&bytes, der::SEQUENCE).unwrap();
        Path::read(path).map(|path| (path.encode(), format!("{:?}", path.location)))
    };
    for (good, location) in [
        ("3003 040198", "Short(19)"),
        ("3004 04025031", "Identifier(20529)"),
        ("3006 0404 3F005015", "Path([63, 0, 80, 21])"),
        ("300A 0402 5031 020110 800120", "Identifier(20529)"),
    ] {
        assert_eq!(read(good), Ok((hexadecimal(good), location.to_owned())), "{good}");
    }
    // Low bits set, 0 and 31 as short identifiers, odd lengths, an index without a length, nothing.
    for bad in [
        "3003 040199",
        "3003 040100",
        "3003 0401F8",
        "3005 0403 3F0050",
        "3007 0402 5031 020110",
        "3002 0400",
        "3000",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_strict_is_refused_and_what_is_new_is_passed_over() {
    let with = |version: &str, rest: &str| {
        let content = [hexadecimal(version), hexadecimal(rest)].concat();
        let file = tlv::encode(der::SEQUENCE, &content);
        CiaInfo::parse(&file).map(|info| (info.version, info.flags.0))
    };
    assert_eq!(with("020100", "030100"), Ok((Version::V1, 0)));
    // A profile indication and a preferred language, which this reader does not know.
    assert_eq!(with("020101", "03020560 1302 656E A604 0C02 4142"), Ok((Version::V2, 0x6000)));
    for (version, rest, part) in [
        ("020102", "030100", "version"),
        ("02020001", "030100", "version"),
        ("0200", "030100", "version"),
        ("020181", "030100", "version"),
        ("020101", "03020660", "cardflags"),
        ("020101", "03020500", "cardflags"),
        ("020101", "0300", "cardflags"),
        ("020101", "8001FF 030100", "label"),
        ("020101", "", "CIAInfo"),
        ("020101", "03020560 0C05", "CIAInfo"),
    ] {
        assert_eq!(with(version, rest).map_err(|error| error.part), Err(part), "{version} {rest}");
    }
    assert_eq!(CiaInfo::parse(&[]).map_err(|error| error.part), Err("CIAInfo"));
    let twice = hexadecimal("A80A 3003 040198 3003 040198");
    let trailing = Pkcs15Error { part: "object directory", fault: Fault::Encoding(TlvError::Trailing) };
    assert_eq!(one::<ObjectDirectory<'_>>(&twice), Err(trailing));
    assert_eq!(trailing.to_string(), "object directory: bytes after the data object");
}

#[test]
fn reading_ends_after_the_first_fault() {
    let good = ObjectDirectory::in_file(DirectoryKind::PublicKeys, Path::identifier(0x4400)).encode();
    let file = [good.clone(), vec![0xA9, 0x00], good].concat();
    let found: Vec<_> = entries::<ObjectDirectory<'_>>(&file).map(|entry| entry.is_ok()).collect();
    assert_eq!(found, [true, false]);
}

const PASSWORD_TYPES: [PasswordType; 5] = [
    PasswordType::Bcd,
    PasswordType::AsciiNumeric,
    PasswordType::Utf8,
    PasswordType::HalfNibbleBcd,
    PasswordType::Iso9564,
];

fn label() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[ -~]{0,40}")
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..20)
}

fn path() -> impl Strategy<Value = Path<'static>> {
    prop_oneof![(1u8..31).prop_map(Path::short), any::<u16>().prop_map(Path::identifier)]
}

/// Every parser over the same bytes.
fn read_everything(bytes: &[u8]) {
    let _ = CiaInfo::parse(bytes);
    let _ = entries::<ApplicationTemplate<'_>>(bytes).count();
    for directory in entries::<ObjectDirectory<'_>>(bytes).flatten() {
        if let DirectoryContent::Objects(objects) = directory.content {
            let _ = entries::<PrivateKeyObject<'_>>(objects).count();
        }
    }
    let _ = entries::<AuthenticationObject<'_>>(bytes).count();
    for key in entries::<PrivateKeyObject<'_>>(bytes).flatten() {
        if let PrivateKeyObject::Rsa(key) = key {
            let _ = entries::<AccessControlRule<'_>>(key.common.access_control_rules).count();
        }
    }
    let _ = entries::<CertificateObject<'_>>(bytes).count();
}

proptest! {
    #[test]
    fn every_object_reads_back(
        (label, id, auth_id, path) in (label(), id(), proptest::option::of(id()), path()),
        (bits, number, small, is_authority) in
            (any::<u16>(), 0u32..1 << 31, 1u32..1 << 31, any::<bool>()),
        reference in any::<u8>(),
    ) {
        let common = CommonObjectAttributes {
            label: label.as_deref(),
            flags: ObjectFlags(bits),
            auth_id: auth_id.as_deref(),
            user_consent: Some(small),
            access_control_rules: &[],
        };
        let password = Password {
            common,
            auth_id: auth_id.as_deref(),
            flags: PasswordFlags(bits),
            kind: PASSWORD_TYPES[usize::from(bits % 5)],
            min_length: number,
            stored_length: small,
            max_length: (number % 2 == 0).then_some(small),
            reference,
            path: is_authority.then_some(path),
        };
        let password_bytes = password.encode();
        prop_assert_eq!(one(&password_bytes), Ok(AuthenticationObject::Password(password)));
        let key = PrivateRsaKey {
            common,
            id: &id,
            usage: KeyUsageFlags(bits),
            access: KeyAccessFlags(bits.rotate_left(3)),
            key_reference: is_authority.then_some(number),
            path,
            modulus_length: small,
        };
        let key_bytes = key.encode();
        prop_assert_eq!(one(&key_bytes), Ok(PrivateKeyObject::Rsa(key)));
        let content = CertificateContent::Path(path);
        let certificate = X509Certificate { common, id: &id, is_authority, content };
        let certificate_bytes = certificate.encode();
        prop_assert_eq!(one(&certificate_bytes), Ok(CertificateObject::X509(certificate)));
        let info = CiaInfo {
            version: if is_authority { Version::V1 } else { Version::V2 },
            serial_number: auth_id.as_deref(),
            manufacturer: label.as_deref(),
            label: label.as_deref(),
            flags: CardFlags(bits),
        };
        let info_bytes = info.encode();
        prop_assert_eq!(CiaInfo::parse(&info_bytes), Ok(info));
        // No prefix of an object is one.
        for bytes in [&password_bytes, &key_bytes, &certificate_bytes] {
            for end in 1..bytes.len() {
                read_everything(&bytes[..end]);
                prop_assert!(entries::<CertificateObject<'_>>(&bytes[..end]).all(|entry| entry.is_err()));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
        read_everything(&tlv::encode(der::SEQUENCE, &bytes));
        read_everything(&tlv::encode(der::constructed(0), &bytes));
    }

    #[test]
    fn a_changed_octet_is_read_or_refused(place in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let rule = AccessControlRule { mode: AccessMode::EXECUTE, condition: SecurityCondition::AuthId(&[1]) };
        let rule = rule.encode();
        let key = PrivateRsaKey {
            common: CommonObjectAttributes { access_control_rules: &rule, ..CommonObjectAttributes::default() },
            id: &[1],
            usage: KeyUsageFlags::SIGN,
            access: KeyAccessFlags::SENSITIVE,
            key_reference: None,
            path: Path::short(1),
            modulus_length: 2_048,
        };
        let mut bytes = key.encode();
        let place = place.index(bytes.len());
        bytes[place] = octet;
        read_everything(&bytes);
    }
}
