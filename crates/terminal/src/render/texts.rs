//! The page's own words as (Japanese, English). Texts of problems stand in `protocol`'s catalogue.

use protocol::answer::Validity;

type Text = (&'static str, &'static str);

pub(super) const PREPARING: Text = ("準備中です。少しお待ちください。", "Getting ready. One moment, please.");
pub(super) const PLACE_CARD: Text = (
    "マイナンバーカードを、カードリーダーに置いてください。",
    "Please place your My Number Card on the card reader.",
);
pub(super) const RECOGNISING: Text =
    ("カードを確認しています。動かさずにお待ちください。", "Looking at the card. Please do not move it.");
pub(super) const TAKE_CARD: Text = ("カードをお取りください", "Please take your card");

pub(super) const NAME: Text = ("お名前", "Name");
pub(super) const BIRTH_DATE: Text = ("生年月日", "Date of birth");
pub(super) const INSURER: Text = ("保険者", "Insurer");
pub(super) const KIND: Text = ("保険の種類", "Kind of insurance");
pub(super) const RELATION: Text = ("本人・家族", "Insured or dependant");
pub(super) const INSURED: Text = ("本人", "Insured in own right");
pub(super) const DEPENDANT: Text = ("家族", "Dependant");
pub(super) const SHARE: Text = ("窓口での負担", "Your share");
pub(super) const LIMIT_CLASS: Text = ("限度額の区分", "Class of the monthly limit");
pub(super) const ENDED_INSURER: Text = ("終わった資格の保険者", "Insurer of the coverage that ended");
pub(super) const ENDED_ON: Text = ("資格の最後の日", "Last day of that coverage");
pub(super) const NEWER_INSURER: Text = ("新しい資格の保険者", "Insurer of the newer coverage");
pub(super) const NEWER_FROM: Text = ("新しい資格の始まり", "First day of the newer coverage");
pub(super) const AS_OF: Text = ("いつの資格か", "As of");
pub(super) const DATA_FROM: Text = ("保険者の最終登録", "Insurer's last update");

/// The one word of a result.
pub(super) const fn validity(validity: Validity) -> Text {
    match validity {
        Validity::Valid => ("有効", "Valid"),
        Validity::Invalid => ("無効", "Not valid"),
        Validity::InvalidNewerExists => {
            ("無効 (新しい資格があります)", "Not valid: there is a newer insurance")
        }
        Validity::NoCoverage => ("資格が見つかりません", "No insurance found"),
        Validity::Multiple => ("資格が二つ以上あります", "More than one insurance found"),
        Validity::ValidUnregistered => ("有効 (未登録)", "Valid, not yet registered"),
    }
}
