-- Postgres parses the CHECK constraints of a table anew for each statement that writes it: on the tables that every payment
-- writes, that was a third of what a payment cost. What a row of theirs may say is held by one function for each table, which a
-- session parses once. It refuses by the rule's name, as a constraint does, and as there a rule that comes to null holds.
-- The bounds of what is authorised, captured, refunded and disputed keep their constraints.

create function refuse_row(of_table text, rule text) returns void language plpgsql as $$
begin
    raise exception 'row of "%" violates rule "%"', of_table, rule
        using errcode = 'check_violation', constraint = rule, table = of_table;
end $$;

create function payment_rules() returns trigger language plpgsql as $$
declare
    broken text := case
        when not new.status in ('processing', 'requires_action', 'authorized', 'partially_captured', 'captured', 'voided',
                                'failed', 'expired')
            then 'payment_status_known'
        when not new.live = (new.status not in ('failed', 'voided', 'expired')) then 'payment_live_follows_status'
        when not (new.status not in ('captured', 'partially_captured') or new.captured_amount > 0)
            then 'payment_captured_has_amount'
        when not (new.status <> 'failed' or new.failure_code is not null) then 'payment_failed_says_why'
        when not new.ordinal >= 1 then 'payment_ordinal_positive'
        when not char_length(new.order_id) between 1 and 255 then 'payment_order_id_present'
        when not new.currency ~ '^[A-Z]{3}$' then 'payment_currency_iso'
        when not new.capture_method in ('automatic', 'manual') then 'payment_capture_method_known'
        -- a token, or a page to come back from
        when not (new.payment_method is not null or new.return_url is not null) then 'payment_has_method'
        when not char_length(new.return_url) between 1 and 2048 then 'payment_return_url_short'
    end;
begin
    if broken is not null then
        perform refuse_row(tg_table_name, broken);
    end if;
    return new;
end $$;
create trigger payment_rules before insert or update on payment
    for each row execute function payment_rules();
alter table payment
    drop constraint payment_status_known,
    drop constraint payment_live_follows_status,
    drop constraint payment_captured_has_amount,
    drop constraint payment_failed_says_why,
    drop constraint payment_ordinal_positive,
    drop constraint payment_order_id_present,
    drop constraint payment_currency_iso,
    drop constraint payment_capture_method_known,
    drop constraint payment_has_method,
    drop constraint payment_return_url_short;

create function operation_rules() returns trigger language plpgsql as $$
declare
    broken text := case
        when not new.kind in ('authorize', 'capture', 'void', 'refund', 'payout') then 'operation_kind_known'
        when not new.status in ('created', 'sending', 'requires_action', 'unknown', 'succeeded', 'declined', 'expired',
                                'needs_review', 'reversed')
            then 'operation_status_known'
        when not num_nonnulls(new.payment_id, new.payout_id) = 1 then 'operation_of_one_subject'
        when not (new.kind = 'payout') = (new.payout_id is not null) then 'operation_payout_pays_out'
        -- an authorisation makes the PSP's object, and so does a payout
        when not (new.psp_target is null) = (new.kind in ('authorize', 'payout')) then 'operation_follows_has_target'
        when not ((new.captured_before is not null) = (new.kind in ('capture', 'void')) and new.captured_before >= 0)
            then 'operation_of_hold_knows_captured'
        when not (new.last_capture is not null) = (new.kind = 'capture') then 'operation_capture_says_whether_last'
        -- a capture or void changes the payment's object and has none of its own
        when not (new.status not in ('succeeded', 'reversed') or new.kind in ('capture', 'void')
                  or new.psp_reference is not null)
            then 'operation_success_has_reference'
        when not case
            when new.status in ('created', 'sending', 'requires_action', 'unknown') then new.due_at is not null
            -- a hold that was taken is looked at once more when its time is over, a payout until it is there, and what needs
            -- review where a webhook says that there is news
            when new.status = 'succeeded' and new.kind in ('authorize', 'payout') then true
            when new.status = 'needs_review' then true
            else new.due_at is null end
            then 'operation_open_is_due'
        when not new.currency ~ '^[A-Z]{3}$' then 'operation_currency_iso'
        when not new.fence >= 1 then 'operation_fence_positive'
    end;
begin
    if broken is not null then
        perform refuse_row(tg_table_name, broken);
    end if;
    return new;
end $$;
create trigger operation_rules before insert or update on operation
    for each row execute function operation_rules();
alter table operation
    drop constraint operation_kind_known,
    drop constraint operation_status_known,
    drop constraint operation_of_one_subject,
    drop constraint operation_payout_pays_out,
    drop constraint operation_follows_has_target,
    drop constraint operation_of_hold_knows_captured,
    drop constraint operation_capture_says_whether_last,
    drop constraint operation_success_has_reference,
    drop constraint operation_open_is_due,
    drop constraint operation_currency_iso,
    drop constraint operation_fence_positive;

-- Its rows never change.
create function attempt_rules() returns trigger language plpgsql as $$
declare
    broken text := case
        when not new.action in ('authorize', 'capture', 'refund', 'payout', 'cancel', 'retrieve', 'search')
            then 'attempt_action_known'
        when not new.outcome in ('succeeded', 'declined', 'requires_action', 'not_sent', 'unknown', 'absent')
            then 'attempt_outcome_known'
        when not new.answered_at >= new.sent_at then 'attempt_answered_after_sent'
        when not char_length(new.detail) <= 2000 then 'attempt_detail_short'
    end;
begin
    if broken is not null then
        perform refuse_row(tg_table_name, broken);
    end if;
    return new;
end $$;
create trigger attempt_rules before insert on attempt
    for each row execute function attempt_rules();
alter table attempt
    drop constraint attempt_action_known,
    drop constraint attempt_outcome_known,
    drop constraint attempt_answered_after_sent,
    drop constraint attempt_detail_short;

create function idempotency_key_rules() returns trigger language plpgsql as $$
declare
    broken text := case
        when not char_length(new.idempotency_key) between 1 and 255 then 'idempotency_key_length'
        -- of neither only where nothing was made, and the key answers so
        when not (num_nonnulls(new.payment_id, new.payout_id) <= 1
                  and (num_nonnulls(new.payment_id, new.payout_id) = 1 or new.response_status is not null))
            then 'idempotency_key_of_one_subject'
        when not (new.response_status is null) = (new.response_body is null) then 'idempotency_key_response_whole'
    end;
begin
    if broken is not null then
        perform refuse_row(tg_table_name, broken);
    end if;
    return new;
end $$;
create trigger idempotency_key_rules before insert or update on idempotency_key
    for each row execute function idempotency_key_rules();
alter table idempotency_key
    drop constraint idempotency_key_length,
    drop constraint idempotency_key_of_one_subject,
    drop constraint idempotency_key_response_whole;
