//! The texts of problems with keys: their places, ceremonies and transcripts.

use super::Entry;
use crate::problem::Culprit;

/// Operators have not signed.
pub(super) const CEREMONY_NOT_APPROVED: Entry = Entry {
    status: 403,
    culprit: Culprit::Operator,
    title: (
        "鍵生成式のファイルが承認されていません。",
        "The ceremony file is not approved by its operators.",
    ),
    vendor: (
        "承認はファイルの今の内容への署名です。変えたら署名し直します。docs/key-ceremony.md",
        "An approval is a signature over the file as it is; a changed file is signed again. See \
         docs/key-ceremony.md.",
    ),
    action: (
        "担当者それぞれが kazasu pki ceremony sign で署名してください。",
        "Let each operator sign it: kazasu pki ceremony sign.",
    ),
};

/// Something is in a ceremony's way.
pub(super) const CEREMONY_REFUSED: Entry = Entry {
    status: 409,
    culprit: Culprit::Operator,
    title: ("鍵生成式を行えませんでした。", "The key ceremony did not take place."),
    vendor: (
        "何も上書きしていません。途中の結果は FOLDER.unfinished にあり、同じファイルで続けられます。",
        "Nothing was overwritten. What was made so far is in FOLDER.unfinished; the same file goes on from there.",
    ),
    action: (
        "detail の理由を除いて、同じコマンドをもう一度実行してください。",
        "Remove the cause named in detail and run the same command again.",
    ),
};

/// A file or token does not give the key.
pub(super) const KEY_PLACE_REFUSED: Entry = Entry {
    status: 503,
    culprit: Culprit::Operator,
    title: ("鍵のファイルかトークンを使えません。", "The key's file or token cannot be used."),
    vendor: (
        "detail にモジュール、トークン、PIN、鍵のどれが原因かがあります。間違った PIN は二度試しません。",
        "detail says whether module, token, PIN or key is the cause. A wrong PIN is never tried twice.",
    ),
    action: ("設定とトークンを確かめてください。", "Check the configuration and the token."),
};

/// Something was changed after a ceremony.
pub(super) const TRANSCRIPT_DIFFERS: Entry = Entry {
    status: 409,
    culprit: Culprit::Operator,
    title: (
        "鍵生成式の記録と、置いてあるものが一致しません。",
        "The transcript and what lies beside it do not belong together.",
    ),
    vendor: (
        "detail に一致しないものがあります。記録の後で変えられました。",
        "detail names what differs: it was changed after the ceremony.",
    ),
    action: (
        "その鍵を使わず、保管した写しと比べてください。",
        "Do not use the key; compare with the copies that were put away.",
    ),
};
