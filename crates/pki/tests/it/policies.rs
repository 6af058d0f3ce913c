//! Certificate policies: the graph of RFC 9618 against the tree of RFC 5280, and against those who would
//! make the tree explode.

use crate::asked::{Given, path_only};
use crate::forge::{Cert, inhibit_any_policy, mappings, policies, policy, policy_constraints};
use pki::validate::input::{AnyPolicy, ExplicitPolicy, InitialPolicies, PolicyMapping};
use pki::validate::{PathError, Question};
use proptest::prelude::*;

/// What one certificate says about policies. 0 is anyPolicy.
#[derive(Clone, Debug, Default)]
struct Said {
    policies: Option<Vec<u32>>,
    mappings: Vec<(u32, u32)>,
    explicit: Option<u8>,
    no_mapping: Option<u8>,
    no_any: Option<u8>,
    is_self_issued: bool,
}

impl Said {
    fn policies(numbers: &[u32]) -> Self {
        Self { policies: Some(numbers.to_vec()), ..Self::default() }
    }

    fn onto(&self, mut cert: Cert) -> Cert {
        if let Some(numbers) = &self.policies {
            cert = cert.with(policies(numbers));
        }
        if !self.mappings.is_empty() {
            cert = cert.with(mappings(&self.mappings));
        }
        if self.explicit.is_some() || self.no_mapping.is_some() {
            cert = cert.with(policy_constraints(self.explicit, self.no_mapping));
        }
        if let Some(skip) = self.no_any {
            cert = cert.with(inhibit_any_policy(skip));
        }
        cert
    }
}

/// Anchor first.
fn given(path: &[Said]) -> Given {
    let mut above = "CN=root".to_owned();
    let mut bag = Vec::new();
    for (index, said) in path.iter().enumerate() {
        let is_last = index + 1 == path.len();
        let subject = if said.is_self_issued { above.clone() } else { format!("CN=subject {index}") };
        let cert = if is_last {
            Cert::leaf(&subject, index + 1, &above, index)
        } else {
            Cert::ca(&subject, index + 1, &above, index)
        };
        bag.push(said.onto(cert).der());
        above = subject;
    }
    let leaf = bag.pop().unwrap();
    Given { anchors: vec![Cert::root("CN=root", 0).der()], leaf, bag, ..Given::default() }
}

fn one_of(numbers: &[u32]) -> InitialPolicies {
    InitialPolicies::OneOf(numbers.iter().map(|number| policy(*number)).collect())
}

fn explicit() -> Question {
    Question { explicit_policy: ExplicitPolicy::Required, ..path_only() }
}

fn outcome(path: &[Said], question: &Question) -> Result<Vec<u32>, &'static str> {
    let number = |text: &String| {
        if text == "2.5.29.32.0" { 0 } else { text.rsplit('.').next().unwrap().parse().unwrap() }
    };
    match given(path).ask(question) {
        Ok(good) => {
            let mut numbers: Vec<u32> = good.policies.iter().map(number).collect();
            numbers.sort_unstable();
            Ok(numbers)
        }
        Err(PathError { fault, .. }) => Err(fault.code()),
    }
}

#[test]
fn policies_pass_down_and_stand_for_each_other() {
    let p = Said::policies;
    assert_eq!(outcome(&[p(&[1, 2]), p(&[1, 3])], &explicit()), Ok(vec![1]));
    assert_eq!(outcome(&[p(&[1]), p(&[2])], &explicit()), Err("policy"));
    assert_eq!(outcome(&[p(&[1]), p(&[2])], &path_only()), Ok(vec![]));
    assert_eq!(outcome(&[p(&[0]), p(&[2])], &explicit()), Ok(vec![2]));
    assert_eq!(outcome(&[p(&[1]), p(&[0])], &explicit()), Ok(vec![1]));
    assert_eq!(outcome(&[p(&[0]), p(&[0])], &explicit()), Ok(vec![0]));
    assert_eq!(outcome(&[Said::default(), p(&[1])], &explicit()), Err("policy"));
    let asked = |numbers: &[u32]| Question { initial_policies: one_of(numbers), ..explicit() };
    assert_eq!(outcome(&[p(&[0]), p(&[0])], &asked(&[7, 8])), Ok(vec![7, 8]));
    assert_eq!(outcome(&[p(&[1]), p(&[1])], &asked(&[2])), Err("policy"));
    assert_eq!(outcome(&[p(&[1]), p(&[1])], &asked(&[0])), Ok(vec![1]));
    let none = Question { any_policy: AnyPolicy::Inhibited, ..explicit() };
    assert_eq!(outcome(&[p(&[0]), p(&[2])], &none), Err("policy"));
    let mapped = Said { mappings: vec![(1, 2)], ..p(&[1]) };
    // What it is valid under is told in the words of the first authority.
    assert_eq!(outcome(&[mapped.clone(), p(&[2])], &explicit()), Ok(vec![1]));
    assert_eq!(outcome(&[mapped.clone(), p(&[1])], &explicit()), Err("policy"));
    let no_mapping = Question { policy_mapping: PolicyMapping::Inhibited, ..explicit() };
    assert_eq!(outcome(&[mapped, p(&[2])], &no_mapping), Err("policy"));
    let any_mapped = Said { mappings: vec![(0, 2)], ..p(&[0]) };
    assert_eq!(outcome(&[any_mapped, p(&[2])], &path_only()), Err("policy"));
    let twice = p(&[1, 1]);
    assert_eq!(outcome(&[p(&[1]), twice], &path_only()), Err("policy"));
}

/// Thirty certificates that map each of forty policies to all of them: the tree of RFC 5280 would have
/// 40^30 leaves.
#[test]
fn everything_mapped_to_everything_stays_small() {
    let all: Vec<u32> = (1..=40).collect();
    let mapped = Said {
        mappings: all.iter().flat_map(|from| all.iter().map(|to| (*from, *to))).collect(),
        ..Said::policies(&all)
    };
    let mut path = vec![mapped; 29];
    path.push(Said::policies(&all));
    assert_eq!(outcome(&path, &explicit()).map(|valid| valid.len()), Ok(40));
    // And the other way it was done: anyPolicy that is expanded again and again.
    let mut path: Vec<_> = path
        .into_iter()
        .map(|mut said| {
            said.policies.as_mut().unwrap().push(0);
            said
        })
        .collect();
    path.last_mut().unwrap().policies = Some(vec![99]);
    assert_eq!(outcome(&path, &explicit()), Ok(vec![99]));
}

/// RFC 5280 §6.1 to the letter, with its tree: small inputs only.
mod tree {
    use super::Said;

    #[derive(Clone, Debug)]
    struct Node {
        depth: usize,
        policy: u32,
        expected: Vec<u32>,
        parent: Option<usize>,
        is_gone: bool,
    }

    pub(super) struct Tree {
        nodes: Vec<Node>,
    }

    impl Tree {
        fn at(&self, depth: usize) -> Vec<usize> {
            let here = self.nodes.iter().enumerate().filter(|(_, n)| n.depth == depth && !n.is_gone);
            here.map(|(index, _)| index).collect()
        }

        fn add(&mut self, parent: usize, policy: u32, expected: Vec<u32>, depth: usize) {
            self.nodes.push(Node { depth, policy, expected, parent: Some(parent), is_gone: false });
        }

        /// (d)(3): nodes above `depth` without children go, again and again.
        fn prune(&mut self, depth: usize) {
            for level in (0..depth).rev() {
                for index in self.at(level) {
                    let has_child = self.nodes.iter().any(|n| n.parent == Some(index) && !n.is_gone);
                    self.nodes[index].is_gone = !has_child;
                }
            }
        }

        fn is_null(&self) -> bool {
            self.nodes[0].is_gone
        }

        fn ancestors(&self, index: usize) -> Vec<usize> {
            std::iter::successors(Some(index), |index| self.nodes[*index].parent).collect()
        }
    }

    /// `Ok` with user_constrained_policy_set, or the failure.
    pub(super) fn judge(
        path: &[Said],
        asked: &[u32],
        explicit: bool,
        no_mapping: bool,
        no_any: bool,
    ) -> Result<Vec<u32>, ()> {
        let n = path.len();
        let root = Node { depth: 0, policy: 0, expected: vec![0], parent: None, is_gone: false };
        let mut tree = Tree { nodes: vec![root] };
        let counter = |now: bool| if now { 0 } else { n + 1 };
        let (mut explicit, mut mapping, mut any) = (counter(explicit), counter(no_mapping), counter(no_any));
        for (i, said) in path.iter().enumerate().map(|(index, said)| (index + 1, said)) {
            let is_self_issued = said.is_self_issued && i < n;
            match &said.policies {
                Some(policies) if !tree.is_null() => {
                    grow(&mut tree, i, policies, any > 0 || (i < n && is_self_issued));
                }
                _ => tree.nodes[0].is_gone = true,
            }
            if explicit == 0 && tree.is_null() {
                return Err(());
            }
            if i == n {
                break;
            }
            map(&mut tree, i, said, mapping > 0);
            if !is_self_issued {
                for counter in [&mut explicit, &mut mapping, &mut any] {
                    *counter = counter.saturating_sub(1);
                }
            }
            let lower = |counter: &mut usize, skip: Option<u8>| {
                *counter = (*counter).min(skip.map_or(usize::MAX, usize::from));
            };
            lower(&mut explicit, said.explicit);
            lower(&mut mapping, said.no_mapping);
            lower(&mut any, said.no_any);
        }
        explicit = explicit.saturating_sub(1);
        if path[n - 1].explicit == Some(0) {
            explicit = 0;
        }
        let valid = constrained(&tree, n, asked);
        if explicit > 0 || !valid.is_empty() { Ok(valid) } else { Err(()) }
    }

    fn grow(tree: &mut Tree, i: usize, policies: &[u32], any_counts: bool) {
        let above = tree.at(i - 1);
        for policy in policies.iter().filter(|policy| **policy != 0) {
            let matching: Vec<_> =
                above.iter().filter(|node| tree.nodes[**node].expected.contains(policy)).copied().collect();
            for parent in &matching {
                tree.add(*parent, *policy, vec![*policy], i);
            }
            if matching.is_empty() {
                for parent in
                    above.iter().filter(|node| tree.nodes[**node].policy == 0).copied().collect::<Vec<_>>()
                {
                    tree.add(parent, *policy, vec![*policy], i);
                }
            }
        }
        if policies.contains(&0) && any_counts {
            for parent in &above {
                for expected in tree.nodes[*parent].expected.clone() {
                    let has = tree.nodes.iter().any(|n| n.parent == Some(*parent) && n.policy == expected);
                    if !has {
                        tree.add(*parent, expected, vec![expected], i);
                    }
                }
            }
        }
        tree.prune(i);
        if tree.at(i).is_empty() {
            tree.nodes[0].is_gone = true;
        }
    }

    fn map(tree: &mut Tree, i: usize, said: &Said, mapping_counts: bool) {
        if tree.is_null() {
            return;
        }
        let mut issuers: Vec<u32> = said.mappings.iter().map(|(issuer, _)| *issuer).collect();
        issuers.sort_unstable();
        issuers.dedup();
        for issuer in issuers {
            let mut subjects: Vec<u32> =
                said.mappings.iter().filter(|(from, _)| *from == issuer).map(|(_, to)| *to).collect();
            subjects.sort_unstable();
            subjects.dedup();
            let here = tree.at(i);
            let same: Vec<_> =
                here.iter().filter(|node| tree.nodes[**node].policy == issuer).copied().collect();
            if !mapping_counts {
                same.iter().for_each(|node| tree.nodes[*node].is_gone = true);
                tree.prune(i);
                continue;
            }
            same.iter().for_each(|node| tree.nodes[*node].expected = subjects.clone());
            if same.is_empty()
                && let Some(any) = here.iter().find(|node| tree.nodes[**node].policy == 0)
                && let Some(parent) = tree.nodes[*any].parent
            {
                tree.add(parent, issuer, subjects, i);
            }
        }
        if tree.at(i).is_empty() {
            tree.nodes[0].is_gone = true;
        }
    }

    /// §6.1.5 (g), as a set; `asked` empty stands for any-policy.
    fn constrained(tree: &Tree, n: usize, asked: &[u32]) -> Vec<u32> {
        if tree.is_null() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for leaf in tree.at(n) {
            if tree.nodes[leaf].policy == 0 {
                found.push(0);
            }
            for node in tree.ancestors(leaf) {
                let under_any = tree.nodes[node].parent.is_some_and(|parent| tree.nodes[parent].policy == 0);
                if tree.nodes[node].policy != 0 && under_any {
                    found.push(tree.nodes[node].policy);
                }
            }
        }
        let any = found.contains(&0);
        if !asked.is_empty() {
            found = asked.iter().filter(|policy| any || found.contains(policy)).copied().collect();
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn said() -> impl Strategy<Value = Said> {
    let numbers = proptest::collection::btree_set(0u32..4, 0..4);
    let pairs = proptest::collection::btree_set((1u32..4, 1u32..4), 0..4);
    let skip = || proptest::option::weighted(0.15, 0u8..3);
    (proptest::option::weighted(0.95, numbers), pairs, skip(), skip(), skip(), proptest::bool::weighted(0.15))
        .prop_map(|(policies, mappings, explicit, no_mapping, no_any, is_self_issued)| Said {
            policies: policies.filter(|set| !set.is_empty()).map(|set| set.into_iter().collect()),
            mappings: mappings.into_iter().collect(),
            explicit,
            no_mapping,
            no_any,
            is_self_issued,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_graph_judges_like_the_tree(
        path in proptest::collection::vec(said(), 1..5),
        asked in proptest::collection::btree_set(1u32..4, 0..3),
        switches in any::<[bool; 3]>(),
    ) {
        let mut path = path;
        // Only an issuer maps, and only one that is not the last is self-issued here.
        if let Some(last) = path.last_mut() {
            last.mappings.clear();
            last.is_self_issued = false;
        }
        let asked: Vec<u32> = asked.into_iter().collect();
        let [explicit, no_mapping, no_any] = switches;
        let question = Question {
            initial_policies: if asked.is_empty() { InitialPolicies::Any } else { one_of(&asked) },
            explicit_policy: if explicit { ExplicitPolicy::Required } else { ExplicitPolicy::WhereCertificatesSaySo },
            policy_mapping: if no_mapping { PolicyMapping::Inhibited } else { PolicyMapping::Allowed },
            any_policy: if no_any { AnyPolicy::Inhibited } else { AnyPolicy::Counts },
            ..path_only()
        };
        let expected = tree::judge(&path, &asked, explicit, no_mapping, no_any);
        prop_assert_eq!(outcome(&path, &question).map_err(|_| ()), expected);
    }
}
