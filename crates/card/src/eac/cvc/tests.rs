//! Certificates alone: what parses, what does not, and where.

use super::*;
use crate::eac::specimen::{Party, TODAY, World, day};
use crate::tlv::TlvReader;

fn parse_error(octets: &[u8]) -> ParseError {
    Cvc::parse(octets).unwrap_err()
}

/// The certificate with one field's value replaced, lengths made right again; the signature is the old
/// one.
fn with_field(certificate: &Cvc, tag: Tag, value: &[u8]) -> Vec<u8> {
    let encoded = certificate.encode();
    let content = tlv::read_single(&encoded, tags::CERTIFICATE).unwrap();
    let (body, signature) = tlv::read_one(content).unwrap();
    let mut fields = TlvReader::new(body.value);
    let mut changed = Vec::new();
    while !fields.is_empty() {
        let field = fields.read().unwrap();
        tlv::write(&mut changed, field.tag, if field.tag == tag { value } else { field.value });
    }
    let mut content = tlv::encode(tags::BODY, &changed);
    content.extend_from_slice(signature);
    tlv::encode(tags::CERTIFICATE, &content)
}

#[test]
fn each_kind_has_one_encoding() {
    let world = World::new();
    for party in [&world.root, &world.accredited_body, &world.terminal, &world.card_issuer] {
        let encoded = party.certificate.encode();
        let parsed = Cvc::parse(&encoded).unwrap();
        assert_eq!(parsed, party.certificate);
        assert_eq!(parsed.encode(), encoded);
        assert_eq!(Cvc::parse_content(&parsed.content()), Ok(parsed.clone()));
        assert_eq!(parsed.body().encode(), parsed.encoded_body);
        let both = [encoded.clone(), encoded.clone()].concat();
        assert_eq!(Cvc::parse_all(&both), Ok(vec![parsed.clone(), parsed]));
        assert!(matches!(
            Cvc::parse(&both),
            Err(ParseError::Encoding { field: Field::Certificate, problem: TlvError::Trailing, .. })
        ));
        for end in 0..encoded.len() {
            assert!(matches!(
                Cvc::parse(&encoded[..end]),
                Err(ParseError::Encoding { field: Field::Certificate, .. })
            ));
        }
    }
    // What a card has to remember of two roots fits the place for it (1,024 octets).
    assert!(world.root.certificate.encode().len() < 500);
}

#[test]
fn a_bent_octet_is_not_parsed_or_not_verified() {
    let world = World::new();
    let (root, body) = (&world.root, &world.accredited_body.certificate);
    let encoded = body.encode();
    body.verify_signature(&root.key.public_key()).unwrap();
    for place in 0..encoded.len() {
        for bit in [0x01, 0x80] {
            let mut bent = encoded.clone();
            bent[place] ^= bit;
            let believed = Cvc::parse(&bent)
                .map_err(ImportError::from)
                .and_then(|bent| import(&bent, &root.anchor().key(), day(TODAY)));
            assert!(believed.is_err(), "octet {place}");
        }
    }
}

#[test]
fn refusals_say_where() {
    let world = World::new();
    let (root, terminal) = (&world.root.certificate, &world.terminal.certificate);
    let value =
        |field| move |error: ParseError| matches!(error, ParseError::Value { field: at, .. } if at == field);
    type Expect<'a> = Box<dyn Fn(ParseError) -> bool + 'a>;
    let cases: [(Tag, &[u8], Expect<'_>); 10] = [
        (tags::PROFILE, &[1], Box::new(value(Field::ProfileIdentifier))),
        (tags::PROFILE, &[], Box::new(value(Field::ProfileIdentifier))),
        (tags::AUTHORITY_REFERENCE, b"zz", Box::new(value(Field::AuthorityReference))),
        (tags::HOLDER_REFERENCE, b"ZZ\xE9\xE900001", Box::new(value(Field::HolderReference))),
        (tags::EFFECTIVE, &[2, 7, 0, 2, 3, 0], Box::new(value(Field::EffectiveDate))),
        (tags::EXPIRATION, &[2, 7, 1, 3, 0, 1], Box::new(value(Field::ExpirationDate))),
        // The last day before the first.
        (tags::EXPIRATION, &[2, 6, 0, 1, 0, 1], Box::new(value(Field::ExpirationDate))),
        (
            tags::CHAT,
            &[],
            Box::new(|error| {
                matches!(
                    error,
                    ParseError::Encoding { field: Field::Authorisation, problem: TlvError::Truncated, .. }
                )
            }),
        ),
        (tags::PUBLIC_KEY, &[0x06, 0x01, 0x04], Box::new(value(Field::PublicKey))),
        (tags::CHAT, &[0x06, 0x01, 0x04, 0x53, 0x01, 0x00], Box::new(value(Field::Authorisation))),
    ];
    for (tag, octets, expected) in cases {
        let error = parse_error(&with_field(terminal, tag, octets));
        assert!(expected(error), "{tag:?}: {error}");
    }
    // The offset is that of the field's object.
    let ParseError::Value { offset, .. } = parse_error(&with_field(terminal, tags::PROFILE, &[1])) else {
        panic!("a value");
    };
    assert_eq!(terminal.encode()[offset..offset + 4], [0x5F, 0x29, 0x01, 0x00]);

    // The curve belongs into a CVCA's certificate and into no other.
    let key_of = |certificate: &Cvc| {
        let body = certificate.body().encode();
        let mut fields = TlvReader::new(tlv::read_single(&body, tags::BODY).unwrap());
        fields.expect(tags::PROFILE).unwrap();
        fields.expect(tags::AUTHORITY_REFERENCE).unwrap();
        fields.expect(tags::PUBLIC_KEY).unwrap().to_vec()
    };
    for (certificate, key) in [(root, key_of(terminal)), (terminal, key_of(root))] {
        assert!(value(Field::PublicKey)(parse_error(&with_field(certificate, tags::PUBLIC_KEY, &key))));
    }
    // Another curve, and a point that is not on ours.
    let mut key = key_of(root);
    key[14] ^= 1;
    assert!(value(Field::PublicKey)(parse_error(&with_field(root, tags::PUBLIC_KEY, &key))));
    let mut key = key_of(terminal);
    *key.last_mut().unwrap() ^= 1;
    assert!(value(Field::PublicKey)(parse_error(&with_field(terminal, tags::PUBLIC_KEY, &key))));
}

#[test]
fn a_trust_anchor_is_a_self_signed_root() {
    let world = World::new();
    let next = world.root.certify("ZZROOT00002", Role::Cvca, Rights::ALL, ("260101", "351231"));
    assert_eq!(TrustAnchor::new(next.certificate).unwrap_err(), ImportError::Issuer);
    assert_eq!(TrustAnchor::new(world.terminal.certificate.clone()).unwrap_err(), ImportError::Role);
    let other = Party::root(ChainKind::Terminal, "ZZROOT00001", ("260101", "351231"));
    let mixed = other.certify("ZZROOT00001", Role::Cvca, Rights::ALL, ("260101", "351231"));
    assert!(matches!(TrustAnchor::new(mixed.certificate).unwrap_err(), ImportError::Signature(_)));
    assert!(matches!(TrustAnchor::parse(&[0x7F]).unwrap_err(), ImportError::Parse(_)));
}

/// Who may certify whom: every pair of places, tried.
#[test]
fn places_in_the_chain() {
    use Role::{Cvca, DocumentVerifierDomestic, DocumentVerifierForeign, Holder};
    let days = ("260101", "351231");
    let all = [Cvca, DocumentVerifierDomestic, DocumentVerifierForeign, Holder];
    for chain in [ChainKind::Terminal, ChainKind::CardIssuer] {
        for above in all {
            let root = Party::root(chain, "ZZROOT00001", days);
            let issuer = root.certify("ZZABOVE00001", above, Rights::ALL, days);
            let body = issuer.certificate.body();
            let key = CertifiedKey {
                holder: body.holder,
                key: body.key,
                authorisation: body.authorisation,
                ..root.anchor().key()
            };
            for below in all {
                let certified = issuer.certify("ZZBELOW00001", below, Rights::ALL, days).certificate;
                let allowed = match (chain, above, below) {
                    (ChainKind::Terminal, Cvca, below) => below != Holder,
                    (ChainKind::Terminal, DocumentVerifierDomestic | DocumentVerifierForeign, Holder)
                    | (ChainKind::CardIssuer, Cvca, Cvca) => true,
                    // A batch's key does not sign, and these do.
                    _ => false,
                };
                let result = import(&certified, &key, day(TODAY)).map(|_| ());
                let expected = if allowed { Ok(()) } else { Err(ImportError::Role) };
                assert_eq!(result, expected, "{chain:?} {above:?} {below:?}");
            }
        }
    }
}
