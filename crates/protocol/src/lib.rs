//! What travels between the rooms of Kazasu: identifiers, the touch statement that a card signs,
//! the wire messages of each version, and the problems a room can answer with.
//!
//! Floor 0, pure: no clock, no I/O, no randomness. Nothing here knows how a card, a socket or a
//! store works. The national personal number has no type on this floor, so no message can carry it.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | identifiers as parsed newtypes; personal ones print only their last digits |
//! | [`statement`] | [`statement::TouchStatement`], the bytes under the card's signature |
//! | [`unlock`] | [`unlock::UnlockPolicy`], the bytes under the platform's signature that arm a Secure Element |
//! | [`sealed_evidence`] | [`sealed_evidence::SealedEvidence`]: what only Secure Element and platform can read |
//! | [`physicians`] | [`physicians::PhysicianList`]: whose HPKI card may arm a Secure Element when the network is down |
//! | [`answer`] | [`answer::Answer`]: validity, coverage, why, proof |
//! | [`receipt`] | [`receipt::Receipt`]: what a third party can verify about an answer |
//! | [`consent`] | the text a patient agrees to, and its bytes |
//! | [`eligibility_v1`] | requests and responses of the eligibility platform |
//! | [`linkage_v1`] | questions to the authority about which certificate replaced another, or is on the same card |
//! | [`problem`] | RFC 9457 problems with texts for receptionist and vendor, Japanese and English |
//! | [`entropy`] | where randomness comes from, as an argument |
//! | [`time`] | instants as arguments |

pub mod answer;
pub mod base64_bytes;
pub mod consent;
pub mod eligibility_v1;
pub mod entropy;
pub mod ids;
pub mod linkage_v1;
pub mod physicians;
pub mod problem;
mod problem_catalogue;
pub mod receipt;
pub mod sealed_evidence;
pub mod statement;
pub mod time;
pub mod unlock;
