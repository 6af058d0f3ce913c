//! What a validation is asked: RFC 5280 §6.1.1, §6.3.1, RFC 6960 §3.2.

use super::profile::Profile;
use crate::crl::CLOCK_DIFFERENCE_SECONDS_MAX;
use crate::signature_scheme::Sha1;
use der::asn1::ObjectIdentifier;
use protocol::time::UnixSeconds;

/// user-initial-policy-set: RFC 5280 §6.1.1 (c).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InitialPolicies {
    /// any-policy: whatever the path is valid under.
    Any,
    /// One of these.
    OneOf(Vec<ObjectIdentifier>),
}

/// initial-explicit-policy: RFC 5280 §6.1.1 (f).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExplicitPolicy {
    /// The path need not be valid under any policy, unless a certificate in it says so.
    WhereCertificatesSaySo,
    /// The path must be valid under a policy of the initial set.
    Required,
}

/// initial-policy-mapping-inhibit: RFC 5280 §6.1.1 (e).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyMapping {
    /// Mappings in the path count.
    Allowed,
    /// They do not.
    Inhibited,
}

/// initial-any-policy-inhibit: RFC 5280 §6.1.1 (g).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnyPolicy {
    /// anyPolicy in a certificate stands for every policy.
    Counts,
    /// It stands for nothing.
    Inhibited,
}

/// What is wanted of the revocation status of every certificate below the anchor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevocationRule {
    /// It must be known and good.
    Required,
    /// It may be unknown if no list and no response speaks of the certificate. One that does and cannot be
    /// used (too old, badly signed, of another scope) still refuses.
    IfPresent,
    /// It is not looked at.
    None,
}

/// How old a statement about revocation may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freshness {
    /// Seconds since thisUpdate that are allowed at most, whatever nextUpdate says.
    pub age_seconds_max: u64,
    /// Seconds since thisUpdate that are allowed where there is no nextUpdate.
    pub age_seconds_max_without_next_update: u64,
    /// Seconds that clocks may differ: a thisUpdate so far ahead is taken as now, a nextUpdate so far
    /// behind as not passed.
    pub clock_tolerance_seconds: u64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            age_seconds_max: u64::MAX,
            age_seconds_max_without_next_update: 86_400,
            clock_tolerance_seconds: CLOCK_DIFFERENCE_SECONDS_MAX,
        }
    }
}

/// What one validation may cost. Whoever gives the certificates does not choose the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkLimits {
    /// Signatures verified, those on lists and responses included; of dear kinds (P-384, P-521, RSA above 6,144
    /// bits) fewer, so that the time stays within that of ten RSA-2048 verifications for each.
    pub signatures: usize,
    /// Certificates tried as issuers.
    pub candidates: usize,
    /// Complete paths examined.
    pub paths: usize,
    /// Certificates in one path, the anchor not counted.
    pub path_length: usize,
    /// Names compared with name constraints, in one path.
    pub name_comparisons: usize,
    /// List issuers that are looked up inside each other.
    pub issuer_depth: usize,
}

impl Default for WorkLimits {
    /// Far above what any real path takes. Signatures also count by what their kind costs: all that are verified
    /// take at most as long as 4,000 with RSA-2048, some 50 ms, and 400 of those take 5.
    fn default() -> Self {
        Self {
            signatures: 400,
            candidates: 20_000,
            paths: 512,
            path_length: 40,
            name_comparisons: 250_000,
            issuer_depth: 4,
        }
    }
}

/// What is asked. [`Question::at`] is the plain one; fields change it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The instant asked about: RFC 5280 §6.1.1 (b).
    pub at: UnixSeconds,
    /// Which policies will do.
    pub initial_policies: InitialPolicies,
    /// Whether one of them is needed.
    pub explicit_policy: ExplicitPolicy,
    /// Whether mappings count.
    pub policy_mapping: PolicyMapping,
    /// Whether anyPolicy counts.
    pub any_policy: AnyPolicy,
    /// A purpose that extKeyUsage must allow, in the leaf and in every issuer that has the extension.
    pub purpose: Option<ObjectIdentifier>,
    /// What the leaf must be for.
    pub profile: Profile,
    /// What is wanted of revocation.
    pub revocation: RevocationRule,
    /// How old it may be.
    pub freshness: Freshness,
    /// The nonce that was sent in the OCSP request, if one was: RFC 8954.
    pub ocsp_nonce: Option<Vec<u8>>,
    /// Whether SHA-1 counts.
    pub sha1: Sha1,
    /// What it may cost.
    pub limits: WorkLimits,
}

impl Question {
    /// Is this path valid at `at`, under any policy, with its revocation status known?
    pub fn at(at: UnixSeconds) -> Self {
        Self {
            at,
            initial_policies: InitialPolicies::Any,
            explicit_policy: ExplicitPolicy::WhereCertificatesSaySo,
            policy_mapping: PolicyMapping::Allowed,
            any_policy: AnyPolicy::Counts,
            purpose: None,
            profile: Profile::Rfc5280,
            revocation: RevocationRule::Required,
            freshness: Freshness::default(),
            ocsp_nonce: None,
            sha1: Sha1::Refuse,
            limits: WorkLimits::default(),
        }
    }
}
