//! Object identifiers, each with its source.
//!
//! **Our own arc.** Certificates of this project's authority must never be mistaken for those of the
//! real JPKI, so none of its object identifiers appears here. Ours hang under
//! `1.3.6.1.4.1.32473`, the enterprise number that IANA reserves for examples and documentation
//! (RFC 5612), with tails that mirror the public shape of the real ones.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$meta])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    /// rsaEncryption, RFC 8017 appendix C.
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    /// sha256WithRSAEncryption, RFC 8017 appendix C.
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    /// id-ecPublicKey, RFC 5480 §2.1.1.
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// secp256r1, RFC 5480 §2.1.1.1.
    SECP256R1 = "1.2.840.10045.3.1.7";
    /// ecdsa-with-SHA256, RFC 5758 §3.2.
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";

    /// commonName, X.520.
    COMMON_NAME = "2.5.4.3";
    /// serialNumber of a subject (not of a certificate), X.520.
    SUBJECT_SERIAL_NUMBER = "2.5.4.5";
    /// countryName, X.520.
    COUNTRY = "2.5.4.6";
    /// localityName, X.520.
    LOCALITY = "2.5.4.7";
    /// organizationName, X.520.
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName, X.520.
    ORGANIZATIONAL_UNIT = "2.5.4.11";

    /// subjectKeyIdentifier, RFC 5280 §4.2.1.2.
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage, RFC 5280 §4.2.1.3.
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName, RFC 5280 §4.2.1.6.
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// issuerAltName, RFC 5280 §4.2.1.7.
    ISSUER_ALT_NAME = "2.5.29.18";
    /// basicConstraints, RFC 5280 §4.2.1.9.
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// cRLNumber, RFC 5280 §5.2.3.
    CRL_NUMBER = "2.5.29.20";
    /// reasonCode, RFC 5280 §5.3.1.
    REASON_CODE = "2.5.29.21";
    /// invalidityDate, RFC 5280 §5.3.2.
    INVALIDITY_DATE = "2.5.29.24";
    /// cRLDistributionPoints, RFC 5280 §4.2.1.13.
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies, RFC 5280 §4.2.1.4.
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// authorityKeyIdentifier, RFC 5280 §4.2.1.1.
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// extKeyUsage, RFC 5280 §4.2.1.12.
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// authorityInfoAccess, RFC 5280 §4.2.2.1.
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// id-ad-ocsp, RFC 5280 §4.2.2.1.
    ACCESS_OCSP = "1.3.6.1.5.5.7.48.1";
    /// id-qt-cps, RFC 5280 §4.2.1.4.
    QUALIFIER_CPS = "1.3.6.1.5.5.7.2.1";
    /// id-kp-serverAuth, RFC 5280 §4.2.1.12.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth, RFC 5280 §4.2.1.12.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

    /// Ours: policy of card-holder authentication certificates.
    JPKI_AUTH_POLICY = "1.3.6.1.4.1.32473.8.5.1.3.30";
    /// Ours: policy of signature certificates.
    JPKI_SIGN_POLICY = "1.3.6.1.4.1.32473.8.5.1.1.20";
    /// Ours: otherName with the holder's name.
    HOLDER_NAME = "1.3.6.1.4.1.32473.8.5.5.1";
    /// Ours: otherName with the holder's sex.
    HOLDER_SEX = "1.3.6.1.4.1.32473.8.5.5.3";
    /// Ours: otherName with the holder's birth date.
    HOLDER_BIRTH = "1.3.6.1.4.1.32473.8.5.5.4";
    /// Ours: otherName with the holder's address.
    HOLDER_ADDRESS = "1.3.6.1.4.1.32473.8.5.5.5";

    /// Ours: policy of HPKI signature certificates.
    HPKI_SIGN_POLICY = "1.3.6.1.4.1.32473.1.5.1.1.0.1";
    /// Ours: policy of HPKI authentication certificates.
    HPKI_AUTH_POLICY = "1.3.6.1.4.1.32473.1.5.1.2.0.1";
    /// Ours: the words for healthcare roles.
    HPKI_CODED_DATA = "1.3.6.1.4.1.32473.1.6.1.1";
}
