//! Certificate policies: RFC 5280 §6.1.3 (d)-(f), §6.1.4 (a), (b), §6.1.5 (g), in the form of RFC 9618.
//!
//! RFC 5280 keeps a tree in which a policy stands once per way to reach it: two certificates that map
//! everything to everything multiply it, which has stopped several validators. RFC 9618 keeps a graph in
//! which each level has a policy at most once, so its size is at most that of the certificates.

use super::input::{AnyPolicy, ExplicitPolicy, InitialPolicies, PolicyMapping, Question};
use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::tag;
use crate::certificate::Certificate;
use crate::extension::check_each;
use crate::oid;
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with the policies of a path.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyFault {
    /// The extension cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A policy stands twice in one extension: RFC 5280 §4.2.1.4.
    #[error("policy {policy} stands twice")]
    Repeated {
        /// Its object identifier.
        policy: String,
    },
    /// A qualifier that is not known, in a critical extension: RFC 5280 §4.2.1.4.
    #[error("qualifier {qualifier} of a critical extension is not known")]
    UnknownQualifier {
        /// Its object identifier.
        qualifier: String,
    },
    /// anyPolicy is mapped: RFC 5280 §6.1.4 (a).
    #[error("anyPolicy is mapped")]
    AnyPolicyMapped,
    /// An explicit policy is required, and the path is valid under none: RFC 5280 §6.1.3 (f).
    #[error("an explicit policy is required here, and there is none")]
    NoneLeft,
    /// The path is valid under policies, but under none of those asked for: RFC 5280 §6.1.5 (g).
    #[error("the path is valid under no policy that was asked for")]
    NoneAskedFor,
}

/// Policies that a path is valid under: RFC 5280 §6.1.6.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ValidPolicies {
    /// Object identifiers, in order; `2.5.29.32.0` among them stands for every policy.
    pub policies: Vec<String>,
}

type Identifier<'a> = &'a [u8];

struct Node<'a> {
    expected: BTreeSet<Identifier<'a>>,
    /// Policies of the level above that it hangs under.
    parents: Vec<Identifier<'a>>,
}

type Level<'a> = BTreeMap<Identifier<'a>, Node<'a>>;

/// The state of policy processing along a path.
pub(crate) struct PolicyState<'a> {
    /// valid_policy_graph, the newest level last; `None` once it is NULL.
    levels: Option<Vec<Level<'a>>>,
    explicit_policy: usize,
    inhibit_any_policy: usize,
    policy_mapping: usize,
}

const ANY: Identifier<'static> = oid::ANY_POLICY.as_bytes();

impl<'a> PolicyState<'a> {
    /// RFC 5280 §6.1.2 (a), (d)-(f), for a path of `length` certificates.
    pub(crate) fn new(question: &Question, length: usize) -> Self {
        let root = Node { expected: BTreeSet::from([ANY]), parents: Vec::new() };
        Self {
            levels: Some(vec![Level::from([(ANY, root)])]),
            explicit_policy: match question.explicit_policy {
                ExplicitPolicy::Required => 0,
                ExplicitPolicy::WhereCertificatesSaySo => length + 1,
            },
            inhibit_any_policy: match question.any_policy {
                AnyPolicy::Inhibited => 0,
                AnyPolicy::Counts => length + 1,
            },
            policy_mapping: match question.policy_mapping {
                PolicyMapping::Inhibited => 0,
                PolicyMapping::Allowed => length + 1,
            },
        }
    }

    /// Narrows the start by an anchor's own constraints: RFC 5937 §3.2.
    pub(crate) fn constrain(&mut self, constraints: crate::extension::PolicyConstraints, any: Option<u32>) {
        lower(&mut self.explicit_policy, constraints.require_explicit_policy);
        lower(&mut self.policy_mapping, constraints.inhibit_policy_mapping);
        lower(&mut self.inhibit_any_policy, any);
    }

    /// RFC 5280 §6.1.3 (d)-(f).
    pub(crate) fn check(
        &mut self,
        certificate: &Certificate<'a>,
        any_counts_anyway: AnyCountsAnyway,
    ) -> Result<(), PolicyFault> {
        let stated = match certificate.extensions().policies {
            None => None,
            Some(found) => Some(read_policies(&found.value, found.critical)?),
        };
        self.levels = match (self.levels.take(), stated) {
            (Some(levels), Some(stated)) => self.grow(levels, &stated, any_counts_anyway),
            _ => None,
        };
        if self.explicit_policy == 0 && self.levels.is_none() {
            return Err(PolicyFault::NoneLeft);
        }
        Ok(())
    }

    /// RFC 9618 §5.3 (d).
    fn grow(
        &self,
        mut levels: Vec<Level<'a>>,
        stated: &BTreeSet<Identifier<'a>>,
        any_counts_anyway: AnyCountsAnyway,
    ) -> Option<Vec<Level<'a>>> {
        let above = levels.last()?;
        let mut expecting: BTreeMap<Identifier<'a>, Vec<Identifier<'a>>> = BTreeMap::new();
        for (policy, node) in above {
            for expected in &node.expected {
                expecting.entry(*expected).or_default().push(*policy);
            }
        }
        let leaf = |policy, parents| Node { expected: BTreeSet::from([policy]), parents };
        let mut level = Level::new();
        for policy in stated.iter().copied().filter(|policy| *policy != ANY) {
            if let Some(parents) = expecting.get(policy) {
                level.insert(policy, leaf(policy, parents.clone()));
            } else if above.contains_key(ANY) {
                level.insert(policy, leaf(policy, vec![ANY]));
            }
        }
        let any_counts = self.inhibit_any_policy > 0 || any_counts_anyway == AnyCountsAnyway::Yes;
        if stated.contains(ANY) && any_counts {
            for (policy, parents) in expecting {
                level.entry(policy).or_insert_with(|| leaf(policy, parents));
            }
        }
        if level.is_empty() {
            return None;
        }
        levels.push(level);
        Some(levels)
    }

    /// RFC 5280 §6.1.4 (a), (b), then (h)-(j): what the next certificate is checked with.
    pub(crate) fn prepare_next(
        &mut self,
        certificate: &Certificate<'a>,
        is_self_issued: bool,
    ) -> Result<(), PolicyFault> {
        if let Some(list) = certificate.extensions().policy_mappings {
            let mappings = read_mappings(&list)?;
            self.map(&mappings);
        }
        if !is_self_issued {
            for counter in [&mut self.explicit_policy, &mut self.policy_mapping, &mut self.inhibit_any_policy]
            {
                *counter = counter.saturating_sub(1);
            }
        }
        let constraints = certificate.extensions().policy_constraints.unwrap_or_default();
        self.constrain(constraints, certificate.extensions().inhibit_any_policy);
        Ok(())
    }

    /// RFC 9618 §5.4 (b).
    fn map(&mut self, mappings: &BTreeMap<Identifier<'a>, BTreeSet<Identifier<'a>>>) {
        let Some(level) = self.levels.as_mut().and_then(|levels| levels.last_mut()) else { return };
        if self.policy_mapping == 0 {
            level.retain(|policy, _| !mappings.contains_key(policy));
            if level.is_empty() {
                self.levels = None;
            }
            return;
        }
        let has_any = level.contains_key(ANY);
        for (issuer_policy, subject_policies) in mappings {
            if let Some(node) = level.get_mut(issuer_policy) {
                node.expected.clone_from(subject_policies);
            } else if has_any {
                let node = Node { expected: subject_policies.clone(), parents: vec![ANY] };
                level.insert(issuer_policy, node);
            }
        }
    }

    /// RFC 5280 §6.1.5 (a), (b), (g).
    pub(crate) fn conclude(
        mut self,
        last: &Certificate<'a>,
        asked: &InitialPolicies,
    ) -> Result<ValidPolicies, PolicyFault> {
        self.explicit_policy = self.explicit_policy.saturating_sub(1);
        let constraints = last.extensions().policy_constraints.unwrap_or_default();
        if constraints.require_explicit_policy == Some(0) {
            self.explicit_policy = 0;
        }
        let mut authority = self.levels.as_deref().map(authority_constrained).unwrap_or_default();
        let under_any = authority.contains(ANY);
        if let InitialPolicies::OneOf(wanted) = asked {
            let wanted: BTreeSet<Identifier<'_>> = wanted.iter().map(|policy| policy.as_bytes()).collect();
            if !wanted.contains(ANY) {
                let policies: Vec<String> = wanted
                    .iter()
                    .filter(|policy| under_any || authority.contains(**policy))
                    .map(|policy| oid::text(policy))
                    .collect();
                return self.success(policies, authority.is_empty());
            }
        }
        let nothing = authority.is_empty();
        let policies = std::mem::take(&mut authority).into_iter().map(oid::text).collect();
        self.success(policies, nothing)
    }

    fn success(self, policies: Vec<String>, nothing_left: bool) -> Result<ValidPolicies, PolicyFault> {
        match (self.explicit_policy > 0 || !policies.is_empty(), nothing_left) {
            (true, _) => Ok(ValidPolicies { policies }),
            (false, true) => Err(PolicyFault::NoneLeft),
            (false, false) => Err(PolicyFault::NoneAskedFor),
        }
    }
}

/// RFC 5280 §6.1.3 (d)(2)(b): anyPolicy of a self-issued certificate that is not the last counts although inhibited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AnyCountsAnyway {
    Yes,
    No,
}

fn lower(counter: &mut usize, limit: Option<u32>) {
    if let Some(limit) = limit {
        *counter = (*counter).min(usize::try_from(limit).unwrap_or(usize::MAX));
    }
}

/// Policies whose parent is anyPolicy and that reach the last level, and anyPolicy if it reaches it:
/// RFC 9618 §5.5 (g). What does not reach the last level is left aside here instead of being pruned before.
fn authority_constrained<'a>(levels: &[Level<'a>]) -> BTreeSet<Identifier<'a>> {
    let mut found = BTreeSet::new();
    let Some(last) = levels.last() else { return found };
    if last.contains_key(ANY) {
        found.insert(ANY);
    }
    let mut reached: BTreeSet<Identifier<'a>> = last.keys().copied().collect();
    for level in levels.iter().rev() {
        let mut above = BTreeSet::new();
        for (policy, node) in level.iter().filter(|(policy, _)| reached.contains(*policy)) {
            if *policy != ANY && node.parents.contains(&ANY) {
                found.insert(policy);
            }
            above.extend(node.parents.iter().copied());
        }
        reached = above;
    }
    found
}

/// certificatePolicies: RFC 5280 §4.2.1.4.
fn read_policies<'a>(list: &Tlv<'a>, critical: bool) -> Result<BTreeSet<Identifier<'a>>, PolicyFault> {
    let mut policies = BTreeSet::new();
    let mut fault = None;
    check_each(list, "certificatePolicies", |entry| {
        let mut fields = entry.inside();
        let policy = fields.object_identifier("policyIdentifier")?;
        if !policies.insert(policy) {
            fault.get_or_insert_with(|| PolicyFault::Repeated { policy: oid::text(policy) });
        }
        if let Some(qualifiers) = fields.optional(tag::SEQUENCE, "policyQualifiers")? {
            check_each(&qualifiers, "policyQualifiers", |qualifier| {
                if qualifier.tag != tag::SEQUENCE {
                    return Err(qualifier.malformed("policyQualifierInfo"));
                }
                let mut info = qualifier.inside();
                let kind = info.object_identifier("policyQualifierId")?;
                info.any("qualifier")?;
                info.finish("policyQualifierInfo")?;
                let known = [oid::QUALIFIER_CPS, oid::QUALIFIER_USER_NOTICE];
                if critical && !known.iter().any(|known| known.as_bytes() == kind) {
                    fault.get_or_insert_with(|| PolicyFault::UnknownQualifier { qualifier: oid::text(kind) });
                }
                Ok(())
            })?;
        }
        fields.finish("policyInformation")
    })?;
    fault.map_or(Ok(policies), Err)
}

/// policyMappings: RFC 5280 §4.2.1.5, §6.1.4 (a).
fn read_mappings<'a>(
    list: &Tlv<'a>,
) -> Result<BTreeMap<Identifier<'a>, BTreeSet<Identifier<'a>>>, PolicyFault> {
    let mut mappings: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut any_mapped = false;
    check_each(list, "policyMappings", |entry| {
        if entry.tag != tag::SEQUENCE {
            return Err(entry.malformed("policyMappings"));
        }
        let mut fields = entry.inside();
        let issuer = fields.object_identifier("issuerDomainPolicy")?;
        let subject = fields.object_identifier("subjectDomainPolicy")?;
        fields.finish("policyMappings")?;
        any_mapped |= issuer == ANY || subject == ANY;
        mappings.entry(issuer).or_default().insert(subject);
        Ok(())
    })?;
    if any_mapped { Err(PolicyFault::AnyPolicyMapped) } else { Ok(mappings) }
}
