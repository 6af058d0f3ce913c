use super::*;
use proptest::prelude::*;

/// As much of a certificate as is looked at, with this as value of subjectDirectoryAttributes.
fn certificate(value: &[u8]) -> Vec<u8> {
    let other =
        write::sequence(&[&write::oid(&oid::KEY_USAGE), &write::boolean_true(), &[4, 4, 3, 2, 6, 0x40]]);
    let ours = write::sequence(&[&write::oid(&SUBJECT_DIRECTORY_ATTRIBUTES), &write::tlv(4, value)]);
    let extensions = write::explicit(3, &write::sequence(&[&other, &ours]));
    let tbs = write::sequence(&[&write::explicit(0, &[2, 1, 2]), &[2, 1, 1], &extensions]);
    write::sequence(&[&tbs, &write::sequence(&[]), &[3, 1, 0]])
}

fn attribute(kind: &ObjectIdentifier, values: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::tlv(tag::SET, values)])
}

fn actor(scheme: &ObjectIdentifier, rest: &[u8]) -> Vec<u8> {
    let scheme = write::explicit(0, &write::oid(scheme));
    let coded = write::tlv(tag::SET, &[&scheme, rest].concat());
    write::sequence(&[&write::explicit(0, &coded)])
}

/// The whole value with these actors in one HCActorData.
fn value(actors: &[u8]) -> Vec<u8> {
    write::sequence(&[&attribute(&HEALTHCARE_ACTOR, &write::tlv(tag::SET, actors))])
}

fn text(word: &str) -> Vec<u8> {
    write::explicit(2, &write::tlv(tag::UTF8, word.as_bytes()))
}

#[test]
fn a_physician_as_the_policys_certificates_have_it() {
    // SEQUENCE { SEQUENCE { 1.0.17090.0.1, SET { SET { SEQUENCE { [0] SET { [0] 1.2.392.100495.1.6.1.1,
    // [2] "Medical Doctor" } } } } } }, written by hand.
    let head =
        [0x30, 0x34, 0x30, 0x32, 0x06, 0x06, 0x28, 0x81, 0x85, 0x42, 0x00, 0x01, 0x31, 0x28, 0x31, 0x26];
    let actor = [0x30, 0x24, 0xA0, 0x22, 0x31, 0x20, 0xA0, 0x0C, 0x06, 0x0A];
    let scheme = [0x2A, 0x83, 0x08, 0x86, 0x91, 0x0F, 0x01, 0x06, 0x01, 0x01];
    let by_hand = [&head[..], &actor, &scheme, &[0xA2, 0x10, 0x0C, 0x0E], b"Medical Doctor"].concat();
    let certificate = certificate(&by_hand);
    let actors = healthcare_actors(&certificate).unwrap();
    let expected =
        HealthcareActor { scheme: CodingScheme::JapaneseHpki, code: None, text: Some("Medical Doctor") };
    assert_eq!(actors, [expected]);
    assert_eq!(healthcare_role(&certificate), Ok(Some(HealthcareRole::MedicalDoctor)));
}

#[test]
fn every_role_reads_back() {
    for role in HealthcareRole::ALL {
        assert_eq!(HealthcareRole::from_word(role.word()), Some(role));
        let written = extension(role);
        let mut fields = Reader::only_sequence(&written, "extension").unwrap();
        fields.expect(tag::OID, "extnID").unwrap();
        // Not critical: nothing between identifier and value.
        let value = fields.expect(tag::OCTET_STRING, "extnValue").unwrap().content;
        let certificate = certificate(value);
        assert_eq!(healthcare_role(&certificate), Ok(Some(role)));
        assert_eq!(healthcare_actors(&certificate).unwrap()[0].scheme, CodingScheme::KazasuTest);
    }
    let mut words: Vec<_> =
        HealthcareRole::ALL.iter().flat_map(|role| [role.word(), role.japanese()]).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 64);
    let offices = HealthcareRole::ALL.iter().filter(|role| role.is_office()).count();
    assert_eq!((HealthcareRole::ALL.len() - offices, offices), (27, 5));
}

#[test]
fn what_is_no_role_of_the_list_is_none() {
    let scheme = &oid::HPKI_CODED_DATA;
    for (actors, role) in [
        (actor(scheme, &text("Wizard")), None),
        (actor(scheme, &text("medical doctor")), None),
        (actor(scheme, &text("Medical Doctor ")), None),
        (actor(&oid::KEY_USAGE, &text("Medical Doctor")), None),
        (actor(scheme, &write::explicit(1, &write::tlv(NUMERIC, b"32"))), None),
        (
            actor(scheme, &[write::explicit(1, &write::tlv(NUMERIC, b"32")), text("Pharmacist")].concat()),
            Some(HealthcareRole::Pharmacist),
        ),
        (
            actor(scheme, &write::explicit(2, &write::tlv(tag::PRINTABLE, b"Dentist"))),
            Some(HealthcareRole::Dentist),
        ),
    ] {
        assert_eq!(healthcare_role(&certificate(&value(&actors))), Ok(role));
    }
    // No such extension, other attributes only, an empty list.
    let bare = write::sequence(&[&write::sequence(&[&[2, 1, 1]])]);
    assert_eq!(healthcare_actors(&bare), Ok(vec![]));
    let other = write::sequence(&[&attribute(&oid::COMMON_NAME, &[0x0C, 1, b'x'])]);
    assert_eq!(healthcare_role(&certificate(&other)), Ok(None));
    assert_eq!(healthcare_role(&certificate(&value(&[]))), Ok(None));
}

#[test]
fn two_roles_are_read_and_not_taken_for_one() {
    let one = |word| actor(&oid::HPKI_CODED_DATA, &text(word));
    let both = certificate(&value(&[one("Medical Doctor"), one("Pharmacist")].concat()));
    let roles: Vec<_> = healthcare_actors(&both).unwrap().iter().map(HealthcareActor::role).collect();
    assert_eq!(roles, [Some(HealthcareRole::MedicalDoctor), Some(HealthcareRole::Pharmacist)]);
    assert_eq!(healthcare_role(&both).unwrap_err().what, "more than one healthcare role");
    let sixteen = value(&one("Dentist").repeat(16));
    assert_eq!(healthcare_actors(&certificate(&sixteen)).unwrap().len(), 16);
    let seventeen = value(&one("Dentist").repeat(17));
    assert_eq!(healthcare_actors(&certificate(&seventeen)).unwrap_err().what, "HCActor");
}

#[test]
fn malformed_attributes_say_where() {
    let scheme = &oid::HPKI_CODED_DATA;
    let long = "x".repeat(129);
    for (actors, what) in [
        (actor(scheme, &[]), "codedData"),
        (actor(scheme, &text("")), "codeDataFreeText"),
        (actor(scheme, &text(&long)), "codeDataFreeText"),
        (actor(scheme, &write::explicit(2, &write::tlv(tag::UTF8, &[0xFF]))), "codeDataFreeText"),
        (actor(scheme, &write::explicit(2, &write::tlv(tag::IA5, b"x"))), "codeDataFreeText"),
        (actor(scheme, &write::explicit(1, &write::tlv(NUMERIC, b"a"))), "codeDataValue"),
        (actor(scheme, &[text("x"), text("x")].concat()), "codedData"),
        (actor(scheme, &[text("x"), write::explicit(1, &write::tlv(NUMERIC, b"1"))].concat()), "codedData"),
        (write::sequence(&[]), "codedData"),
        (write::sequence(&[&write::explicit(0, &write::sequence(&[]))]), "codedData"),
        (write::tlv(tag::SET, &[]), "HCActor"),
    ] {
        let error = healthcare_actors(&certificate(&value(&actors))).unwrap_err();
        assert_eq!(error.what, what, "{actors:02X?}");
        assert!(error.offset > 0);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = healthcare_actors(&bytes);
        let _ = healthcare_actors(&certificate(&bytes));
        let _ = healthcare_actors(&certificate(&value(&bytes)));
        let _ = healthcare_actors(&certificate(&value(&actor(&oid::HPKI_CODED_DATA, &bytes))));
    }

    #[test]
    fn no_prefix_of_a_certificate_has_a_role(cut in any::<prop::sample::Index>()) {
        let whole = certificate(&value(&actor(&oid::HPKI_CODED_DATA, &text("Dentist"))));
        let cut = cut.index(whole.len());
        prop_assert!(healthcare_role(&whole[..cut]).is_err());
    }
}
