//! Walking one path from its anchor to its leaf: RFC 5280 §6.1.2 to §6.1.5. Signatures and the chain of
//! names are the builder's business; revocation comes afterwards.

use super::anchor::{AnchorRole, TrustAnchor};
use super::conformance;
use super::error::{Fault, PathError, Place};
use super::input::Question;
use super::name_constraints::{NameState, Subtrees};
use super::names;
use super::policy::{AnyCountsAnyway, PolicyState, ValidPolicies};
use super::profile::ProfileFault;
use crate::asn1::time::CertificateTime;
use crate::certificate::{Certificate, KeyUsage};
use crate::oid;
use crate::public_key::check_size;
use std::borrow::Cow;

/// Checks `path`, leaf first, below `anchor`.
///
/// # Errors
/// The first rule broken, counted from the anchor.
pub(crate) fn walk<'a>(
    path: &[&Certificate<'a>],
    anchor: &'a TrustAnchor,
    question: &Question,
) -> Result<ValidPolicies, PathError> {
    let at_anchor = |fault| PathError { place: Place::Anchor, fault };
    check_anchor(anchor, question).map_err(at_anchor)?;
    let mut state = State::new(anchor, question, path.len());
    for (index, certificate) in path.iter().enumerate().rev() {
        let position = if index == 0 { Position::Last } else { Position::Before };
        state
            .check(certificate, question, position)
            .map_err(|fault| PathError { place: Place::of(index), fault })?;
    }
    let at_leaf = |fault: Fault| PathError { place: Place::Leaf, fault };
    let leaf = path.first().ok_or_else(|| at_leaf(Fault::NoAnchor))?;
    // The keys above it have verified something, which a weak one cannot.
    check_size(&leaf.spki).map_err(|error| at_leaf(error.into()))?;
    question.profile.check(leaf).map_err(|fault| at_leaf(fault.into()))?;
    let policies = state.policies.conclude(leaf, &question.initial_policies);
    policies.map_err(|fault| at_leaf(fault.into()))
}

impl From<ProfileFault> for Fault {
    fn from(fault: ProfileFault) -> Self {
        match fault {
            ProfileFault::Malformed(fault) => fault.into(),
            ProfileFault::Demand(what) => Self::Profile { what },
        }
    }
}

/// Stricter than RFC 5280, which takes an anchor as a name and a key: where it is a certificate, its dates
/// and its key usage count, because whoever made it said so.
fn check_anchor(anchor: &TrustAnchor, question: &Question) -> Result<(), Fault> {
    check_dates(anchor.not_before, anchor.not_after, question)?;
    if anchor.role == AnchorRole::Authority && !anchor.may_sign_certificates() {
        return Err(Fault::KeyUsage { wanted: "keyCertSign" });
    }
    if let (Some(wanted), Some(purposes)) = (&question.purpose, &anchor.constraints.purposes) {
        let allowed = [wanted.as_bytes(), oid::ANY_PURPOSE.as_bytes()];
        if !purposes.iter().any(|purpose| allowed.contains(&purpose.as_slice())) {
            return Err(Fault::Purpose { wanted: wanted.to_string() });
        }
    }
    anchor.conformance.outcome(question.profile)
}

fn check_dates(
    not_before: CertificateTime,
    not_after: CertificateTime,
    question: &Question,
) -> Result<(), Fault> {
    let asked = CertificateTime::from(question.at);
    if asked < not_before {
        Err(Fault::NotYetValid { not_before, asked })
    } else if asked > not_after {
        Err(Fault::Expired { not_after, asked })
    } else {
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Before,
    Last,
}

/// What a certificate breaks by itself, whatever stands above and below it.
fn check_alone(certificate: &Certificate<'_>, question: &Question, position: Position) -> Result<(), Fault> {
    // (a)(2)
    check_dates(certificate.not_before(), certificate.not_after(), question)?;
    let extensions = certificate.extensions();
    // §6.1.4 (o), §6.1.5 (f): sooner than there, because it may change what the rest means.
    if let Some(unknown) = extensions.unknown_critical {
        let identifier = oid::text(unknown.identifier);
        return Err(Fault::UnknownCriticalExtension { identifier, offset: unknown.offset });
    }
    // §6.1.4 (k): said before anything that follows from it.
    if position == Position::Before && !extensions.is_authority() {
        return Err(Fault::NotAnAuthority);
    }
    conformance::check(certificate, question.profile)?;
    conformance::check_key_identifier(certificate, question.profile)
}

fn check_purpose(certificate: &Certificate<'_>, question: &Question) -> Result<(), Fault> {
    let extensions = certificate.extensions();
    match &question.purpose {
        Some(wanted)
            if extensions.extended_key_usage.is_some()
                && !extensions.has_purpose(wanted)
                && !extensions.has_purpose(&oid::ANY_PURPOSE) =>
        {
            Err(Fault::Purpose { wanted: wanted.to_string() })
        }
        _ => Ok(()),
    }
}

/// §6.1.4 (n).
fn check_signing(certificate: &Certificate<'_>) -> Result<(), Fault> {
    if certificate.extensions().key_usage.is_some_and(|usage| !usage.includes(KeyUsage::KEY_CERT_SIGN)) {
        return Err(Fault::KeyUsage { wanted: "keyCertSign" });
    }
    Ok(())
}

/// Whether a certificate may stand in a path as an issuer, as far as it can be told from it alone. The
/// signature and everything that depends on the rest of the path are left open.
pub(super) fn may_issue(certificate: &Certificate<'_>, question: &Question) -> bool {
    check_alone(certificate, question, Position::Before).is_ok()
        && check_purpose(certificate, question).is_ok()
        && check_signing(certificate).is_ok()
}

/// What is carried from one certificate to the next: RFC 5280 §6.1.2.
struct State<'a> {
    names: NameState<'a>,
    policies: PolicyState<'a>,
    /// max_path_length.
    authorities_left: usize,
}

impl<'a> State<'a> {
    fn new(anchor: &'a TrustAnchor, question: &Question, length: usize) -> Self {
        let constraints = &anchor.constraints;
        let mut names = NameState::default();
        if let Some(subtrees) = &constraints.names {
            names.add(Cow::Borrowed(subtrees));
        }
        let mut policies = PolicyState::new(question, length);
        policies.constrain(constraints.policies, constraints.inhibit_any_policy);
        let limit = constraints.path_length_max.and_then(|limit| usize::try_from(limit).ok());
        Self { names, policies, authorities_left: limit.unwrap_or(length).min(length) }
    }

    fn check(
        &mut self,
        certificate: &Certificate<'a>,
        question: &Question,
        position: Position,
    ) -> Result<(), Fault> {
        check_alone(certificate, question, position)?;
        let is_self_issued =
            position == Position::Before && names::same(certificate.subject_der(), certificate.issuer_der());
        // (b), (c)
        if !is_self_issued {
            self.names.check(certificate, question.limits.name_comparisons)?;
        }
        // (d)-(f)
        let any = if is_self_issued { AnyCountsAnyway::Yes } else { AnyCountsAnyway::No };
        self.policies.check(certificate, any)?;
        check_purpose(certificate, question)?;
        if position == Position::Before { self.prepare_next(certificate, is_self_issued) } else { Ok(()) }
    }

    /// RFC 5280 §6.1.4.
    fn prepare_next(&mut self, certificate: &Certificate<'a>, is_self_issued: bool) -> Result<(), Fault> {
        let extensions = certificate.extensions();
        // (l)
        if !is_self_issued {
            self.authorities_left = self.authorities_left.checked_sub(1).ok_or(Fault::PathLength)?;
        }
        // (m)
        let limit = extensions.basic_constraints.and_then(|constraints| constraints.path_length_max);
        if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
            self.authorities_left = self.authorities_left.min(limit);
        }
        // (n)
        check_signing(certificate)?;
        // (a), (b), (h)-(j)
        self.policies.prepare_next(certificate, is_self_issued)?;
        // (g)
        if let Some(found) = extensions.name_constraints {
            self.names.add(Cow::Owned(Subtrees::read(&found.value)?));
        }
        Ok(())
    }
}
