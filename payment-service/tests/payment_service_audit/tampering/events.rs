use payment_service::audit::Check::{
    EventIdOnce, OpenWebhooks, OutboxAge, PublishedInOrder, Tenants, WebhookAgrees, WebhookOnce,
};
use sqlx::PgPool;

use super::{case, each_is_found};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_event_that_is_wrong_is_told(pool: PgPool) {
    each_is_found(
        &pool,
        &[
            case(
                "a webhook that was applied to an operation in doubt",
                "update webhook_event set applied_to = op(MERCHANT, 'o-7')
                 where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[WebhookAgrees],
                "select 'evt_3'",
            ),
            case(
                "a webhook that was applied to nothing",
                "update webhook_event set applied_to = MERCHANT
                 where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[WebhookAgrees, Tenants],
                "select 'evt_3'",
            ),
            case(
                "a decline that was applied to a success",
                "update webhook_event set applied_as = 'declined'
                 where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[WebhookAgrees],
                "select 'evt_3'",
            ),
            case(
                "a late success without a break",
                "delete from recon_break where merchant_id = MERCHANT and kind = 'late_success'",
                &[WebhookAgrees],
                "select 'evt_5'",
            ),
            case(
                "an operation that two webhooks ended",
                "insert into webhook_event select merchant_id, psp_account_id, 'evt_3b', type, psp_reference, operation_id,
                     psp_created_at, received_at, payload, status, tries, due_at, settled_at, detail, applied_to, applied_as
                 from webhook_event where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[WebhookOnce],
                "select op(MERCHANT, 'o-3')::text",
            ),
            case(
                "a webhook left parked",
                "update webhook_event set status = 'parked', applied_to = null, applied_as = null, due_at = now(), received_at = now() - interval '2 hours'
                 where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[OpenWebhooks],
                "select 'parked evt_3'",
            ),
            case(
                "an event published before its predecessor",
                "update payment_event set published_at = now() where payment_id = pay(MERCHANT, 'o-3') and version = 2",
                &[PublishedInOrder],
                "select pay(MERCHANT, 'o-3')::text",
            ),
            case(
                "an event published after its successor",
                "update payment_event set published_at = now() + interval '1 second'
                 where payment_id = pay(MERCHANT, 'o-1') and version = 1",
                &[PublishedInOrder],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "two events with one id",
                "update payment_event set event_id = pay(MERCHANT, 'o-1')
                 where payment_id in (pay(MERCHANT, 'o-3'), pay(MERCHANT, 'o-4')) and version = 1",
                &[EventIdOnce],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "an event left unpublished",
                "update payment_event set recorded_at = now() - interval '2 hours'
                 where payment_id = pay(MERCHANT, 'o-3') and version = 2",
                &[OutboxAge],
                "select pay(MERCHANT, 'o-3') || '/2'",
            ),
        ],
    )
    .await;
}
