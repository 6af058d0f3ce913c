//! Texts for those who send coverage: insurers' files. See [`super`].

use super::Entry;
use crate::problem::Culprit;

/// Nothing of a file was loaded.
pub(super) const FEED_REFUSED: Entry = Entry {
    status: 422,
    culprit: Culprit::Insurer,
    title: ("ファイルは取り込まれていません。", "Nothing of the file was loaded."),
    vendor: (
        "detail に行と理由を示します。形式は docs/insurer-feed.md。",
        "See detail, and docs/insurer-feed.md.",
    ),
    action: ("ファイルを直して、もう一度送ってください。", "Mend the file and send it again."),
};

/// Another load of the insurer is not finished.
pub(super) const FEED_UNFINISHED: Entry = Entry {
    status: 409,
    culprit: Culprit::Insurer,
    title: ("同じ保険者の別の取り込みが途中です。", "Another load of this insurer is not finished."),
    vendor: ("detail に番号を示します。", "See detail for its number."),
    action: (
        "同じファイルで再開するか、--give-up で取りやめてください。",
        "Send its file again, or use --give-up.",
    ),
};
