//! Texts for whoever types commands. See [`super`].

use super::Entry;
use crate::problem::Culprit;

/// A file or a value that was named cannot be used.
pub(super) const INPUT_UNUSABLE: Entry = Entry {
    status: 400,
    culprit: Culprit::Operator,
    title: ("指定されたファイルか値を使えません。", "A file or a value that was named cannot be used."),
    vendor: ("detail に場所と理由があります。", "See detail for where and why."),
    action: ("指定を直してください。", "Name another one, or mend it."),
};
