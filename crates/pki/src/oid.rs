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
    /// sha1WithRSAEncryption, RFC 8017 appendix C.
    SHA1_WITH_RSA = "1.2.840.113549.1.1.5";
    /// id-mgf1, RFC 8017 appendix C.
    MGF1 = "1.2.840.113549.1.1.8";
    /// id-RSASSA-PSS, RFC 8017 appendix C.
    RSASSA_PSS = "1.2.840.113549.1.1.10";
    /// sha256WithRSAEncryption, RFC 8017 appendix C.
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption, RFC 8017 appendix C.
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption, RFC 8017 appendix C.
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    /// id-sha1, RFC 3279 §2.1.3.
    SHA1 = "1.3.14.3.2.26";
    /// id-sha256, RFC 4055 §2.1.
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// id-sha384, RFC 4055 §2.1.
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// id-sha512, RFC 4055 §2.1.
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// id-ecPublicKey, RFC 5480 §2.1.1.
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// secp256r1, RFC 5480 §2.1.1.1.
    SECP256R1 = "1.2.840.10045.3.1.7";
    /// secp384r1, RFC 5480 §2.1.1.1.
    SECP384R1 = "1.3.132.0.34";
    /// secp521r1, RFC 5480 §2.1.1.1.
    SECP521R1 = "1.3.132.0.35";
    /// ecdsa-with-SHA256, RFC 5758 §3.2.
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384, RFC 5758 §3.2.
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512, RFC 5758 §3.2.
    ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4";
    /// id-Ed25519, RFC 8410 §3.
    ED25519 = "1.3.101.112";


    /// id-data, RFC 5652 §4.
    CMS_DATA = "1.2.840.113549.1.7.1";
    /// id-signedData, RFC 5652 §5.1.
    CMS_SIGNED_DATA = "1.2.840.113549.1.7.2";
    /// id-contentType, RFC 5652 §11.1.
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    /// id-messageDigest, RFC 5652 §11.2.
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    /// id-signingTime, RFC 5652 §11.3.
    SIGNING_TIME = "1.2.840.113549.1.9.5";
    /// id-aa-signingCertificateV2, RFC 5035 §3.
    SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

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
    /// deltaCRLIndicator, RFC 5280 §5.2.4.
    DELTA_CRL_INDICATOR = "2.5.29.27";
    /// issuingDistributionPoint, RFC 5280 §5.2.5.
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// certificateIssuer, RFC 5280 §5.3.3.
    CERTIFICATE_ISSUER = "2.5.29.29";
    /// nameConstraints, RFC 5280 §4.2.1.10.
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints, RFC 5280 §4.2.1.13.
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies, RFC 5280 §4.2.1.4.
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// anyPolicy, RFC 5280 §4.2.1.4.
    ANY_POLICY = "2.5.29.32.0";
    /// policyMappings, RFC 5280 §4.2.1.5.
    POLICY_MAPPINGS = "2.5.29.33";
    /// authorityKeyIdentifier, RFC 5280 §4.2.1.1.
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// policyConstraints, RFC 5280 §4.2.1.11.
    POLICY_CONSTRAINTS = "2.5.29.36";
    /// extKeyUsage, RFC 5280 §4.2.1.12.
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// anyExtendedKeyUsage, RFC 5280 §4.2.1.12.
    ANY_PURPOSE = "2.5.29.37.0";
    /// freshestCRL, RFC 5280 §4.2.1.15, §5.2.6.
    FRESHEST_CRL = "2.5.29.46";
    /// inhibitAnyPolicy, RFC 5280 §4.2.1.14.
    INHIBIT_ANY_POLICY = "2.5.29.54";
    /// subjectDirectoryAttributes, RFC 5280 §4.2.1.8.
    SUBJECT_DIRECTORY_ATTRIBUTES = "2.5.29.9";
    /// subjectInfoAccess, RFC 5280 §4.2.2.2.
    SUBJECT_INFO_ACCESS = "1.3.6.1.5.5.7.1.11";
    /// authorityInfoAccess, RFC 5280 §4.2.2.1.
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// id-ad-ocsp, RFC 5280 §4.2.2.1.
    ACCESS_OCSP = "1.3.6.1.5.5.7.48.1";
    /// id-pkix-ocsp-basic, RFC 6960 §4.2.1.
    OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1";
    /// id-pkix-ocsp-nonce, RFC 9654 §2.1.
    OCSP_NONCE = "1.3.6.1.5.5.7.48.1.2";
    /// id-pkix-ocsp-response, RFC 6960 §4.4.3: the kinds of response that a client takes.
    OCSP_ACCEPTABLE_RESPONSES = "1.3.6.1.5.5.7.48.1.4";
    /// id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1.
    OCSP_NOCHECK = "1.3.6.1.5.5.7.48.1.5";
    /// id-qt-cps, RFC 5280 §4.2.1.4.
    QUALIFIER_CPS = "1.3.6.1.5.5.7.2.1";
    /// id-qt-unotice, RFC 5280 §4.2.1.4.
    QUALIFIER_USER_NOTICE = "1.3.6.1.5.5.7.2.2";
    /// id-kp-serverAuth, RFC 5280 §4.2.1.12.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth, RFC 5280 §4.2.1.12.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// id-kp-codeSigning, RFC 5280 §4.2.1.12.
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// id-kp-emailProtection, RFC 5280 §4.2.1.12.
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
    /// id-kp-timeStamping, RFC 5280 §4.2.1.12.
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// id-kp-OCSPSigning, RFC 6960 §4.2.2.2.
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
    /// id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1.
    OCSP_NO_CHECK = "1.3.6.1.5.5.7.48.1.5";
    /// id-on-SmtpUTF8Mailbox, RFC 9598 §3.
    SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9";
    /// emailAddress of a name, RFC 2985 §5.2.1.
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
    /// domainComponent of a name, RFC 4519 §2.4.
    DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25";
    /// id-hcpki-at-healthcareactor, ISO 17090-2.
    HEALTHCARE_ACTOR = "1.0.17090.0.1";

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

/// The dotted form of an identifier's content octets; octets that are none are shown in hexadecimal.
pub fn text(content: &[u8]) -> String {
    ObjectIdentifier::from_bytes(content).map_or_else(
        |_| content.iter().map(|octet| format!("{octet:02X}")).collect::<String>(),
        |identifier| identifier.to_string(),
    )
}
