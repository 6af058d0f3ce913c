//! A transparency log: whatever was put in stays in, and anybody can check it without asking us.
//!
//! The formats are public ones, so that programs of others can check our logs: the tree of RFC 6962 §2.1
//! (as RFC 9162 §2.1 repeats it), tiles and entry bundles of C2SP tlog-tiles, heads as C2SP tlog-checkpoint,
//! signatures as C2SP signed-note, cosignatures of witnesses as C2SP tlog-cosignature, and proofs in one file
//! as C2SP tlog-proof.
//!
//! Floor 1, pure: no clock, no I/O, no randomness. Who keeps the tiles implements [`tile::TileSource`].
//!
//! | module | holds |
//! |---|---|
//! | [`hash`] | leaf and node hashes |
//! | [`edge`] | the growing right edge: append, root, the tiles to be written |
//! | [`growth`] | a growing log with proofs for what was appended lately |
//! | [`tile`] | where tiles are, and hashes of subtrees read from them |
//! | [`bundle`] | the entries themselves |
//! | [`proof`] | proofs of inclusion and of consistency, made from tiles and verified without them |
//! | [`note`], [`checkpoint`] | signed tree heads, and cosignatures of witnesses |
//! | [`proof_file`] | everything that one entry needs to be checked offline, in one text |
//! | [`audit`] | the whole log checked: holes, changed entries, forks |
//!
//! Invariants:
//! - A [`checkpoint::TrustedCheckpoint`] is made by verifying a signature of a configured key, and in no other way.
//! - A [`proof::Included`] is made by verifying a proof against a [`checkpoint::TrustedCheckpoint`].
//! - A tile that was full is never written again with other contents: [`edge::Edge`] emits each full tile once.

pub mod audit;
pub mod bundle;
pub mod checkpoint;
pub mod edge;
pub mod growth;
pub mod hash;
pub mod note;
pub mod proof;
pub mod proof_file;
pub mod tile;
