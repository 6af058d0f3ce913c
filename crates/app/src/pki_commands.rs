//! `kazasu pki …`: anybody's certificates judged, and the authority's by hand.

pub(crate) mod begin;
pub(crate) mod ceremony;
pub(crate) mod changes;
pub(crate) mod cms;
pub(crate) mod cvc;
pub(crate) mod ocsp;
pub(crate) mod office;
pub(crate) mod validate;
