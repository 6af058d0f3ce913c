//! What revocation lists say of one certificate: RFC 5280 §6.3.3.

use super::build::{Anchors, search};
use super::error::{Fault, PathError};
use super::input::{ExplicitPolicy, InitialPolicies, Question, RevocationRule};
use super::names;
use super::profile::Profile;
use super::session::{Session, Signed, SignedBy, Subject};
use super::status::{Age, Finding, check_path, more_telling, revoked};
use super::walk::walk;
use crate::asn1::read::Malformed;
use crate::asn1::time::CertificateTime;
use crate::asn1::write;
use crate::certificate::Certificate;
use crate::crl::list::{
    CertificateList, DistributionPoint, ListEntry, PointName, ReasonMask, issuer_name,
    read_distribution_points,
};
use crate::general_name::{GeneralName, NameForm};
use crate::revocation::{RevocationReason, Status, UnknownCause};
use std::borrow::Cow;

/// Lists of one key and one scope replace each other: the newest speaks. Lists of the same name by another
/// key do not (an authority may change keys and let the old one list what it issued), so each is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    signer: SignedBy,
    scope: Option<&'a [u8]>,
    list: usize,
}

/// What the lists have said so far.
struct Tally<'a> {
    asked: Vec<Asked<'a>>,
    /// reasons_mask.
    covered: ReasonMask,
    /// thisUpdate of the oldest list that was used.
    oldest: Option<CertificateTime>,
    /// Why a list that speaks of the certificate could not be used.
    unusable: Option<Status>,
}

impl Tally<'_> {
    fn note(&mut self, status: Status) {
        self.unusable = more_telling(self.unusable, status);
    }

    fn unknown(&mut self, cause: UnknownCause) {
        self.note(Status::Unknown(cause));
    }
}

/// Where a certificate's status may be published: a distribution point, or its issuer's name in place of one.
struct Place<'p, 'a> {
    point: Option<&'p DistributionPoint<'a>>,
    reasons: ReasonMask,
}

/// Asks the lists about the certificate at `index` of a path.
pub(crate) fn find(
    session: &mut Session<'_, '_>,
    path: &[usize],
    index: usize,
    anchor: usize,
    depth: usize,
) -> Finding {
    let Some(certificate) = path.get(index).and_then(|place| session.certificate(*place)) else {
        return Finding::Silent;
    };
    let points = certificate.extensions().crl_distribution_points.as_ref().map(read_distribution_points);
    let points = match points.transpose() {
        Ok(points) => points.unwrap_or_default(),
        Err(fault) => return Finding::Unusable(Status::Unknown(malformed(fault))),
    };
    let mut places: Vec<_> =
        points.iter().map(|point| Place { point: Some(point), reasons: point.reasons }).collect();
    // §6.3.3, end: then any list of the certificate's issuer.
    places.push(Place { point: None, reasons: ReasonMask::ALL });

    let about = About { certificate, path, index, anchor, depth };
    let mut tally = Tally { asked: Vec::new(), covered: ReasonMask::NONE, oldest: None, unusable: None };
    for place in &places {
        for list in 0..session.lists.len() {
            match ask(session, &about, place, list, &mut tally) {
                Ok(Some(found)) => return found,
                Ok(None) => {}
                Err(status) => tally.note(status),
            }
        }
    }
    conclude(session, &tally)
}

fn conclude(session: &Session<'_, '_>, tally: &Tally<'_>) -> Finding {
    match (tally.oldest, tally.unusable) {
        (Some(oldest), _) if tally.covered.includes(ReasonMask::ALL) => {
            let this_update = oldest.saturating_unix();
            let age_seconds = session.question.at.since(this_update);
            Finding::Says(Status::Good { this_update, age_seconds }, oldest)
        }
        (_, Some(status)) => Finding::Unusable(status),
        (Some(_), None) => Finding::Unusable(Status::Unknown(UnknownCause::ReasonsNotCovered)),
        (None, None) => Finding::Silent,
    }
}

/// The certificate that is asked about, and the path that it stands in.
struct About<'p, 's, 'a> {
    certificate: &'s Certificate<'a>,
    path: &'p [usize],
    index: usize,
    anchor: usize,
    depth: usize,
}

fn malformed(fault: Malformed) -> UnknownCause {
    UnknownCause::Malformed { what: fault.what, offset: fault.offset }
}

/// Asks one list: `Ok(Some)` if it settles the matter, `Ok(None)` if not, `Err` if it should have spoken.
fn ask<'a>(
    session: &mut Session<'_, 'a>,
    about: &About<'_, '_, '_>,
    place: &Place<'_, '_>,
    place_of_list: usize,
    tally: &mut Tally<'a>,
) -> Result<Option<Finding>, Status> {
    let Some(list) = session.lists.get(place_of_list).copied() else { return Ok(None) };
    // (b)(1)
    if !is_issuer(list, about.certificate, place) {
        return Ok(None);
    }
    if list.is_delta() {
        // Used together with the list that it changes; alone it says nothing.
        if tally.unusable.is_none() {
            tally.unknown(UnknownCause::DeltaWithoutBase);
        }
        return Ok(None);
    }
    // (b)(2)
    match scope_fits(list, about.certificate, place).map_err(|fault| Status::Unknown(malformed(fault)))? {
        Scope::Fits => {}
        Scope::OtherKind => return Ok(None),
        Scope::OtherPlace => return Err(Status::Unknown(UnknownCause::OtherScope)),
    }
    // (d), (e)
    let scope_reasons = list.scope.as_ref().map_or(ReasonMask::ALL, |scope| scope.reasons);
    let reasons = place.reasons.and(scope_reasons);
    // (f), (g)
    check_usable(list, session.question)?;
    let signer = find_signer(session, about, place, place_of_list).map_err(Status::Unknown)?;
    let scope = list.scope.as_ref().map(|scope| scope.raw);
    if let Some(asked) = tally.asked.iter().find(|asked| asked.signer == signer && asked.scope == scope) {
        if asked.list == place_of_list {
            // The same list by way of another point, which may speak for other reasons.
            tally.covered = tally.covered.or(reasons);
        }
        return Ok(None);
    }
    // (c), (h)
    let delta = find_delta(session, list, signer);
    if let Some((delta, Age::Stale(_))) = delta {
        // Too old to release anybody, or to say that nothing else changed; what it revokes is revoked.
        let entry = look_up(delta, about.certificate).map_err(Status::Unknown)?;
        if let Some(entry) = entry.filter(|entry| entry.reason != RevocationReason::RemoveFromCrl) {
            return Ok(Some(Finding::Says(revoked(entry.reason, entry.revoked_at), delta.this_update)));
        }
    }
    // The two together are as new as the delta.
    let newest = match delta {
        Some((delta, Age::Fresh)) => delta,
        _ => list,
    };
    let age = session.question.freshness.judge(session.question.at, newest.this_update, newest.next_update);
    if let Age::Future(cause) = age {
        return Err(Status::Unknown(cause));
    }
    // (i)-(k)
    if let Some(finding) = look_up_both(about, list, newest).map_err(Status::Unknown)? {
        return Ok(Some(finding));
    }
    if let Age::Stale(status) = age {
        return Err(status);
    }
    tally.asked.push(Asked { signer, scope, list: place_of_list });
    tally.covered = tally.covered.or(reasons);
    tally.oldest = Some(tally.oldest.map_or(newest.this_update, |oldest| oldest.min(newest.this_update)));
    Ok(None)
}

/// What no list may have.
fn check_usable(list: &CertificateList<'_>, question: &Question) -> Result<(), Status> {
    if let Some(unknown) = list.unknown_critical {
        let offset = unknown.offset;
        return Err(Status::Unknown(UnknownCause::UnknownCriticalExtension { offset }));
    }
    let fault = |what, offset| Err(Status::Unknown(UnknownCause::Malformed { what, offset }));
    if let Some((what, offset)) = list.odd_criticality {
        return fault(what, offset);
    }
    if question.profile == Profile::Rfc5280Strict {
        // RFC 5280 §5.1.2.1, §5.1.2.6, §5.2.3, §5.1.2.5.
        if let Some(empty) = list.empty_entries() {
            return fault("revokedCertificates", empty.offset);
        }
        if !list.is_v2 {
            return fault("version", list.tbs.offset);
        }
        if list.number.is_none() {
            return fault("cRLNumber", list.tbs.offset);
        }
        if list.next_update.is_none() {
            return fault("nextUpdate", list.tbs.offset);
        }
    }
    Ok(())
}

/// RFC 5280 §6.3.3 (b)(1).
fn is_issuer(list: &CertificateList<'_>, certificate: &Certificate<'_>, place: &Place<'_, '_>) -> bool {
    match place.point.and_then(|point| point.issuer.as_ref()) {
        Some(named) => {
            list.scope.as_ref().is_some_and(|scope| scope.indirect)
                && named
                    .iter()
                    .any(|name| name.form == NameForm::Directory && names::same(name.value, list.issuer))
        }
        None => names::same(list.issuer, certificate.issuer_der()),
    }
}

enum Scope {
    Fits,
    /// For authorities only, users only or attribute certificates only, and this certificate is none.
    OtherKind,
    /// Of another partition: the certificate's own one may revoke it.
    OtherPlace,
}

/// RFC 5280 §6.3.3 (b)(2).
fn scope_fits(
    list: &CertificateList<'_>,
    certificate: &Certificate<'_>,
    place: &Place<'_, '_>,
) -> Result<Scope, Malformed> {
    let Some(scope) = &list.scope else { return Ok(Scope::Fits) };
    let is_authority = certificate.extensions().is_authority();
    if scope.only_attributes
        || (scope.only_users && is_authority)
        || (scope.only_authorities && !is_authority)
    {
        return Ok(Scope::OtherKind);
    }
    let Some(name) = &scope.name else { return Ok(Scope::Fits) };
    let published = point_names(name, list.issuer);
    let named = names_of_place(certificate, place)?;
    let fits = published.iter().any(|(form, value)| {
        named.iter().any(|(other_form, other)| {
            form == other_form
                && if *form == NameForm::Directory { names::same(value, other) } else { value == other }
        })
    });
    Ok(if fits { Scope::Fits } else { Scope::OtherPlace })
}

type Named<'a> = Vec<(NameForm, Cow<'a, [u8]>)>;

fn general_names<'a>(names: &[GeneralName<'a>]) -> Named<'a> {
    names.iter().map(|name| (name.form, Cow::Borrowed(name.value))).collect()
}

/// The names of a distribution point; a relative one is completed by the name of the list's issuer.
fn point_names<'a>(name: &PointName<'a>, issuer: &'a [u8]) -> Named<'a> {
    match name {
        PointName::Full(names) => general_names(names),
        PointName::Relative(relative) => {
            let issuer = crate::asn1::read::Reader::new(issuer).any("name");
            let above = issuer.map(|name| name.content).unwrap_or_default();
            let last = write::tlv(crate::asn1::tag::SET, relative);
            vec![(NameForm::Directory, Cow::Owned(write::sequence(&[above, &last])))]
        }
    }
}

/// RFC 5280 §6.3.3 (b)(2)(i): the point's own name, else its cRLIssuer, else the certificate's issuer.
fn names_of_place<'a>(certificate: &Certificate<'a>, place: &Place<'_, 'a>) -> Result<Named<'a>, Malformed> {
    let Some(point) = place.point else {
        let mut named = vec![(NameForm::Directory, Cow::Borrowed(certificate.issuer_der()))];
        if let Some(names) = &certificate.extensions().issuer_alternative_names {
            crate::general_name::each(names, "issuerAltName", |name| {
                named.push((name.form, Cow::Borrowed(name.value)));
                Ok(())
            })?;
        }
        return Ok(named);
    };
    let issuers = point.issuer.as_deref().unwrap_or_default();
    Ok(match &point.name {
        Some(name) => {
            let directory = issuers.iter().find(|name| name.form == NameForm::Directory);
            point_names(name, directory.map_or(certificate.issuer_der(), |name| name.value))
        }
        None => general_names(issuers),
    })
}

/// RFC 5280 §6.3.3 (i)-(k): the delta's word first, then the complete list's.
fn look_up_both(
    about: &About<'_, '_, '_>,
    list: &CertificateList<'_>,
    newest: &CertificateList<'_>,
) -> Result<Option<Finding>, UnknownCause> {
    let says = |entry: ListEntry<'_>, from| Finding::Says(revoked(entry.reason, entry.revoked_at), from);
    if newest.is_delta()
        && let Some(entry) = look_up(newest, about.certificate)?
    {
        let is_removed = entry.reason == RevocationReason::RemoveFromCrl;
        return Ok((!is_removed).then(|| says(entry, newest.this_update)));
    }
    let entry = look_up(list, about.certificate)?;
    Ok(entry.map(|entry| says(entry, newest.this_update)))
}

/// Reads every entry, because one critical extension that is not known makes the whole list unusable
/// (RFC 5280 §5.3), and gives the latest one of the certificate.
fn look_up<'a>(
    list: &CertificateList<'a>,
    certificate: &Certificate<'_>,
) -> Result<Option<ListEntry<'a>>, UnknownCause> {
    let is_indirect = list.scope.as_ref().is_some_and(|scope| scope.indirect);
    let mut issuer_fits = names::same(list.issuer, certificate.issuer_der());
    let mut found: Option<ListEntry<'a>> = None;
    for entry in list.entries() {
        let entry = entry.map_err(malformed)?;
        if let Some(unknown) = entry.unknown_critical {
            return Err(UnknownCause::UnknownCriticalExtension { offset: unknown.offset });
        }
        if let Some(issuer) = &entry.issuer {
            if !is_indirect {
                return Err(malformed(issuer.malformed("certificateIssuer")));
            }
            let name = issuer_name(issuer).map_err(malformed)?;
            issuer_fits = names::same(name, certificate.issuer_der());
        }
        if entry.reason == RevocationReason::RemoveFromCrl && !list.is_delta() {
            // RFC 5280 §5.3.1: in delta lists only.
            return Err(malformed(entry.place.malformed("reasonCode")));
        }
        if issuer_fits
            && entry.serial == *certificate.serial()
            && found.is_none_or(|known| known.revoked_at <= entry.revoked_at)
        {
            found = Some(entry);
        }
    }
    Ok(found)
}

/// The newest delta that builds on `list` and is signed by the same key, and whether it is still fresh: RFC 5280
/// §5.2.4, §6.3.3 (c), (h).
fn find_delta<'s, 'a>(
    session: &mut Session<'s, 'a>,
    list: &CertificateList<'_>,
    signer: SignedBy,
) -> Option<(&'s CertificateList<'a>, Age)> {
    let scope = list.scope.as_ref().map(|scope| scope.raw);
    for place in 0..session.lists.len() {
        // Lists are sorted newest first.
        let Some(delta) = session.lists.get(place).copied() else { continue };
        let (Some(base), Some(number), Some(delta_number)) = (delta.base_number, list.number, delta.number)
        else {
            continue;
        };
        let fits = base <= number
            && number < delta_number
            && names::same(delta.issuer, list.issuer)
            && delta.scope.as_ref().map(|scope| scope.raw) == scope
            && delta.authority_key_identifier == list.authority_key_identifier;
        if !fits
            || check_usable(delta, session.question).is_err()
            || verify_list(session, place, signer).is_err()
        {
            continue;
        }
        match session.question.freshness.judge(session.question.at, delta.this_update, delta.next_update) {
            Age::Future(_) => {}
            age => return Some((delta, age)),
        }
    }
    None
}

fn verify_list(session: &mut Session<'_, '_>, place: usize, signer: SignedBy) -> Result<(), Fault> {
    let Some(list) = session.lists.get(place).copied() else { return Err(Fault::BadSignature) };
    let signed =
        Signed { algorithm: &list.signature_algorithm, message: list.tbs.raw, signature: list.signature };
    session.verify(Subject::List(place), signed, signer)
}

/// Who signed a list and may have: an issuer of the certificate's own path, or a certificate whose path to
/// the same anchor is good: RFC 5280 §6.3.3 (f), (g).
///
/// A certificate signs the list about itself only where its own distribution point names it as cRLIssuer:
/// there its issuer said so.
fn find_signer(
    session: &mut Session<'_, '_>,
    about: &About<'_, '_, '_>,
    place_of_status: &Place<'_, '_>,
    place_of_list: usize,
) -> Result<SignedBy, UnknownCause> {
    let Some(list) = session.lists.get(place_of_list).copied() else {
        return Err(UnknownCause::BadSignature);
    };
    let above = about.path.get(about.index + 1..).unwrap_or_default();
    let mut candidates: Vec<(SignedBy, bool)> =
        above.iter().map(|place| (SignedBy::Certificate(*place), true)).collect();
    candidates.push((SignedBy::Anchor(about.anchor), true));
    for (place, node) in session.nodes.iter().enumerate() {
        if !above.contains(&place) && node.is_subject(list.issuer) {
            candidates.push((SignedBy::Certificate(place), false));
        }
    }
    let may_vouch_for_itself = place_of_status.point.is_some_and(|point| point.issuer.is_some());
    let itself = about.path.get(about.index).copied().map(SignedBy::Certificate);
    let mut cause = UnknownCause::BadSignature;
    for (signer, in_path) in candidates {
        if !names::same(session.subject_of(signer), list.issuer) || !session.may_sign_lists(signer) {
            continue;
        }
        match verify_list(session, place_of_list, signer) {
            Ok(()) => {}
            Err(Fault::WorkLimit { .. }) => return Err(UnknownCause::WorkLimit),
            Err(_) => continue,
        }
        match signer {
            _ if Some(signer) == itself => {
                if may_vouch_for_itself {
                    return Ok(signer);
                }
                cause = UnknownCause::Circular;
            }
            SignedBy::Certificate(place) if !in_path => {
                let rule = session.question.revocation;
                match clear(session, place, about.anchor, about.depth, (Profile::CrlIssuer, rule)) {
                    Ok(()) => return Ok(signer),
                    Err(found) => cause = found,
                }
            }
            _ => return Ok(signer),
        }
    }
    Err(cause)
}

/// Validates the certificate of a list's issuer or of a responder, up to the anchor of the path in question.
/// `rule` is for that certificate; those above it are under the question's own.
pub(crate) fn clear(
    session: &mut Session<'_, '_>,
    place: usize,
    anchor: usize,
    depth: usize,
    (profile, rule): (Profile, RevocationRule),
) -> Result<(), UnknownCause> {
    if session.cleared.contains(&(place, anchor)) {
        return Ok(());
    }
    if session.in_progress.contains(&place) {
        return Err(UnknownCause::Circular);
    }
    if depth >= session.question.limits.issuer_depth {
        return Err(UnknownCause::WorkLimit);
    }
    let question = Question {
        profile,
        purpose: None,
        initial_policies: InitialPolicies::Any,
        explicit_policy: ExplicitPolicy::WhereCertificatesSaySo,
        ..session.question.clone()
    };
    let cleared = search(session, place, Anchors::Only(anchor), &question, &mut |session, path, anchor| {
        examine(session, path, anchor, depth + 1, &question, rule)
    });
    match cleared {
        Ok(()) => {
            session.cleared.push((place, anchor));
            Ok(())
        }
        Err(PathError { fault: Fault::WorkLimit { .. }, .. }) => Err(UnknownCause::WorkLimit),
        Err(PathError { fault: Fault::StatusUnknown { cause: UnknownCause::Circular }, .. }) => {
            Err(UnknownCause::Circular)
        }
        Err(_) => Err(UnknownCause::SignerNotValid),
    }
}

fn examine(
    session: &mut Session<'_, '_>,
    path: &[usize],
    anchor: usize,
    depth: usize,
    question: &Question,
    rule: RevocationRule,
) -> Result<(), PathError> {
    let none = PathError { place: super::error::Place::Anchor, fault: Fault::NoAnchor };
    let trusted = session.anchor(anchor).ok_or(none)?;
    let certificates: Vec<_> = path.iter().filter_map(|place| session.certificate(*place)).collect();
    walk(&certificates, trusted, question)?;
    check_path(session, path, anchor, depth, rule, &mut Vec::new())
}
