//! The texts of the authority's problems: linkage, operators, approval. See [`super`].

use super::Entry;
use crate::problem::Culprit;

pub(super) const LINKAGE_CLIENT_UNKNOWN: Entry = Entry {
    status: 403,
    culprit: Culprit::Request,
    title: ("この証明書の機関は紐付けを照会できません。", "This client may not ask for linkage."),
    vendor: (
        "認証局の設定 [[linkage.clients]] に、このクライアント証明書の公開鍵がありません。",
        "The key of this client certificate is in no [[linkage.clients]] of the authority's configuration.",
    ),
    action: ("認証局に利用の登録を依頼してください。", "Ask the authority to enter this client."),
};

pub(super) const LINKAGE_CLIENT_EXPIRED: Entry = Entry {
    status: 403,
    culprit: Culprit::Request,
    title: ("照会元の証明書の期限が切れています。", "The client's certificate has expired."),
    vendor: (
        "接続中に期限が過ぎました。新しい証明書でつなぎ直してください。",
        "It expired during the connection: connect again with a new one.",
    ),
    action: ("証明書を更新してください。", "Renew the certificate."),
};

pub(super) const LINKAGE_NOT_ALLOWED: Entry = Entry {
    status: 403,
    culprit: Culprit::Request,
    title: ("この照会は認められていません。", "This question is not allowed for this client."),
    vendor: (
        "質問の種類か目的が取り決めにありません。要求は全体が拒まれ、記録されました。",
        "The kind of question or the purpose was not agreed; the whole request was refused, and recorded.",
    ),
    action: (
        "docs/linkage.md の表で、認められている照会を確かめてください。",
        "See the table in docs/linkage.md for what is allowed.",
    ),
};

pub(super) const LINKAGE_TOO_MANY: Entry = Entry {
    status: 429,
    culprit: Culprit::Request,
    title: ("照会が取り決めの回数を超えました。", "More questions a minute than agreed."),
    vendor: ("Retry-After の秒数だけ待ってください。", "Wait for as many seconds as Retry-After says."),
    action: ("少し待って、もう一度照会してください。", "Wait, and ask again."),
};

pub(super) const AUTHORITY_STORE_FAILED: Entry = Entry {
    status: 503,
    culprit: Culprit::Platform,
    title: ("認証局の記録装置が使えません。", "The authority's store cannot be used."),
    vendor: (
        "監査記録を書けないときは何も答えません。認証局の記録を見てください。",
        "Without its audit line nothing is told; see the authority's log.",
    ),
    action: ("少し待って、もう一度試してください。", "Wait, and try again."),
};

pub(super) const CERTIFICATE_NOT_ISSUED_HERE: Entry = Entry {
    status: 404,
    culprit: Culprit::Operator,
    title: ("この認証局が発行した証明書ではありません。", "This authority never issued such a certificate."),
    vendor: (
        "証明書か発行番号が違うか、別の町の認証局のものです。",
        "Another certificate or number, or that of another town's authority.",
    ),
    action: ("カードか証明書を確かめてください。", "Check which card or certificate is meant."),
};

pub(super) const STATUS_CHANGE_REFUSED: Entry = Entry {
    status: 409,
    culprit: Culprit::Operator,
    title: ("証明書の状態をこのようには変えられません。", "A certificate's status does not change this way."),
    vendor: (
        "確定した失効の理由は変わらず、一時停止でないものは解除できません。detail に今の状態を示します。",
        "A permanent reason never changes, and only a hold can be released; detail says how it stands.",
    ),
    action: ("kazasu pki show で今の状態を見てください。", "Look at it with kazasu pki show."),
};

pub(super) const APPROVAL_REFUSED: Entry = Entry {
    status: 409,
    culprit: Culprit::Operator,
    title: ("依頼か承認が認められません。", "This request or approval does not count."),
    vendor: (
        "detail に理由を示します。規則は docs/approval.md にあります。拒んだことも記録されました。",
        "See detail for why, and docs/approval.md for the rules; the refusal was recorded too.",
    ),
    action: (
        "kazasu pki pending で依頼を確かめてください。",
        "Look at the requests with kazasu pki pending.",
    ),
};

pub(super) const INSTITUTION_NOT_ACCREDITED: Entry = Entry {
    status: 403,
    culprit: Culprit::Operator,
    title: (
        "この機関は認定されていないか、認定が停止されています。",
        "This institution is not accredited, or is suspended.",
    ),
    vendor: ("機関の認定には二人の承認が要ります。", "To accredit an institution takes two operators."),
    action: (
        "kazasu pki request accredit で依頼してください。",
        "Request it with kazasu pki request accredit.",
    ),
};

pub(super) const AUDIT_BROKEN: Entry = Entry {
    status: 500,
    culprit: Culprit::Platform,
    title: ("監査記録に欠けか改変があります。", "The audit has a hole, or a line was changed."),
    vendor: (
        "detail に最初の行番号を示します。記録と鍵の控えを保全してください。",
        "detail names the first line; keep the store and the backups as they are.",
    ),
    action: ("監査の責任者に知らせてください。", "Tell whoever is responsible for the audit."),
};
