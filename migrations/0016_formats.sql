-- Settlement files of several PSPs.

alter table settlement_file
    drop constraint settlement_file_format_known,
    add constraint settlement_file_format_known
        check (format in ('stripe_payout_reconciliation', 'adyen_settlement_detail', 'paypal_settlement')),
    -- what the document is a version of, in its PSP's words: an account and a batch, an account and a moment
    add column identity text,
    add constraint settlement_file_identity_present check (char_length(identity) between 1 and 255);

alter table settlement_line
    -- how the buyer paid, in the PSP's word
    add column method             text,
    -- what the buyer paid or got back, where that is in another currency
    add column presented_amount   bigint,
    add column presented_currency text,
    -- what the fee is made of, where the file tells; minor units of the line's currency
    add column interchange        bigint,
    add column scheme_fee         bigint,
    add column markup             bigint,
    add constraint settlement_line_presented_whole
        check ((presented_amount is null) = (presented_currency is null)),
    add constraint settlement_line_presented_iso
        check (length(presented_currency) = 3 and upper(presented_currency) = presented_currency);
