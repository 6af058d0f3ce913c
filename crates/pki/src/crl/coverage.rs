//! Which certificates a list speaks of: RFC 5280 §5.2.5, for lists of direct scope.

use super::list::{IssuingDistributionPoint, PointName, ReasonMask, read_distribution_points};
use crate::certificate::Certificate;
use crate::general_name::{GeneralName, NameForm};
use aws_lc_rs::digest;

/// Names of one distribution point that are looked at; issuers write one or two.
const NAMES_MAX: usize = 16;
/// Distribution points of one certificate that are looked at; issuers write one or two.
const POINTS_MAX: usize = 16;

/// A name of a place where a list is published, as the digest of its form and octets. RFC 5280 §5.2.5 demands
/// the identical encoding in the certificate and in its list, so that octets decide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PlaceId([u8; 32]);

impl PlaceId {
    fn of(name: &GeneralName<'_>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[name.form as u8]);
        context.update(name.value);
        let mut out = [0; 32];
        // The digest has 32 octets by definition.
        out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(out)
    }
}

fn ids(names: &[GeneralName<'_>]) -> impl Iterator<Item = PlaceId> {
    let useful = |name: &&GeneralName<'_>| matches!(name.form, NameForm::Directory | NameForm::Uri);
    names.iter().filter(useful).take(NAMES_MAX).map(PlaceId::of)
}

/// Where a certificate says that its whole status is published: points for all reasons, by the issuer itself.
/// One that cannot be read has none, so that no part of a list speaks of it.
pub(crate) fn places_of(certificate: &Certificate<'_>) -> Box<[PlaceId]> {
    let Some(list) = certificate.extensions().crl_distribution_points.as_ref() else { return Box::default() };
    let points = read_distribution_points(list).unwrap_or_default();
    let whole = points.iter().filter(|point| point.issuer.is_none() && point.reasons == ReasonMask::ALL);
    let names = whole.take(POINTS_MAX).filter_map(|point| match &point.name {
        Some(PointName::Full(names)) => Some(ids(names)),
        _ => None,
    });
    names.flatten().collect()
}

/// What kinds of certificate a list speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kinds {
    All,
    /// onlyContainsUserCerts.
    Users,
    /// onlyContainsCACerts.
    Authorities,
}

/// Which certificates of its issuer a list speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Coverage {
    /// issuingDistributionPoint as it came: a delta has the same scope if it has the same octets (RFC 5280 §5.2.4).
    scope: Option<Box<[u8]>>,
    kinds: Kinds,
    /// Names of the place; `None` for a list that is of no particular place.
    places: Option<Box<[PlaceId]>>,
}

impl Coverage {
    /// `None` for a scope that an index cannot answer for: of other issuers, of attribute certificates, of
    /// some reasons only, or at a place that is named relative to something.
    pub(crate) fn of(scope: Option<&IssuingDistributionPoint<'_>>) -> Option<Self> {
        let Some(scope) = scope else {
            return Some(Self { scope: None, kinds: Kinds::All, places: None });
        };
        if scope.indirect || scope.only_attributes || scope.reasons != ReasonMask::ALL {
            return None;
        }
        let kinds = match (scope.only_users, scope.only_authorities) {
            (true, _) => Kinds::Users,
            (_, true) => Kinds::Authorities,
            _ => Kinds::All,
        };
        let places = match &scope.name {
            None => None,
            Some(PointName::Full(names)) => Some(ids(names).collect()),
            Some(PointName::Relative(_)) => return None,
        };
        Some(Self { scope: Some(scope.raw.into()), kinds, places })
    }

    /// Whether the list speaks of every certificate of its issuer.
    pub(crate) fn is_everything(&self) -> bool {
        self.kinds == Kinds::All && self.places.is_none()
    }

    /// Whether the list speaks of an end entity's certificate (or an authority's) with these places.
    pub(crate) fn includes(&self, is_authority: bool, places: &[PlaceId]) -> bool {
        let kind = match self.kinds {
            Kinds::All => true,
            Kinds::Users => !is_authority,
            Kinds::Authorities => is_authority,
        };
        kind && self.places.as_ref().is_none_or(|own| own.iter().any(|place| places.contains(place)))
    }

    /// The names of its place, if it is of one.
    pub(crate) fn places(&self) -> Option<&[PlaceId]> {
        self.places.as_deref()
    }
}
