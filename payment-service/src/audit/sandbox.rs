//! I1 and I19 against the PSP sandbox's own log of effects: what it really did to buyers' money.
//!
//! The order of reading makes the comparison sound beside a live service. Money moves at the PSP after its operation was
//! committed and before its outcome is, so a merchant's rows are read after what is compared with them, and the log is
//! read on after the rows: every charge that was in the log before must then have its operation, and every success in
//! the rows must be in the log by now.
//!
//! Memory: about a hundred bytes for each operation that the log names.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use money::{Currency, MerchantId, Money, OperationId};
use serde::Deserialize;
use sqlx::PgPool;

use super::database::{Figure, Found, snapshot};
use super::{Check, CheckReport, note};
use crate::psp::{Psp, install_tls_provider};

/// Effects in one answer.
const PAGE: u32 = 5000;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the log cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It could not be read.
    #[error("the sandbox's log of effects cannot be read")]
    Http(#[from] reqwest::Error),
    /// An effect is missing in it.
    #[error("the sandbox's log goes on with effect {found} after effect {after}")]
    Gap {
        /// The last one before.
        after: u64,
        /// The one that came next.
        found: u64,
    },
    /// An effect is of a kind that is not known here.
    #[error("effect {0} of the sandbox's log is of an unknown kind")]
    Kind(u64),
    /// An amount is none of ours.
    #[error("effect {0} of the sandbox's log has an amount that cannot be read")]
    Amount(u64),
    /// The service's rows could not be read.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

#[derive(Deserialize)]
struct Page {
    has_more: bool,
    data: Vec<Effect>,
}

#[derive(Deserialize)]
struct Effect {
    seq: u64,
    kind: Kind,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    payout: Option<String>,
    amount: i64,
    currency: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    refund_metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Charge,
    Authorization,
    Capture,
    Refund,
    RefundFailure,
    Dispute,
    DisputeReversal,
    Cancel,
    Payout,
    PayoutFailure,
    #[serde(other)]
    Unknown,
}

/// What the log says of one operation.
struct Moved {
    /// How often the buyer was charged, or the money held.
    charges: u32,
    /// How often it was given back.
    refunds: u32,
    /// How often it was sent to a seller.
    payouts: u32,
    /// What was taken less what was given back; the last in another currency than the first makes it none.
    net: Option<Money>,
    /// Where the log first tells of it.
    first_seq: u64,
    /// An operation of ours.
    ours: bool,
}

/// Money that moved for no operation.
struct Stray {
    seq: u64,
    reference: String,
    amount: Money,
}

/// What was read of the log.
struct Log {
    client: reqwest::Client,
    address: String,
    last_seq: u64,
    operations: BTreeMap<OperationId, Moved>,
    strays: Vec<Stray>,
}

impl Log {
    fn new(address: &str) -> Result<Self, SandboxError> {
        install_tls_provider();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self { client, address, last_seq: 0, operations: BTreeMap::new(), strays: Vec::new() })
    }

    /// Reads on to the end of the log.
    async fn read_on(&mut self) -> Result<(), SandboxError> {
        loop {
            let page = self.page().await?;
            for effect in page.data {
                self.add(effect)?;
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }

    async fn page(&self) -> Result<Page, SandboxError> {
        let address = format!("{}/_sandbox/effects", self.address);
        let query = [("after", self.last_seq), ("limit", u64::from(PAGE))];
        let answer = self.client.get(address).query(&query).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    fn add(&mut self, effect: Effect) -> Result<(), SandboxError> {
        if effect.seq != self.last_seq + 1 {
            return Err(SandboxError::Gap { after: self.last_seq, found: effect.seq });
        }
        self.last_seq = effect.seq;
        let sign = match effect.kind {
            Kind::Charge
            | Kind::Capture
            | Kind::RefundFailure
            | Kind::DisputeReversal
            | Kind::PayoutFailure => 1,
            Kind::Refund | Kind::Dispute | Kind::Payout => -1,
            Kind::Authorization => 0,
            Kind::Cancel => return Ok(()),
            Kind::Unknown => return Err(SandboxError::Kind(effect.seq)),
        };
        let amount = Psp::Stripe
            .read_amount(sign * effect.amount, &effect.currency)
            .ok_or(SandboxError::Amount(effect.seq))?;
        let named = match effect.kind {
            Kind::Refund | Kind::RefundFailure => effect.refund_metadata.as_ref(),
            _ => Some(&effect.metadata),
        };
        let operation = named.and_then(|metadata| metadata.get("payonce_operation")?.parse().ok());
        let Some(operation) = operation else {
            // the PSP's own to our bank
            if matches!(effect.kind, Kind::Payout | Kind::PayoutFailure) && effect.metadata.is_empty() {
                return Ok(());
            }
            let reference = effect.payment_intent.or(effect.payout).unwrap_or_default();
            self.strays.push(Stray { seq: effect.seq, reference, amount });
            return Ok(());
        };
        let moved = self.operations.entry(operation).or_insert(Moved {
            charges: 0,
            refunds: 0,
            payouts: 0,
            net: Some(Money::new(0, amount.currency)),
            first_seq: effect.seq,
            ours: false,
        });
        moved.charges += u32::from(matches!(effect.kind, Kind::Charge | Kind::Authorization));
        moved.refunds += u32::from(matches!(effect.kind, Kind::Refund));
        moved.payouts += u32::from(matches!(effect.kind, Kind::Payout));
        moved.net = moved.net.and_then(|net| net.checked_add(amount).ok());
        Ok(())
    }
}

/// Compares the merchants' rows with the log at `address` and adds what that came to. Where only one merchant was asked
/// for, what belongs to none of the rows may be another's and is counted only.
pub(super) async fn compare(
    pool: &PgPool,
    address: &str,
    merchants: &[MerchantId],
    only_one: bool,
    found: &mut BTreeMap<Check, CheckReport>,
) {
    match compared(pool, address, merchants, only_one).await {
        Ok((per_merchant, unexplained, charges)) => {
            for (merchant, result) in per_merchant {
                note(found, Check::SandboxEffects, Some(merchant), Ok(result));
            }
            note(found, Check::SandboxEffects, None, Ok(unexplained));
            note(found, Check::SandboxChargedOnce, None, Ok(charges));
        }
        Err(error) => {
            for check in [Check::SandboxEffects, Check::SandboxChargedOnce] {
                found.entry(check).or_insert_with(|| CheckReport::empty(check)).fail(&error);
            }
        }
    }
}

type Compared = (Vec<(MerchantId, Found)>, Found, Found);

async fn compared(
    pool: &PgPool,
    address: &str,
    merchants: &[MerchantId],
    only_one: bool,
) -> Result<Compared, SandboxError> {
    let mut log = Log::new(address)?;
    log.read_on().await?;
    let before_rows = log.last_seq;
    let at_sandbox = accounts_at(pool, merchants, &log.address).await?;
    let mut per_merchant = Vec::with_capacity(merchants.len());
    let mut explained = Vec::new();
    for &merchant in merchants {
        per_merchant.push((merchant, compare_one(pool, merchant, &at_sandbox, &mut log).await?));
        explained.extend(explained_by_breaks(pool, merchant).await?);
    }
    let mut unexplained = Found::default();
    if at_sandbox.is_empty() {
        let none = "no PSP account has the sandbox's address: those in test mode are compared";
        unexplained.note = Some(none.to_owned());
    }
    let strays = log.strays.iter().filter(|stray| stray.amount.minor != 0);
    for stray in strays.filter(|stray| stray.seq <= before_rows && !explained.contains(&stray.reference)) {
        unexplained.looked += 1;
        if !only_one {
            unexplained.offend(|| format!("{} of {}: names no operation", stray.reference, stray.amount));
        }
    }
    let foreign = log.operations.iter().filter(|(_, moved)| !moved.ours && moved.first_seq <= before_rows);
    for (operation, moved) in foreign {
        unexplained.looked += 1;
        if !only_one {
            unexplained.offend(|| format!("operation {operation}, {}: not ours", shown(moved.net)));
        }
    }
    let of_nobody = Figure::Sum(unexplained.looked);
    unexplained.figures.push(("of_no_operation_of_ours".to_owned(), of_nobody));
    let mut charges = Found::default();
    for (operation, moved) in &log.operations {
        let times = moved.charges.max(moved.refunds).max(moved.payouts);
        if times > 0 {
            charges.judge(times == 1, || format!("operation {operation}: {times} times"));
        }
    }
    Ok((per_merchant, unexplained, charges))
}

fn shown(net: Option<Money>) -> String {
    net.map_or_else(|| "in several currencies".to_owned(), |net| net.to_string())
}

/// The PSP accounts whose address is the sandbox's.
async fn accounts_at(
    pool: &PgPool,
    merchants: &[MerchantId],
    address: &str,
) -> Result<Vec<uuid::Uuid>, SandboxError> {
    let mut found = Vec::new();
    for merchant in merchants {
        let accounts = sqlx::query!(
            "select psp_account_id, base_url from psp_account where merchant_id = $1",
            merchant.as_uuid(),
        )
        .fetch_all(pool)
        .await?;
        let here = |base_url: &str| {
            let rest = base_url.strip_prefix(address);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        found.extend(accounts.iter().filter(|row| here(&row.base_url)).map(|row| row.psp_account_id));
    }
    Ok(found)
}

/// What a merchant's breaks explain, unless a later file did, of money that names no operation: the PSP's names of it.
async fn explained_by_breaks(pool: &PgPool, merchant: MerchantId) -> Result<Vec<String>, SandboxError> {
    let references = sqlx::query_scalar!(
        r#"select psp_reference as "psp_reference!" from recon_break
         where merchant_id = $1 and closed_how is distinct from 'itself' and psp_reference is not null"#,
        merchant.as_uuid(),
    )
    .fetch_all(pool)
    .await?;
    Ok(references)
}

/// An operation of ours with what follows it, by the name that the PSP was told, and what the ledger says that they moved.
struct Row {
    operation_id: OperationId,
    currency: String,
    open: bool,
    has_break: bool,
    booked: i64,
}

impl Row {
    /// What the PSP moved may differ from what is booked where the operation is in doubt or has an open break.
    fn judge(&self, moved: Option<Money>) -> Sort {
        let (currency, moved) = match moved {
            Some(moved) => (moved.currency.code() == self.currency, moved.minor),
            None => (false, 0),
        };
        match (moved == self.booked && (currency || moved == 0), self.open, self.has_break) {
            (true, _, _) => Sort::Agreed,
            (false, true, _) => Sort::InDoubt,
            (false, false, true) => Sort::Break,
            (false, false, false) => Sort::Unexplained,
        }
    }
}

/// What became of the comparison of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Agreed,
    InDoubt,
    Break,
    Unexplained,
}

async fn compare_one(
    pool: &PgPool,
    merchant: MerchantId,
    at_sandbox: &[uuid::Uuid],
    log: &mut Log,
) -> Result<Found, SandboxError> {
    let mut tx = snapshot(pool).await?;
    // the snapshot is taken by the first statement that reads
    sqlx::query("select 1 from merchant limit 1").execute(&mut *tx).await?;
    log.read_on().await?;
    let mut found = Found::default();
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut rows = sqlx::query_as!(
        Row,
        r#"with booked as (
             select t.source_id, sum(e.amount)::bigint as amount
             from ledger_account a
             join ledger_entry e on e.merchant_id = $1 and e.account_id = a.account_id
             join ledger_transaction t on t.merchant_id = $1 and t.transaction_id = e.transaction_id
             where a.merchant_id = $1 and t.source_type = 'operation'
               -- what is sent to a seller has left the PSP before it is there
               and (a.code like 'psp\_receivable/%' or a.code = 'payout_clearing')
             group by t.source_id
         ), disputed as (
             -- what banks took of a payment and gave back, without the PSP's fee
             select o.operation_id as source_id, sum(e.amount)::bigint as amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             join dispute d on d.merchant_id = $1 and d.dispute_id = t.source_id
             join operation o on o.merchant_id = $1 and o.payment_id = d.payment_id and o.kind = 'authorize'
             where t.merchant_id = $1 and t.source_type = 'dispute'
               and (a.code like 'psp\_receivable/%' or a.code = 'psp_fees')
             group by o.operation_id
         ), excepted as (
             select distinct operation_id from recon_break
             where merchant_id = $1 and closed_how is distinct from 'itself' and operation_id is not null
         ), named as (
             -- the PSP was told of a payment's authorisation, and of each refund and payout
             select o.*, case when o.kind in ('refund', 'payout') then o.operation_id else a.operation_id end as named_id
             from operation o
             left join operation a on a.merchant_id = $1 and a.payment_id = o.payment_id and a.kind = 'authorize'
             where o.merchant_id = $1
         )
         select o.named_id as "operation_id!: OperationId", o.currency,
                bool_or(o.status in ('created', 'sending', 'requires_action', 'unknown', 'needs_review')) as "open!",
                bool_or(x.operation_id is not null) as "has_break!", (coalesce(sum(b.amount), 0) + coalesce(sum(d.amount), 0))::bigint as "booked!"
         from named o
         join psp_account a on a.merchant_id = $1 and a.psp_account_id = o.psp_account_id
         left join booked b on b.source_id = o.operation_id
         left join disputed d on d.source_id = o.operation_id
         left join excepted x on x.operation_id = o.operation_id
         where case when $2 then a.mode = 'test' else o.psp_account_id = any($3) end
         group by o.named_id, o.currency"#,
        merchant.as_uuid(),
        at_sandbox.is_empty(),
        at_sandbox,
    )
    .fetch(&mut *tx);
    while let Some(row) = rows.try_next().await? {
        let zero = || row.currency.parse::<Currency>().ok().map(|currency| Money::new(0, currency));
        let moved = match log.operations.get_mut(&row.operation_id) {
            Some(moved) => {
                moved.ours = true;
                moved.net
            }
            None => zero(),
        };
        let sort = row.judge(moved);
        found.judge(sort != Sort::Unexplained, || {
            format!("operation {}: the PSP {}, the ledger {}", row.operation_id, shown(moved), row.booked)
        });
        let currency = row.currency.to_lowercase();
        let minor = moved.map_or(0, |moved| moved.minor);
        let mut add =
            |name: &str, amount: i64| *sums.entry(format!("{name}_{currency}")).or_default() += amount;
        add("psp", minor);
        add("ledger", row.booked);
        match sort {
            Sort::Agreed | Sort::Unexplained => {}
            Sort::InDoubt => add("in_doubt", minor - row.booked),
            Sort::Break => add("breaks", minor - row.booked),
        }
    }
    found.figures.extend(sums.into_iter().map(|(name, sum)| (name, Figure::Sum(sum))));
    Ok(found)
}
