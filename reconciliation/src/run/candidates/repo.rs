//! The operations, payments and splits that lines name, looked up many at a time.

use std::collections::HashMap;

use money::{MerchantId, Money, OperationId, PaymentId, PspAccountId};
use sqlx::PgTransaction;
use uuid::Uuid;
use wallet::wallet::Split;

use super::Lookup;
use crate::matching::{Effect, Operation, Standing};
use crate::run::Error;
use crate::run::repo::{currency, seller};

struct OperationRow {
    operation_id: OperationId,
    named_id: OperationId,
    payment_id: Option<PaymentId>,
    order_id: Option<String>,
    effect: String,
    status: String,
    psp_reference: Option<String>,
    amount: i64,
    currency: String,
    fee: i64,
    returned_fee: i64,
    tied: Vec<String>,
}

impl TryFrom<OperationRow> for Operation {
    type Error = Error;

    fn try_from(row: OperationRow) -> Result<Self, Error> {
        let Some(effect) = Effect::from_word(&row.effect) else { return Err(Error::Corrupt(row.effect)) };
        let standing = match row.status.as_str() {
            "succeeded" => Standing::Succeeded,
            "reversed" => Standing::Reversed,
            _ => Standing::NotSucceeded,
        };
        Ok(Self {
            operation_id: row.operation_id,
            named_id: row.named_id,
            payment_id: row.payment_id,
            order_id: row.order_id,
            effect,
            standing,
            is_open: matches!(row.status.as_str(), "created" | "sending" | "unknown" | "needs_review"),
            psp_reference: row.psp_reference,
            amount: Money::new(row.amount, currency(&row.currency)?),
            fee: row.fee,
            returned_fee: row.returned_fee,
            tied: row.tied.iter().filter_map(|word| Effect::from_word(word)).collect(),
        })
    }
}

/// What the PSP's reference is of.
pub(super) struct Authorization {
    pub operation_id: OperationId,
    pub payment_id: PaymentId,
    pub psp_reference: String,
    status: String,
    amount: i64,
    currency: String,
}

impl Authorization {
    /// The capture that it is, of a payment that captures by itself.
    pub fn capture(self, order_id: String) -> Result<Operation, Error> {
        Operation::try_from(OperationRow {
            operation_id: self.operation_id,
            named_id: self.operation_id,
            payment_id: Some(self.payment_id),
            order_id: Some(order_id),
            effect: Effect::Capture.as_str().to_owned(),
            status: self.status,
            psp_reference: Some(self.psp_reference),
            amount: self.amount,
            currency: self.currency,
            fee: 0,
            returned_fee: 0,
            // asked for where there are several of one name
            tied: Vec::new(),
        })
    }
}

/// How many more neighbours are read than are wanted, before the wanted are looked up one by one.
const NEIGHBOURS: usize = 2;

/// All authorisations from the first to the last of `references`, which are sorted; none where those are many more than
/// are wanted. Where the database sorts otherwise, some of the wanted may be missing.
pub(super) async fn neighbouring_authorizations(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    references: &[&str],
) -> Result<Option<Vec<Authorization>>, sqlx::Error> {
    let most = references.len() * NEIGHBOURS;
    let found = sqlx::query_as!(
        Authorization,
        r#"select operation_id as "operation_id!: OperationId", payment_id as "payment_id!: PaymentId",
                psp_reference as "psp_reference!", status as "status!", amount as "amount!", currency as "currency!"
         from settleable_authorization
         where merchant_id = $1 and psp_account_id = $2 and psp_reference between $3 and $4
         order by psp_reference limit $5"#,
        merchant.as_uuid(),
        account.as_uuid(),
        references.first().copied(),
        references.last().copied(),
        most as i64 + 1,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok((found.len() <= most).then_some(found))
}

/// Authorisations by the PSP's references.
pub(super) async fn authorizations(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    references: &[&str],
) -> Result<Vec<Authorization>, sqlx::Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        Authorization,
        r#"select o.operation_id as "operation_id!: OperationId", o.payment_id as "payment_id!: PaymentId",
                o.psp_reference as "psp_reference!", o.status as "status!", o.amount as "amount!", o.currency as "currency!"
         from unnest($3::text[]) as named (reference)
         cross join lateral (
             select * from settleable_authorization o
             where o.merchant_id = $1 and o.psp_account_id = $2 and o.psp_reference = named.reference
             -- looked up one by one, however many there are: a scan of all operations for each batch would never end
             offset 0
         ) o"#,
        merchant.as_uuid(),
        account.as_uuid(),
        references as &[&str],
    )
    .fetch_all(&mut **tx)
    .await
}

/// What of a payment matters to the settling of its capture.
pub(super) struct Paid {
    pub order_id: String,
    /// Whether its authorisation captures.
    pub captures: bool,
    /// How it falls on its sellers when it is captured whole.
    pub splits: Vec<Split>,
}

struct PaidRow {
    payment_id: PaymentId,
    order_id: String,
    captures: bool,
}

struct SplitRow {
    payment_id: PaymentId,
    seller_id: String,
    amount: i64,
    platform_fee: i64,
}

/// Payments by their ids, which are sorted.
pub(super) async fn payments(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payments: &[PaymentId],
    lookup: Lookup,
) -> Result<HashMap<PaymentId, Paid>, Error> {
    let (Some(first), Some(last)) = (payments.first(), payments.last()) else { return Ok(HashMap::new()) };
    if lookup == Lookup::Neighbours {
        let most = payments.len() * NEIGHBOURS;
        let found = sqlx::query_as!(
            PaidRow,
            r#"select payment_id as "payment_id!: PaymentId", order_id as "order_id!", captures as "captures!"
             from settleable_payment where merchant_id = $1 and payment_id between $2 and $3
             order by payment_id limit $4"#,
            merchant.as_uuid(),
            first.as_uuid(),
            last.as_uuid(),
            most as i64 + 1,
        )
        .fetch_all(&mut **tx)
        .await?;
        if found.len() <= most {
            let splits = sqlx::query_as!(
                SplitRow,
                r#"select payment_id as "payment_id!: PaymentId", seller_id as "seller_id!", amount as "amount!",
                        platform_fee as "platform_fee!"
                 from settleable_payment_split where merchant_id = $1 and payment_id between $2 and $3
                 order by payment_id, split_no"#,
                merchant.as_uuid(),
                first.as_uuid(),
                last.as_uuid(),
            )
            .fetch_all(&mut **tx)
            .await?;
            return paid(found, splits);
        }
    }
    let ids: Vec<Uuid> = payments.iter().map(|id| id.as_uuid()).collect();
    let found = sqlx::query_as!(
        PaidRow,
        r#"select p.payment_id as "payment_id!: PaymentId", p.order_id as "order_id!", p.captures as "captures!"
         from unnest($2::uuid[]) as named (id)
         cross join lateral (
             select * from settleable_payment p where p.merchant_id = $1 and p.payment_id = named.id offset 0
         ) p"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let splits = sqlx::query_as!(
        SplitRow,
        r#"select s.payment_id as "payment_id!: PaymentId", s.seller_id as "seller_id!", s.amount as "amount!",
                s.platform_fee as "platform_fee!"
         from unnest($2::uuid[]) as named (id)
         cross join lateral (
             select * from settleable_payment_split s where s.merchant_id = $1 and s.payment_id = named.id offset 0
         ) s
         order by s.payment_id, s.split_no"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    paid(found, splits)
}

/// Payments with their splits.
fn paid(payments: Vec<PaidRow>, splits: Vec<SplitRow>) -> Result<HashMap<PaymentId, Paid>, Error> {
    let rows = payments.into_iter();
    let mut paid: HashMap<PaymentId, Paid> = rows
        .map(|row| {
            (row.payment_id, Paid { order_id: row.order_id, captures: row.captures, splits: Vec::new() })
        })
        .collect();
    for row in splits {
        let split =
            Split { seller: seller(&row.seller_id)?, amount: row.amount, platform_fee: row.platform_fee };
        if let Some(payment) = paid.get_mut(&row.payment_id) {
            payment.splits.push(split);
        }
    }
    Ok(paid)
}

/// Operations that a condition finds for each of many names, the oldest first. Looked up one by one, however many there are: a
/// scan of all operations for each batch would never end.
macro_rules! operations {
    ($names:literal, $condition:literal, $tx:expr, $merchant:expr, $account:expr, $bound:expr) => {
        sqlx::query_as!(
            OperationRow,
            r#"select o.operation_id as "operation_id!: OperationId", o.named_id as "named_id!: OperationId",
                o.payment_id as "payment_id: PaymentId", o.order_id, o.effect as "effect!",
                o.status as "status!", o.psp_reference, o.amount as "amount!", o.currency as "currency!", o.fee as "fee!",
                o.returned_fee as "returned_fee!",
                array(select m.effect from recon_match m
                      where m.merchant_id = $1 and m.about_id = coalesce(o.payment_id, o.operation_id)
                        and m.operation_id = o.operation_id and m.revoked_at is null) as "tied!"
             from unnest("#
                + $names
                + r#") as named (name)
             cross join lateral (
                 select * from settleable_operation o
                 where o.merchant_id = $1 and o.psp_account_id = $2 and "#
                + $condition
                + r#" offset 0
             ) o
             order by o.created_at, o.operation_id"#,
            $merchant.as_uuid(),
            $account.as_uuid(),
            $bound,
        )
        .fetch_all(&mut **$tx)
        .await?
    };
}

/// Captures by the PSP's references of their payments, the oldest first.
pub(super) async fn captures(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    references: &[&str],
) -> Result<Vec<Operation>, Error> {
    operations(tx, merchant, account, Effect::Capture, references).await
}

/// Operations of one effect by the PSP's references, the oldest first.
pub(super) async fn operations(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    effect: Effect,
    references: &[&str],
) -> Result<Vec<Operation>, Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    // the effect is no parameter, so that the view's other branches are not looked at
    macro_rules! of {
        ($condition:literal) => {
            operations!("$3::text[]", $condition, tx, merchant, account, references as &[&str])
        };
    }
    let rows = match effect.of_operation() {
        Effect::Refund => of!("o.psp_reference = named.name and o.effect = 'refund'"),
        Effect::Chargeback => of!("o.psp_reference = named.name and o.effect = 'chargeback'"),
        Effect::Payout => of!("o.psp_reference = named.name and o.effect = 'payout'"),
        _ => of!("o.psp_reference = named.name and o.effect = 'capture'"),
    };
    rows.into_iter().map(Operation::try_from).collect()
}

pub(super) async fn operations_by_name(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    names: &[OperationId],
) -> Result<Vec<Operation>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<Uuid> = names.iter().map(|id| id.as_uuid()).collect();
    let rows = operations!("$3::uuid[]", "o.named_id = named.name", tx, merchant, account, &names);
    rows.into_iter().map(Operation::try_from).collect()
}
