//! The eligibility platform (保険資格確認PF): certificate serial → insured person → answer.
//!
//! | file | does |
//! |---|---|
//! | [`http`] | decode, limits, map refusals to problems |
//! | [`check`] | one check, from evidence to recorded answer |
//! | [`decide`] | the pure decision |
//! | [`evidence`] | opens what the Secure Element sealed |
//! | [`unlock`] | arms a Secure Element at power-on; hands out nonces |
//! | [`nonce`], [`replay`] | freshness without stored state; replay for one integer per terminal |
//! | [`revocation`], [`path_cache`] | certificate status in memory; validated paths |
//! | [`receipts`] | a transparency log over the audit log: a proof in every answer |
//! | [`audit`] | the record that is durable before an answer leaves |
//! | [`history`] | coverage in two times, valid and recorded: facts in, what counted when out |
//! | [`upload`] | the same files over mutual TLS |
//! | [`linking`] | renewals followed; wrong links, merges and splits, each undone if need be |
//! | [`ties`], [`matching`], [`kinds`] | which members are which person; whether a row speaks of that person; kinds of insurance by law |
//! | [`feed`] | insurers' files: read, checked, staged unseen, made visible as a whole |
//! | [`store`] | terminals, people, coverage, links, checkpoint |
//! | [`keys`] | the platform's own secrets |
//! | [`serve`] | the room as a process |
//!
//! Invariants:
//! - No answer leaves before its audit record is durable; every real touch has exactly one record.
//! - The serial comes from the certificate that was verified. There is no field for another one, and the
//!   certificate itself comes under a seal that only this room opens.
//! - A head of the receipt log is signed over durable records only, and never contradicts an earlier one.
//! - A status that is missing or too old is *unknown*, and unknown is refused.
//! - Per terminal the counter only rises; only the last touch repeated byte for byte is answered again.
//! - What was known is never changed: facts are appended, links are closed. A load becomes visible as a whole.
//! - No national personal number, no medical ID: there is no type for either here.

pub mod audit;
pub mod check;
pub mod config;
pub mod decide;
pub mod error;
pub mod evidence;
pub mod feed;
pub mod hashes;
pub mod history;
pub mod http;
pub mod keys;
pub mod kinds;
pub mod linking;
pub mod matching;
pub mod nonce;
pub mod path_cache;
pub mod platform;
pub mod receipts;
pub mod replay;
pub mod revocation;
pub mod serve;
pub mod store;
pub mod ties;
pub mod unlock;
pub mod upload;
